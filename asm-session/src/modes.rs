//! How much locking an application wants.
