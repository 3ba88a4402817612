//! Clean-up.
