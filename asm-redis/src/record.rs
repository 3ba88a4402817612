//! The record in its stored form: a short head that scripts read and change, then the bytes.
//!
//! `scripts/head.lua` has the layout.

use asm_core::{
    Create, Epoch, Error, ErrorKind, OpId, Proof, Proofs, Redacted, Result, Stamp, Version,
};
use bytes::Bytes;

/// How many bytes the head has.
pub(crate) const HEAD: usize = 159;

/// How many bytes a stamp has.
pub(crate) const STAMP: usize = 41;

const MAGIC: &[u8; 4] = b"asm\x01";

/// A record as it was stored.
pub(crate) struct Record {
    pub(crate) version: Version,
    pub(crate) stamp: Stamp,
    pub(crate) data: Redacted,
}

/// The record that a create stores.
pub(crate) fn first(req: &Create) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEAD + req.data.len());
    record.extend_from_slice(MAGIC);
    record.extend_from_slice(&1u64.to_be_bytes());
    record.extend_from_slice(req.op.as_bytes());
    record.resize(44, 0);
    record.extend_from_slice(&stamp(&req.stamp));
    record.resize(HEAD, 0);
    record.extend_from_slice(&req.data);
    record
}

/// The bytes behind room for the head, which the script fills in.
pub(crate) fn blank(data: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEAD + data.len());
    record.resize(HEAD, 0);
    record.extend_from_slice(data);
    record
}

/// What a write decides about the head.
pub(crate) fn stamp(stamp: &Stamp) -> [u8; STAMP] {
    let mut bytes = [0; STAMP];
    bytes[..8].copy_from_slice(&stamp.epoch.get().to_be_bytes());
    bytes[8..24].copy_from_slice(stamp.proofs.current.as_bytes());
    if let Some(pending) = &stamp.proofs.pending {
        bytes[24] = 1;
        bytes[25..].copy_from_slice(pending.as_bytes());
    }
    bytes
}

/// A version as it is stored in the head.
pub(crate) fn version(version: Version) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&version.number.to_be_bytes());
    bytes[8..].copy_from_slice(version.op.as_bytes());
    bytes
}

/// Reads what was stored.
pub(crate) fn read(stored: Vec<u8>) -> Result<Record> {
    let (version, stamp) = read_head(&stored)?;
    Ok(Record {
        version,
        stamp,
        data: Bytes::from(stored).slice(HEAD..).into(),
    })
}

/// Reads the head of what was stored.
pub(crate) fn read_head(stored: &[u8]) -> Result<(Version, Stamp)> {
    if stored.len() < HEAD || !stored.starts_with(MAGIC) {
        return Err(corrupt());
    }
    let version = Version {
        number: number(&stored[4..]),
        op: OpId::from_bytes(bytes(&stored[12..])),
    };
    let pending = (stored[68] == 1).then(|| Proof::from_bytes(bytes(&stored[69..])));
    let stamp = Stamp {
        epoch: Epoch::new(number(&stored[44..])),
        proofs: Proofs {
            current: Proof::from_bytes(bytes(&stored[52..])),
            pending,
        },
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
    use std::time::Duration;

    use super::*;

    fn create(pending: Option<Proof>) -> Create {
        Create {
            op: OpId::from_bytes([7; 8]),
            resend: false,
            stamp: Stamp {
                epoch: Epoch::new(0x0102_0304_0506_0708),
                proofs: Proofs {
                    current: Proof::from_bytes([1; 16]),
                    pending,
                },
            },
            data: "bytes".into(),
            ttl: Duration::from_secs(1),
            lock: None,
        }
    }

    #[test]
    fn what_is_stored_reads_back() {
        for pending in [None, Some(Proof::from_bytes([2; 16]))] {
            let req = create(pending);
            let stored = read(first(&req)).expect("a record of ours");
            assert_eq!(stored.version.number, 1);
            assert_eq!(stored.version.op, req.op);
            assert_eq!(stored.stamp, req.stamp);
            assert_eq!(&stored.data[..], b"bytes");
        }
    }

    #[test]
    fn whatever_else_is_stored_is_corrupt() {
        let good = first(&create(None));
        let mut other = good.clone();
        other[3] = 2;
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
}
