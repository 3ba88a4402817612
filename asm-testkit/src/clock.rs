//! Time that is moved by hand.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use asm_core::{Clock, Timestamp};

/// A clock that stands still until a test moves it.
///
/// Clones are the same clock, so that several handles on one storage share their time.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// use std::time::Duration;
/// use asm_core::Clock;
/// use asm_testkit::ManualClock;
///
/// let clock = ManualClock::new();
/// let began = clock.now();
/// let hour = tokio::spawn(clock.sleep(Duration::from_secs(3600)));
/// clock.advance(Duration::from_secs(3600)).await;
/// hour.await.expect("slept for no time at all");
/// assert_eq!(clock.now().since(began), Duration::from_secs(3600));
/// # });
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<State>>);

struct State {
    now: Timestamp,
    /// By due time, then by age.
    timers: BTreeMap<TimerId, Option<Waker>>,
    made: u64,
}

type TimerId = (Timestamp, u64);

/// How often the other tasks get a turn after a timer fired: woken tasks wake further ones.
const TURNS: usize = 64;

impl ManualClock {
    /// A clock that shows some time of the year 2020.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Timestamp::from_micros(1_600_000_000_000_000),
            timers: BTreeMap::new(),
            made: 0,
        })))
    }

    /// Moves time from timer to timer: each fires at its own time, and the tasks it woke get their
    /// turn (and may set timers of their own) before time goes on.
    ///
    /// Tasks of other threads are woken and not waited for: use it on a runtime of one thread, and
    /// [`advance_unless`](Self::advance_unless) for a driver that has threads of its own.
    pub async fn advance(&self, by: Duration) {
        self.advance_unless(by, || false).await;
    }

    /// The same for a driver that works on threads of its own: time does not go on while it is
    /// `busy`, which is asked again and again. It must say so from the moment in which a request
    /// is handed over until its answer has been.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
    /// use std::{sync::{Arc, atomic::{AtomicUsize, Ordering}}, thread, time::Duration};
    /// use asm_core::Clock;
    /// use asm_testkit::ManualClock;
    ///
    /// let (clock, under_way) = (ManualClock::new(), Arc::new(AtomicUsize::new(1)));
    /// let (began, counted, shown) = (clock.now(), Arc::clone(&under_way), clock.clone());
    /// let worker = thread::spawn(move || {
    ///     let seen = shown.now();
    ///     counted.fetch_sub(1, Ordering::SeqCst);
    ///     seen
    /// });
    /// let busy = || under_way.load(Ordering::SeqCst) > 0;
    /// clock.advance_unless(Duration::from_secs(1), busy).await;
    /// assert_eq!(worker.join().expect("no panic"), began);
    /// # });
    /// ```
    pub async fn advance_unless(&self, by: Duration, busy: impl Fn() -> bool) {
        let end = self.now() + by;
        settle(&busy).await;
        while let Some(due) = self.next_due(end) {
            self.fire(due);
            settle(&busy).await;
        }
        self.fire(end);
        settle(&busy).await;
    }

    /// How many sleeps are under way.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.state().timers.len()
    }

    /// When the next sleep ends: for a harness that has more to wait for between two of them than
    /// the tasks of its thread.
    #[must_use]
    pub fn next_alarm(&self) -> Option<Timestamp> {
        self.state().timers.keys().next().map(|(due, _)| *due)
    }

    fn next_due(&self, end: Timestamp) -> Option<Timestamp> {
        self.next_alarm().filter(|due| *due <= end)
    }

    /// Sets the time, and wakes who waited for it, the eldest first.
    fn fire(&self, now: Timestamp) {
        let due = {
            let mut state = self.state();
            let now = state.now.max(now);
            state.now = now;
            let later = state.timers.split_off(&(now, u64::MAX));
            mem::replace(&mut state.timers, later)
        };
        due.into_values().flatten().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn sleep(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut state = self.state();
        let timer = (state.now + by, state.made);
        state.made += 1;
        if timer.0 > state.now {
            state.timers.insert(timer, None);
        }
        Box::pin(Sleep {
            clock: self.clone(),
            timer,
        })
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("ManualClock")
            .field("now", &state.now)
            .field("sleepers", &state.timers.len())
            .finish()
    }
}

/// The clock of a machine that shows another time than this one. Its sleeps take as long.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use asm_core::Clock;
/// use asm_testkit::{ManualClock, WrongClock};
///
/// let right = ManualClock::new();
/// let hour = Duration::from_secs(3600);
/// let late = WrongClock::new(Arc::new(right.clone()), hour, false);
/// assert_eq!(late.now() + hour, right.now());
/// ```
#[derive(Clone, Debug)]
pub struct WrongClock {
    right: Arc<dyn Clock>,
    by: Duration,
    ahead: bool,
}

impl WrongClock {
    /// One that is ahead of this clock by that much, or behind it.
    #[must_use]
    pub fn new(right: Arc<dyn Clock>, by: Duration, ahead: bool) -> Self {
        Self { right, by, ahead }
    }
}

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        let (began, now) = (Timestamp::from_micros(0), self.right.now());
        if self.ahead {
            now + self.by
        } else {
            began + now.since(began).saturating_sub(self.by)
        }
    }

    fn sleep(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.right.sleep(by)
    }
}

/// Lets every other task of this thread run until it has nothing left to do.
pub(crate) async fn turns() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

/// Lets tasks and threads run until neither has anything left to do. What ends between the tasks'
/// turns and the question may have woken one of them: so it is asked twice.
async fn settle(busy: impl Fn() -> bool) {
    let mut quiet = 0;
    while quiet < 2 {
        turns().await;
        quiet = if busy() { 0 } else { quiet + 1 };
    }
}

struct Sleep {
    clock: ManualClock,
    timer: TimerId,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.state();
        if state.now >= self.timer.0 {
            return Poll::Ready(());
        }
        state.timers.insert(self.timer, Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.state().timers.remove(&self.timer);
    }
}
