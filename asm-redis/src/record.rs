//! The record in its stored form: a short head that scripts read and change, then the bytes.
//!
//! `scripts/head.lua` has the layout.

use asm_core::{
    Claim, Epoch, Error, ErrorKind, Guard, LockToken, OpId, Proof, Proofs, Redacted, Result, Stamp,
    Version,
};
use bytes::Bytes;

/// How many bytes the head has.
pub(crate) const HEAD: usize = 319;

/// How many bytes of it a write decides about: its beginning.
pub(crate) const STAMP: usize = 61;

const MAGIC: &[u8; 4] = b"asm\x02";

/// A record as it was stored.
pub(crate) struct Record {
    pub(crate) version: Version,
    pub(crate) stamp: Stamp,
    pub(crate) data: Redacted,
}

/// A record of this version, as a write sends it: the rest of the head is filled in by its script.
pub(crate) fn new(version: Version, stamp: &Stamp, data: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEAD + data.len());
    record.extend_from_slice(MAGIC);
    record.extend_from_slice(stamp.proofs.current.as_bytes());
    match &stamp.proofs.pending {
        Some(pending) => {
            record.push(1);
            record.extend_from_slice(pending.as_bytes());
        }
        None => record.extend_from_slice(&[0; 17]),
    }
    record.extend_from_slice(&stamp.epoch.get().to_be_bytes());
    record.extend_from_slice(&version.number.to_be_bytes());
    record.extend_from_slice(version.op.as_bytes());
    record.resize(HEAD, 0);
    record.extend_from_slice(data);
    record
}

/// What a guard is compared with in the head: epoch and version.
pub(crate) fn guard(guard: &Guard) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&guard.epoch.get().to_be_bytes());
    bytes[8..].copy_from_slice(&version(guard.version));
    bytes
}

/// A version as it is stored in the head.
pub(crate) fn version(version: Version) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&version.number.to_be_bytes());
    bytes[8..].copy_from_slice(version.op.as_bytes());
    bytes
}

/// Who holds or wants the lock, as the head and a ticket have it: the token, and the label with its
/// length.
pub(crate) fn claim(claim: &Claim) -> Vec<u8> {
    let label = claim.label.as_str().as_bytes();
    let mut bytes = Vec::with_capacity(LockToken::LEN + 1 + label.len());
    bytes.extend_from_slice(claim.token.as_bytes());
    bytes.push(u8::try_from(label.len()).unwrap_or(0));
    bytes.extend_from_slice(label);
    bytes
}

/// Reads what was stored.
pub(crate) fn read(stored: Vec<u8>) -> Result<Record> {
    if stored.len() < HEAD {
        return Err(corrupt());
    }
    let (version, stamp) = read_head(&stored)?;
    Ok(Record {
        version,
        stamp,
        data: Bytes::from(stored).slice(HEAD..).into(),
    })
}

/// Reads the beginning of what was stored.
pub(crate) fn read_head(stored: &[u8]) -> Result<(Version, Stamp)> {
    if stored.len() < STAMP || !stored.starts_with(MAGIC) {
        return Err(corrupt());
    }
    let pending = (stored[20] == 1).then(|| Proof::from_bytes(bytes(&stored[21..])));
    let stamp = Stamp {
        epoch: Epoch::new(number(&stored[37..])),
        proofs: Proofs {
            current: Proof::from_bytes(bytes(&stored[4..])),
            pending,
        },
    };
    let version = Version {
        number: number(&stored[45..]),
        op: OpId::from_bytes(bytes(&stored[53..])),
    };
    Ok((version, stamp))
}

/// What is stored is not ours.
pub(crate) fn corrupt() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the server holds something that is not a record",
    )
}

pub(crate) fn number(from: &[u8]) -> u64 {
    u64::from_be_bytes(bytes(from))
}

/// The first bytes of a slice that has as many.
pub(crate) fn bytes<const N: usize>(from: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| from.get(i).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use asm_core::Label;

    use super::*;

    const VERSION: Version = Version {
        number: 0x0203,
        op: OpId::from_bytes([7; 8]),
    };

    fn stamp(pending: Option<Proof>) -> Stamp {
        Stamp {
            epoch: Epoch::new(0x0102_0304_0506_0708),
            proofs: Proofs {
                current: Proof::from_bytes([1; 16]),
                pending,
            },
        }
    }

    #[test]
    fn what_is_stored_reads_back() {
        for pending in [None, Some(Proof::from_bytes([2; 16]))] {
            let stamp = stamp(pending);
            let stored = read(new(VERSION, &stamp, b"bytes")).expect("a record of ours");
            assert_eq!(stored.version, VERSION);
            assert_eq!(stored.stamp, stamp);
            assert_eq!(&stored.data[..], b"bytes");
        }
    }

    #[test]
    fn whatever_else_is_stored_is_corrupt() {
        let good = new(VERSION, &stamp(None), b"bytes");
        let mut other = good.clone();
        other[3] = 1;
        for stored in [
            Vec::new(),
            b"a string".to_vec(),
            good[..HEAD - 1].to_vec(),
            other,
        ] {
            let error = read(stored).err().expect("an error");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn the_head_has_room_for_the_longest_label() {
        let longest = Claim {
            token: LockToken::from_bytes([3; 16]),
            hold: std::time::Duration::from_secs(1),
            label: Label::new(&"x".repeat(Label::MAX)),
        };
        let bytes = claim(&longest);
        assert_eq!(usize::from(bytes[LockToken::LEN]), Label::MAX);
        // Behind what a write decides, the op ids, the released tokens, flags, fence, end, places.
        assert_eq!(STAMP + 24 + 64 + 25 + bytes.len(), HEAD);
    }
}
