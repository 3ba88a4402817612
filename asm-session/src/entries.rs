//! What an application put into a session, still encoded.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The entries of a session by their keys, each value as its format left it. Values are slices of
/// the record they came from, and are decoded when they are asked for.
pub(crate) type Entries = BTreeMap<String, Bytes>;
