//! Seals, cookies and keys, from outside.

mod cookie;
mod given;
mod seal;
mod secrets;
mod suite;
