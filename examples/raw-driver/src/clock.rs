//! Time, in earnest.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use asm_core::{Clock, Timestamp};

/// The time of this process: the wall clock's when it was made, and from then on the monotonic
/// clock's, which nobody sets. Sleeps on tokio.
#[derive(Clone, Debug)]
pub struct ProcessClock {
    origin: Timestamp,
    made: Instant,
}

impl ProcessClock {
    /// A clock that begins with the present.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            origin: Timestamp::from_micros(0) + wall.unwrap_or_default(),
            made: Instant::now(),
        }
    }
}

impl Default for ProcessClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.origin + self.made.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn sleep(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(by))
    }
}
