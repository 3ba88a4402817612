//! A case's storage, with a mutant for a driver.

use std::{
    any::type_name,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use asm_core::{Clock, Driver};
use async_trait::async_trait;

use super::bench::{Base, Flaws, Storage, lock};
use crate::{Harness, Layer, Layered, ManualClock, Suite, WrongClock};

/// A driver with one thing wrong.
pub(super) trait Broken: Layer + Sized {
    /// What all its handles know together.
    type Notes: Default + Send + 'static;

    /// What is broken below the verbs.
    const FLAWS: Flaws;

    /// A handle.
    fn new(base: Base, notes: Notes<Self::Notes>) -> Self;
}

/// What all handles of a mutant know together.
pub(super) struct Notes<T>(Arc<Mutex<T>>);

impl<T> Notes<T> {
    /// Reads or changes them.
    pub(super) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut lock(&self.0))
    }
}

impl<T> Clone for Notes<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Notes<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for Notes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notes")
    }
}

/// The suite of a mutant.
pub(super) fn suite<M: Broken>() -> Suite {
    Suite::new(|| async { Workshop::<M>::new() })
}

/// A storage of a mutant.
pub(super) fn start<M: Broken>() -> Box<dyn Harness> {
    Box::new(Workshop::<M>::new())
}

/// Two namespaces: two storages that share nothing but the clock.
pub(super) struct Workshop<M: Broken> {
    clock: ManualClock,
    here: Arc<Storage>,
    there: Arc<Storage>,
    notes: Notes<M::Notes>,
}

impl<M: Broken> Workshop<M> {
    pub(super) fn new() -> Self {
        let clock = ManualClock::new();
        let here = Storage::new(&clock);
        let there = if M::FLAWS.one_namespace {
            Arc::clone(&here)
        } else {
            Storage::new(&clock)
        };
        Self {
            here,
            there,
            clock,
            notes: Notes::default(),
        }
    }

    fn driver(&self, base: Base) -> Arc<dyn Driver> {
        Arc::new(Layered::new(M::new(base, self.notes.clone())))
    }

    fn time(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }
}

#[async_trait]
impl<M: Broken> Harness for Workshop<M> {
    async fn connect(&self) -> Arc<dyn Driver> {
        self.driver(self.here.connect(M::FLAWS, self.time()))
    }

    async fn neighbour(&self) -> Arc<dyn Driver> {
        self.driver(self.there.connect(M::FLAWS, self.time()))
    }

    async fn connect_with_clock_off(&self, by: Duration, ahead: bool) -> Arc<dyn Driver> {
        let clock = WrongClock::new(self.time(), by, ahead);
        self.driver(self.here.connect(M::FLAWS, Arc::new(clock)))
    }

    async fn connect_deaf(&self) -> Arc<dyn Driver> {
        self.driver(self.here.connect_deaf(M::FLAWS))
    }

    fn recheck(&self) -> Duration {
        Flaws::NONE.timing.recheck
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.time()
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by).await;
    }

    async fn holdings(&self) -> usize {
        let mut holdings = self.here.holdings();
        if !Arc::ptr_eq(&self.here, &self.there) {
            holdings += self.there.holdings();
        }
        holdings
    }

    async fn stop(&self) {
        self.here.stop();
        self.there.stop();
        assert_eq!(self.clock.sleepers(), 0, "sleepers left");
    }
}

impl<M: Broken> fmt::Debug for Workshop<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workshop({})", type_name::<M>())
    }
}
