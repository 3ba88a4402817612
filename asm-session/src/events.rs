//! What the application is told, and can never change.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use asm_core::Key;
use async_trait::async_trait;
use futures_util::FutureExt;

use crate::{
    Client, InvalidReason,
    clock::{Spawn, StoreTime},
    counters::Counting,
};

/// Is told what happens to sessions.
///
/// An event never changes an outcome. Each runs in a task of its own, outside of all locks; one
/// that panics, hangs or is slow harms nobody: it is ended after 10 s, and while 1024 of them run
/// further ones are counted and dropped.
///
/// ```
/// use asm_session::{Event, Events};
/// use async_trait::async_trait;
///
/// struct Alarm;
///
/// #[async_trait]
/// impl Events for Alarm {
///     async fn on(&self, event: Event) {
///         if let Event::Invalid { reason: asm_session::InvalidReason::Stale, handle: Some(handle), .. } = event {
///             eprintln!("somebody has a copy of an old id of session {handle}");
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Events: Send + Sync + 'static {
    /// Something happened.
    async fn on(&self, event: Event);
}

/// Something that happened to a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A session was stored for the first time.
    Created {
        /// Which.
        handle: Key,
    },
    /// A session ended.
    Ended {
        /// Which.
        handle: Key,
        /// Why.
        reason: EndReason,
    },
    /// An open was refused.
    Invalid {
        /// Who tried.
        client: Client,
        /// Why it was refused.
        reason: InvalidReason,
        /// The session that the id named, if it was an id.
        handle: Option<Key>,
    },
    /// A session was opened with an id that was replaced and is still good.
    ZombieAccessed {
        /// Which.
        handle: Key,
        /// How long ago the id was replaced.
        age: Duration,
    },
    /// A lock ended before its holder released it.
    LockLost {
        /// Of which session.
        handle: Key,
    },
    /// A lock was waited for, and granted.
    LockWait {
        /// Of which session.
        handle: Key,
        /// How long it took.
        waited: Duration,
    },
    /// A write did not happen.
    WriteRefused {
        /// To which session.
        handle: Key,
        /// Why, as its error says.
        reason: String,
    },
    /// A save was refused, because somebody else changed what this session read and wrote.
    Conflict {
        /// Of which session.
        handle: Key,
        /// The entries.
        keys: Vec<String>,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// The application deleted it: a log out.
    Deleted,
    /// A decision deleted it.
    Refused,
    /// All sessions, or all others, of its subject were revoked.
    Revoked,
    /// It made room for another session of its subject.
    Evicted,
}

/// Tells the application, if it wants to know.
pub(crate) struct Announcer {
    pub(crate) events: Option<Arc<dyn Events>>,
    pub(crate) spawn: Option<Spawn>,
    pub(crate) time: Arc<StoreTime>,
    pub(crate) counting: Arc<Counting>,
    pub(crate) running: Arc<AtomicUsize>,
}

impl Announcer {
    pub(crate) fn announce(&self, event: impl FnOnce() -> Event) {
        let (Some(events), Some(spawn)) = (&self.events, &self.spawn) else {
            return;
        };
        let Some(place) = Place::take(&self.running, Arc::clone(&self.counting)) else {
            self.counting.failed_events.add();
            tracing::warn!("an event was dropped: too many of them run");
            return;
        };
        let (events, time, event) = (Arc::clone(events), Arc::clone(&self.time), event());
        spawn(Box::pin(async move {
            let told = AssertUnwindSafe(events.on(event)).catch_unwind();
            match time.within(DEADLINE, told).await {
                Some(Ok(())) => place.done(),
                Some(Err(_)) => tracing::warn!("the handler of an event panicked"),
                None => tracing::warn!("the handler of an event took too long"),
            }
        }));
    }
}

const DEADLINE: Duration = Duration::from_secs(10);
const MOST: usize = 1024;

/// One of the events that may run at once. Counted as failed unless it was done.
struct Place {
    running: Arc<AtomicUsize>,
    counting: Arc<Counting>,
    done: bool,
}

impl Place {
    fn take(running: &Arc<AtomicUsize>, counting: Arc<Counting>) -> Option<Self> {
        let taken = running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |running| {
            (running < MOST).then_some(running + 1)
        });
        taken.is_ok().then(|| Self {
            running: Arc::clone(running),
            counting,
            done: false,
        })
    }

    fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        if !self.done {
            self.counting.failed_events.add();
        }
    }
}
