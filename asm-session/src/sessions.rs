//! The sessions of an application.
