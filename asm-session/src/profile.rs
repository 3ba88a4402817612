//! What clients of a session looked like.
