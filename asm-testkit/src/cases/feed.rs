//! The feed: what others do to a session, as it happens.
