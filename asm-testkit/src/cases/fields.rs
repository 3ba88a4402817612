//! Lockless fields.
