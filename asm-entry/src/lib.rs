//! The semantics of every session verb, as pure code.
