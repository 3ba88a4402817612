//! What the session layer keeps about a session, in the record's first part.
