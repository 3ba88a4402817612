//! Time of this process: what waiters' sleeps are measured with. Store time is the server's.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use asm_core::{Clock, Timestamp};

/// The machine's monotonic clock, from when it was made.
#[derive(Clone, Debug)]
pub(crate) struct MonotonicClock(Instant);

impl MonotonicClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0) + self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn sleep(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(by))
    }
}
