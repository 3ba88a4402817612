//! Store time: the same for all processes of the machine.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use asm_core::{Clock, Timestamp};
use rustix::time::ClockId;

/// The time since the machine's boot, plus what the root says that boot was at. It goes on while
/// the machine sleeps, and steps of the wall clock do not move it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineClock {
    boot: Timestamp,
}

impl MachineClock {
    /// The clock whose machine booted then.
    pub(crate) fn booted_at(boot: Timestamp) -> Self {
        Self { boot }
    }

    /// The clock that shows this time now.
    pub(crate) fn showing(now: Timestamp) -> Self {
        let boot = now
            .since(Timestamp::from_micros(0))
            .saturating_sub(since_boot());
        Self::booted_at(Timestamp::from_micros(0) + boot)
    }

    pub(crate) fn boot(&self) -> Timestamp {
        self.boot
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        self.boot + since_boot()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn sleep(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(by))
    }
}

/// The wall clock's time, the start of a new boot's store time.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_micros(0) + since_epoch.unwrap_or_default()
}

fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
