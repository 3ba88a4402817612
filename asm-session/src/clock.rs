//! Time and tasks of the process.
