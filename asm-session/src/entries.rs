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
    if count > MOST || count > from.rest().len() / HEADER {
        return Err(corrupt(
            "there are more entries than a body of its length can hold",
        ));
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
