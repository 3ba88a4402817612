//! Seals, cookies and keys, from outside.

mod cookie;
mod edits;
mod given;
mod seal;
mod secrets;
mod suite;
