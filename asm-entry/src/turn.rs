//! One step on an entry: when it happens, and what it sets off.

use std::time::Duration;

use asm_core::{Change, Epoch, Error, ErrorKind, Key, LockToken, Result, Timestamp};

use crate::EntryStore;

/// The intervals by which dead waiters are told from live ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a waiter looks again when nothing wakes it. Its sign of life, too.
    pub recheck: Duration,
    /// How long a hand-off stays provisional.
    pub confirm: Duration,
    /// How long a ticket lives without a sign of life.
    pub silence: Duration,
}

impl Timing {
    /// The intervals that follow from a recheck: two of them to confirm, three to be dead.
    ///
    /// ```
    /// use std::time::Duration;
    /// use asm_entry::Timing;
    ///
    /// let timing = Timing::of_recheck(Duration::from_secs(1));
    /// assert_eq!(timing, Timing::default());
    /// assert_eq!(timing.confirm, Duration::from_secs(2));
    /// ```
    #[must_use]
    pub const fn of_recheck(recheck: Duration) -> Self {
        Self {
            recheck,
            confirm: recheck.saturating_mul(2),
            silence: recheck.saturating_mul(3),
        }
    }
}

impl Default for Timing {
    /// A recheck each second.
    fn default() -> Self {
        Self::of_recheck(Duration::from_secs(1))
    }
}

/// One step on an entry: the store's now going in, the effects coming out.
///
/// A store makes a new one for each run of a step, so that a run which is rolled back leaves no
/// effect.
#[derive(Debug)]
pub struct Turn {
    now: Timestamp,
    timing: Timing,
    room: Option<usize>,
    effects: Effects,
}

impl Turn {
    /// A step that happens now.
    #[must_use]
    pub fn new(now: Timestamp, timing: Timing) -> Self {
        Self {
            now,
            timing,
            room: None,
            effects: Effects::default(),
        }
    }

    /// Limits by how many bytes the step may make the entry grow. A step that needs more fails with
    /// `Full` and changes nothing.
    #[must_use]
    pub fn with_room(mut self, bytes: usize) -> Self {
        self.room = Some(bytes);
        self
    }

    /// The store's now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What the step set off, to be delivered once it is committed.
    pub fn into_effects(self) -> Effects {
        self.effects
    }

    pub(crate) fn timing(&self) -> Timing {
        self.timing
    }

    pub(crate) fn wake(&mut self, token: LockToken) {
        self.effects.wakes.push(token);
    }

    pub(crate) fn publish(&mut self, change: Change, epoch: Epoch) {
        self.effects.change = Some((change, epoch));
    }

    /// Fails when the entry may not grow from one size to another.
    pub(crate) fn make_room(&self, from: usize, to: usize) -> Result<()> {
        match self.room {
            Some(room) if to.saturating_sub(from) > room => Err(Error::new(
                ErrorKind::Full,
                "the store has no room for the bytes of this write",
            )),
            _ => Ok(()),
        }
    }
}

/// What a step set off: waiters to wake, a change to publish.
#[derive(Debug, Default)]
#[must_use = "waiters and subscribers are told by `deliver`"]
pub struct Effects {
    wakes: Vec<LockToken>,
    change: Option<(Change, Epoch)>,
}

impl Effects {
    /// Wakes and publishes through what the store has for it. Call it after the commit, with no
    /// lock held.
    pub fn deliver<S: EntryStore>(self, key: &Key, store: &S) {
        if let Some(wakeups) = store.wakeups() {
            for token in &self.wakes {
                wakeups.wake(token);
            }
        }
        if let (Some(feed), Some((change, epoch))) = (store.feed(), self.change) {
            feed.publish(key, change, epoch);
        }
    }

    /// The waiters to wake, for a store that reaches other processes by itself.
    #[must_use]
    pub fn wakes(&self) -> &[LockToken] {
        &self.wakes
    }

    /// The change to publish, and the epoch after it, for a store that reaches other processes by
    /// itself.
    #[must_use]
    pub fn change(&self) -> Option<(Change, Epoch)> {
        self.change
    }
}
