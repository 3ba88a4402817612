//! A web application with sessions, as its clients see it.

mod background;
mod clients;
mod cookies;
mod ends;
mod extractors;
mod handlers;
mod holes;
mod life_cycle;
#[cfg(feature = "sealed-cookie")]
mod sealed;
mod world;
