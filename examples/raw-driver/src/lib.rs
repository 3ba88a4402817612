//! A session driver written by hand: a map behind a mutex, with no facet at all.
//!
//! It stands here to be copied. Read it in this order:
//!
//! 1. `session.rs`: what each verb does to one session, and in which order it checks.
//! 2. `lock.rs`: grant, queue, hand-off. *Settling* is the idea that carries the rest: every verb
//!    begins and ends by ending what is over, and by handing a free lock to the head of the queue.
//!    So no task runs in the background, and release, break, expiry and rotation hand on alike.
//! 3. `driver.rs`: the two traits of `asm-core`. Each verb is one step under the mutex, so it is
//!    atomic; only `acquire` awaits, and its drop guard withdraws what a dropped future leaves.
//! 4. `clock.rs`: time. The driver is given one, so that tests move it by hand.
//! 5. `tests/conformance.rs`: the whole suite, and the harness that it runs on.
//!
//! On a networked store, the body of `RawDriver::on` becomes a script or a transaction on the
//! server, `now` the server's time, and the bell a message. The rest of the shape stays.
//!
//! # Example
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use asm_core::{Key, Open, Opened, SessionStore};
//! use raw_driver::{ProcessClock, RawDriver};
//!
//! let driver = RawDriver::new(Arc::new(ProcessClock::new()));
//! let key = Key::from_bytes([1; Key::LEN]);
//! let opened = driver.open(&key, Open { lock: None }).await.unwrap();
//! assert_eq!(opened, Opened::Missing);
//! # });
//! ```

mod clock;
mod driver;
mod lock;
mod session;

pub use clock::ProcessClock;
pub use driver::RawDriver;
