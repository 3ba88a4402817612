//! Time and tasks of the process.

use std::{
    fmt::{self, Debug},
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use asm_core::{Clock, Timestamp};
use futures_util::future::{Either, select};

/// Runs a future to its end, beside everything else: what an application's runtime has for it.
pub(crate) type Spawn = Arc<dyn Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync>;

/// The store's time, as far as this process can tell: its own clock, set by each answer of the
/// store. Before the first one it is a guess.
pub(crate) struct StoreTime {
    clock: Arc<dyn Clock>,
    /// Microseconds that the store is ahead, or [`UNKNOWN`].
    ahead: AtomicI64,
}

/// More than clocks can be apart.
const UNKNOWN: i64 = i64::MIN;

impl StoreTime {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            ahead: AtomicI64::new(UNKNOWN),
        }
    }

    /// The store answered, and this was its time.
    pub(crate) fn learn(&self, now: Timestamp) {
        let own = self.clock.now().as_micros();
        let ahead = now.as_micros().wrapping_sub(own).cast_signed();
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Timestamp {
        let own = self.clock.now().as_micros();
        Timestamp::from_micros(own.saturating_add_signed(self.ahead().unwrap_or(0)))
    }

    /// Microseconds that the store is ahead, when it has answered once.
    pub(crate) fn ahead(&self) -> Option<i64> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        (ahead != UNKNOWN).then_some(ahead)
    }

    /// The process's own time: for durations, which no answer may change.
    pub(crate) fn own(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn sleep(&self, by: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.clock.sleep(by)
    }

    /// What the future answers, unless that takes longer.
    pub(crate) async fn within<F: Future>(&self, by: Duration, future: F) -> Option<F::Output> {
        match select(pin!(future), self.clock.sleep(by)).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }
}

impl Debug for StoreTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.clock, f)
    }
}

/// The clock of the process, in a tokio runtime.
#[cfg(feature = "tokio")]
#[expect(clippy::unnecessary_wraps, reason = "without a runtime there is none")]
pub(crate) fn process_clock() -> Option<Arc<dyn Clock>> {
    Some(Arc::new(tokio::TokioClock::new()))
}

/// There is none without a runtime.
#[cfg(not(feature = "tokio"))]
pub(crate) fn process_clock() -> Option<Arc<dyn Clock>> {
    None
}

/// The tasks of a tokio runtime. Outside of one there are none, and the future is dropped.
#[cfg(feature = "tokio")]
#[expect(clippy::unnecessary_wraps, reason = "without a runtime there is none")]
pub(crate) fn process_spawn() -> Option<Spawn> {
    Some(Arc::new(|future| {
        if let Ok(runtime) = ::tokio::runtime::Handle::try_current() {
            runtime.spawn(future);
        }
    }))
}

/// There are none without a runtime.
#[cfg(not(feature = "tokio"))]
pub(crate) fn process_spawn() -> Option<Spawn> {
    None
}

#[cfg(feature = "tokio")]
mod tokio {
    use std::{
        future::Future,
        pin::Pin,
        time::{Duration, Instant, SystemTime, UNIX_EPOCH},
    };

    use asm_core::{Clock, Timestamp};

    /// The wall clock's time when it was made, and from then on the machine's monotonic clock.
    #[derive(Debug)]
    pub(super) struct TokioClock {
        origin: Timestamp,
        started: Instant,
    }

    impl TokioClock {
        #[expect(clippy::disallowed_methods, reason = "this is a clock")]
        pub(super) fn new() -> Self {
            let since_epoch = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            Self {
                origin: Timestamp::from_micros(0) + since_epoch,
                started: Instant::now(),
            }
        }
    }

    impl Clock for TokioClock {
        fn now(&self) -> Timestamp {
            self.origin + self.started.elapsed()
        }

        #[expect(clippy::disallowed_methods, reason = "this is a clock")]
        fn sleep(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(::tokio::time::sleep(by))
        }
    }
}
