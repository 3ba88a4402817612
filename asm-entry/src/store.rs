//! What a backend with transactions implements.

use std::{
    fmt::{self, Debug},
    future::{self, Future},
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
};

use asm_core::{Clock, Cursor, DriverInfo, Key, Listed, Result, Subject};
use async_trait::async_trait;

use crate::{Entry, Feed, Parts, SubjectEntry, Timing, Turn, Wakeups};

/// Work that goes on without its caller.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A place that keeps entries and runs steps on them, each as one transaction.
///
/// [`EntryDriver`](crate::EntryDriver) makes a driver of it. What a backend does not have
/// (wake-ups, feed, scan) it leaves out: waiters then look again once per recheck, and the driver
/// lacks the facet.
pub trait EntryStore: Debug + Send + Sync + 'static {
    /// Whether an entry is always loaded with all of its parts, whichever are asked for. The driver
    /// then keeps no copy of a step for the case that it needs more.
    const WHOLE: bool = false;

    /// What there is to know about the driver.
    fn info(&self) -> DriverInfo;

    /// The store's time. It also times the waiters.
    fn clock(&self) -> &Arc<dyn Clock>;

    /// Runs a step on the entry of this key, as one transaction:
    ///
    /// 1. load the `parts` (and the head in any case) of the entry, a vacant one if there is none;
    /// 2. run the step with a new [`Turn`] of the present time;
    /// 3. store what [`Entry::changes`] says, all of it or nothing;
    /// 4. deliver the turn's effects;
    /// 5. answer what the step answered.
    ///
    /// The step is pure. After a serialization failure it may be run again on a fresh entry with a
    /// fresh turn.
    ///
    /// A transaction whose future is dropped either never happens, or is over before any that is
    /// begun later through this handle on the same key. (So a release always comes after the
    /// acquisition that it undoes.)
    ///
    /// # Errors
    /// Only those of the store; `Unknown` or `Timeout` when it cannot tell whether it committed.
    fn transact<R, F>(
        &self,
        key: &Key,
        parts: Parts,
        step: F,
    ) -> impl Future<Output = Result<R>> + Send
    where
        R: Send + 'static,
        F: FnMut(&mut Entry, &mut Turn) -> R + Send + 'static;

    /// Runs a step on the index of this subject, as one transaction. The step gets the present
    /// time. An index that [is empty](SubjectEntry::is_empty) afterwards need not be kept.
    ///
    /// # Errors
    /// Only those of the store.
    fn transact_subject<R, F>(
        &self,
        subject: &Subject,
        step: F,
    ) -> impl Future<Output = Result<R>> + Send
    where
        R: Send + 'static,
        F: FnMut(&mut SubjectEntry, asm_core::Timestamp) -> R + Send + 'static;

    /// Runs work that nobody waits for. Called from `Drop`, perhaps outside of any runtime.
    fn detach(&self, task: Task);

    /// The intervals that this store works with.
    fn timing(&self) -> Timing {
        Timing::default()
    }

    /// Wake-ups, if the store has them.
    fn wakeups(&self) -> Option<&Wakeups> {
        None
    }

    /// The feed, if the store has one. Whatever other processes publish must reach it too.
    fn feed(&self) -> Option<&Feed> {
        None
    }

    /// Begins to hear what other processes do to this session, until the answer is dropped. Called
    /// before a subscriber listens to the feed: whatever was published before this is done is told
    /// before it is done. A store that hears of everything in any case leaves it out.
    ///
    /// # Errors
    /// Only those of the store.
    fn follow(&self, key: &Key) -> impl Future<Output = Result<Following>> + Send {
        let _ = key;
        future::ready(Ok(Following::default()))
    }

    /// Scanning, if records do not expire by themselves.
    fn scan(&self) -> Option<&dyn Scan> {
        None
    }

    /// A list of what lives, for operators.
    fn census(&self) -> Option<&dyn Census> {
        None
    }
}

/// That a store hears what other processes do to one session. Dropping it ends that.
#[derive(Default)]
pub struct Following(Option<Box<dyn Send + Sync>>);

impl Following {
    /// Drops this when it ends.
    pub fn until_dropped(guard: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(guard)))
    }
}

impl Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following")
            .field("guarded", &self.0.is_some())
            .finish()
    }
}

/// Finds sessions whose life is over.
#[async_trait]
pub trait Scan: Debug + Send + Sync + 'static {
    /// Looks at about `batch` records from a cursor on, and answers those that are due. Each of
    /// them is looked at again, in a transaction, before it is removed.
    ///
    /// The indexes of subjects are the store's own to clean: entries whose time is over are dropped
    /// on the way (see [`SubjectEntry::is_due`]), or nobody would drop those of a user who never
    /// comes back.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is not of this store.
    async fn due(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Due>;

    /// Which part of all records lies behind a cursor, from 0 to 1, as far as that is known.
    fn progress(&self, at: &Cursor) -> Option<f64> {
        let _ = at;
        None
    }
}

/// Finds sessions that live.
#[async_trait]
pub trait Census: Debug + Send + Sync + 'static {
    /// Looks at about `batch` records from a cursor on, and answers those whose life is not over.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is not of this store.
    async fn alive(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Listed>;

    /// Which part of all records lies behind a cursor, from 0 to 1, as far as that is known.
    fn progress(&self, at: &Cursor) -> Option<f64> {
        let _ = at;
        None
    }
}

/// What one look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The sessions whose life seems to be over.
    pub keys: Vec<Key>,
    /// Records looked at.
    pub examined: u64,
    /// Records that could not be read.
    pub failed: u64,
    /// Where to go on. `None` at the end.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Plain;

    #[async_trait]
    impl Scan for Plain {
        async fn due(&self, _: Option<Cursor>, _: NonZeroUsize) -> Result<Due> {
            Ok(Due::default())
        }
    }

    #[async_trait]
    impl Census for Plain {
        async fn alive(&self, _: Option<Cursor>, _: NonZeroUsize) -> Result<Listed> {
            Ok(Listed::default())
        }
    }

    #[test]
    fn who_cannot_tell_how_far_it_is_says_nothing() {
        let at = Cursor(Vec::new().into());
        assert_eq!(Scan::progress(&Plain, &at), None);
        assert_eq!(Census::progress(&Plain, &at), None);
    }
}
