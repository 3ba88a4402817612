//! Ids: who opens a session with which, and what becomes of those that were replaced.
