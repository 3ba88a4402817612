//! What the session layer makes of a store in trouble.
