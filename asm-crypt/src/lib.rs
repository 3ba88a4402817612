#![doc = include_str!("../docs/lib.md")]

mod cookie;
mod date;
pub mod docs;
mod key;
mod padding;
mod ring;
mod seal;
mod suite;

pub use cookie::{CookieError, CookieSeal, OpenedCookie};
pub use key::{KeyError, KeyId, SecretKey};
pub use padding::Padding;
pub use ring::{KeyRing, KeyUsage};
pub use seal::{KeySource, Seal};
