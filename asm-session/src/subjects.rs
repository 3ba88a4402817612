//! The sessions of a user.
