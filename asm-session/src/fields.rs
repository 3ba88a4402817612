//! Lockless values beside the record.
