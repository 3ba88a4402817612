//! How an id is replaced, and what its former secrets still open.
