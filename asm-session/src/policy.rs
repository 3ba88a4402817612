//! When an id is replaced.
