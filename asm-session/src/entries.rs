//! What an application put into a session, still encoded.
//!
//! A body is the number of entries (4 bytes), then for each, in the order of their keys: the
//! length of the key (2 bytes), the length of the value (4), the key, the value.

use std::collections::BTreeMap;

use asm_core::{Error, ErrorKind, Result};
use bytes::Bytes;

use crate::wire::{Reader, corrupt};

/// The entries of a session by their keys, each value as its format left it. Values are slices of
/// the record they came from, and are decoded when they are asked for.
pub(crate) type Entries = BTreeMap<String, Bytes>;

/// The most entries of a session: so many that nobody means it, and so few that the index of a
/// hostile body stays smaller than the largest body.
const MOST: usize = 16 * 1024;

/// Bytes of the number of entries.
const COUNT: usize = 4;

/// Bytes of an entry beside its key and value.
const HEADER: usize = 2 + 4;

/// The bytes of a body. Equal entries have equal ones.
///
/// # Errors
/// `TooLarge` when they are more than `limit`, or there are more entries, or longer keys or values,
/// than a body can hold. Nothing was allocated then.
pub(crate) fn encode(entries: &Entries, limit: usize) -> Result<Bytes> {
    let mut out = Vec::with_capacity(checked_len(entries, limit)?);
    out.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    for (key, value) in entries {
        out.extend_from_slice(&(key.len() as u16).to_be_bytes());
        out.extend_from_slice(&(value.len() as u32).to_be_bytes());
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(value);
    }
    Ok(out.into())
}

/// The entries of a body. Nothing is copied but the keys, and no value is looked at.
///
/// # Errors
/// `Corrupt` when [`encode`] would not have made these bytes.
pub(crate) fn decode(body: &Bytes) -> Result<Entries> {
    let mut from = Reader::new(body);
    let count = from.u32()? as usize;
    if count > MOST {
        return Err(corrupt("there are too many entries"));
    }
    let mut last = None;
    let entries = (0..count).map(|_| {
        let (key_len, value_len) = (from.u16()?, from.u32()?);
        let key = from.str(key_len.into())?;
        if last.replace(key).is_some_and(|last| last >= key) {
            return Err(corrupt("the entries are not in the order of their keys"));
        }
        let value = from.bytes(value_len as usize)?;
        Ok((key.to_owned(), body.slice_ref(value)))
    });
    let entries = entries.collect::<Result<_>>()?;
    from.end()?;
    Ok(entries)
}

fn checked_len(entries: &Entries, limit: usize) -> Result<usize> {
    let fits = |(key, value): (&String, &Bytes)| {
        u16::try_from(key.len()).is_ok() && u32::try_from(value.len()).is_ok()
    };
    if entries.len() > MOST || !entries.iter().all(fits) {
        return Err(Error::new(
            ErrorKind::TooLarge,
            "there are too many entries, or one of them is too long",
        ));
    }
    let lens = entries
        .iter()
        .map(|(key, value)| HEADER + key.len() + value.len());
    let len = COUNT + lens.sum::<usize>();
    if len > limit {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("the entries have {len} bytes, the limit is {limit}"),
        ));
    }
    Ok(len)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::{collection::btree_map, collection::vec, prelude::*};

    use super::*;

    pub(crate) fn any_entries() -> impl Strategy<Value = Entries> {
        let value = vec(any::<u8>(), 0..200).prop_map(Bytes::from);
        btree_map("[a-zé\0]{0,12}", value, 0..20)
    }

    fn some() -> Entries {
        let entry = |key: &str, value: &'static [u8]| (key.to_owned(), Bytes::from_static(value));
        Entries::from([entry("", b""), entry("a", b"\0\xff"), entry("b", b"1234")])
    }

    #[test]
    fn values_share_the_memory_of_the_record() {
        let body = encode(&some(), 100).unwrap();
        let inside = body.as_ptr_range();
        let read = decode(&body).unwrap();
        assert_eq!(read, some());
        let mut values = read.values().filter(|value| !value.is_empty());
        assert!(values.all(|value| {
            let value = value.as_ptr_range();
            inside.start <= value.start && value.end <= inside.end
        }));
    }

    #[test]
    fn a_body_that_is_cut_or_has_a_rest_is_corrupt() {
        let body = encode(&some(), 100).unwrap();
        for end in 0..body.len() {
            let error = decode(&body.slice(..end)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "cut to {end}");
        }
        let longer = [&body, &b"\0"[..]].concat().into();
        assert_eq!(decode(&longer).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn keys_that_come_twice_or_out_of_order_are_corrupt() {
        for keys in ["aa", "ba"] {
            let mut body = encode(&Entries::new(), 100).unwrap().to_vec();
            body[3] = 2;
            for key in keys.bytes() {
                body.extend_from_slice(&[0, 1, 0, 0, 0, 0, key]);
            }
            assert_eq!(decode(&body.into()).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn a_lying_number_of_entries_is_corrupt() {
        for count in [3, 1 << 20, u32::MAX] {
            let body = [&count.to_be_bytes()[..], &[0; 2 * HEADER]].concat();
            assert_eq!(decode(&body.into()).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn what_is_over_a_limit_is_too_large() {
        let len = encode(&some(), 100).unwrap().len();
        assert!(encode(&some(), len).is_ok());
        assert_eq!(too_large(&some(), len - 1), ErrorKind::TooLarge);
        let key = |len| Entries::from([("k".repeat(len), Bytes::new())]);
        assert!(encode(&key((1 << 16) - 1), 1 << 20).is_ok());
        assert_eq!(too_large(&key(1 << 16), 1 << 20), ErrorKind::TooLarge);
    }

    #[test]
    fn there_may_be_16384_entries() {
        let entries = |count: u32| -> Entries {
            let keys = (0..count).map(|number| number.to_string());
            keys.map(|key| (key, Bytes::new())).collect()
        };
        let most = encode(&entries(16_384), 1 << 20).unwrap();
        assert_eq!(decode(&most).unwrap(), entries(16_384));
        assert_eq!(too_large(&entries(16_385), 1 << 20), ErrorKind::TooLarge);

        let mut beyond = most.to_vec();
        beyond[..COUNT].copy_from_slice(&16_385_u32.to_be_bytes());
        beyond.extend_from_slice(&[0, 1, 0, 0, 0, 0, b'x']);
        assert_eq!(
            decode(&beyond.into()).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }

    fn too_large(entries: &Entries, limit: usize) -> ErrorKind {
        encode(entries, limit).unwrap_err().kind()
    }

    proptest! {
        #[test]
        fn any_entries_read_back(entries in any_entries()) {
            let body = encode(&entries, 1 << 20).unwrap();
            prop_assert_eq!(decode(&body).unwrap(), entries);
        }

        #[test]
        fn a_body_has_one_form(entries in any_entries(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut body = encode(&entries, 1 << 20).unwrap().to_vec();
            let at = at.index(body.len());
            body[at] ^= 1_u8 << bit;
            let body = body.into();
            if let Ok(read) = decode(&body) {
                prop_assert_ne!(&read, &entries);
                prop_assert_eq!(encode(&read, 1 << 20).unwrap(), body);
            }
        }
    }
}
