//! Changes of a session: none is lost, none is made twice, and what cannot be is told.
