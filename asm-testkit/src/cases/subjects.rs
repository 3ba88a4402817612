//! The index: the sessions of a user.
