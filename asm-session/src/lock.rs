//! The lock of one session, as its holder sees it.
