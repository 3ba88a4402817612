//! Sessions in a web application: a tower layer, and extractors for axum.
//!
//! Ten requests of one browser at once, a log out while another tab saves, a client that hangs up
//! in the middle: no update is lost, no session comes back from the dead, nobody is logged out by
//! surprise, and no lock is left behind.
//!
//! **Who should depend on this crate:** applications, and libraries between axum or tower and them.
//! It takes [`Sessions`] over a driver of another crate, which says where they live.
//!
//! ```no_run
//! # #[cfg(feature = "axum")] mod example {
//! use asm_memory::MemoryDriver;
//! use asm_tower::{Result, Session, SessionLayer, Sessions};
//! use axum::{Router, routing::get};
//!
//! async fn visits(session: Session) -> Result<String> {
//!     let visits = session.add("visits", 1)?;
//!     Ok(format!("This is your visit number {visits}."))
//! }
//!
//! # pub
//! async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//!     let sessions = Sessions::builder(MemoryDriver::new()).build()?;
//!     let layer = SessionLayer::new(sessions).build()?;
//!     let app = Router::new().route("/", get(visits)).layer(layer);
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     axum::serve(listener, app).await?;
//!     Ok(())
//! }
//! # }
//! ```
//!
//! # Chapters
//!
//! - [`docs::quick_start`]: a first application, log in and log out, what can be extracted
//! - [`docs::modes`]: how much locking a request gets, and how long a lock lasts
//! - [`docs::cookies`]: what a client is told, and when; caches; who the client is
//! - [`docs::errors`]: what a client is answered, what is saved, what is measured
//! - [`docs::testing`]: tests of an application
//!
//! Coming from tower-sessions or actix-session: the README of the project has both name by name.
//!
//! # Features
//!
//! - `axum`: extractors, and errors as responses, for axum 0.8.
//! - `metrics`: figures for the recorder of the application.
//! - `sealed-cookie`: cookies that only the application can read, by asm-crypt.
//! - `tokio` (on by default): the clock of a tokio runtime, and [`Sweeping`] in its tasks. Without
//!   it, [`SessionsBuilder::clock`](asm_session::SessionsBuilder::clock) is to be set.

mod client;
mod cookies;
#[cfg(feature = "axum")]
pub mod docs;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod fields;
mod flash;
mod headers;
mod layer;
mod lazy;
mod lease;
mod meter;
mod modes;
mod read;
mod renewals;
mod request;
mod sealing;
mod service;
mod session;
#[cfg(feature = "tokio")]
mod sweep;
mod transport;
mod typed;

/// Names that an application meets besides ours.
pub use asm_session::{Client, ClientKind, InvalidReason, LockMode, Origin, Rotation, Sessions};
pub use client::{ForwardedHeader, Peer, kind_by_name};
pub use cookie::SameSite;
pub use error::{Result, SessionError};
pub use fields::Fields;
pub use flash::{Flash, FlashLevel};
pub use headers::CachePolicy;
pub use http::StatusCode;
pub use layer::{ConfigError, Failure, Invalid, SessionLayer, SessionLayerBuilder};
pub use lazy::{LazySession, LockedSession};
pub use modes::{RouteMode, RouteModeService};
pub use read::ReadSession;
pub use service::{ResponseBody, ResponseFuture, SessionService};
pub use session::Session;
#[cfg(feature = "tokio")]
pub use sweep::Sweeping;
pub use transport::Transport;
pub use typed::{Entry, Typed};
