//! How often a driver was asked.

use std::{
    collections::BTreeMap,
    fmt, mem,
    sync::{Mutex, PoisonError},
};

use asm_core::{Driver, Key, LockToken, Result};
use async_trait::async_trait;

use crate::{Call, Layer, Layered, Verb};

/// Counts the calls on a driver by verb. A call is one round trip on a networked store, so this is
/// what a budget of round trips is asserted with.
///
/// ```
/// # use asm_core::{Driver, Key, Open, Result, SessionStore};
/// use asm_testkit::{Counting, Verb};
///
/// # async fn example(driver: impl Driver, key: Key) -> Result<()> {
/// let driver = Counting::over(driver);
/// driver.open(&key, Open { lock: None }).await?;
/// driver.layer().take().expect(&[(Verb::Open, 1)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Counting<D> {
    inner: D,
    calls: Mutex<Calls>,
}

/// How often each verb was called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls(BTreeMap<Verb, u64>);

impl<D: Driver> Counting<D> {
    /// A driver that counts what it is asked, and passes it on.
    #[must_use]
    pub fn over(driver: D) -> Layered<Self> {
        Layered::new(Self {
            inner: driver,
            calls: Mutex::default(),
        })
    }

    /// What was called so far, or since the last [`Counting::take`].
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.with(|calls| calls.clone())
    }

    /// What was called so far, or since the last time; counting starts again from zero.
    pub fn take(&self) -> Calls {
        self.with(mem::take)
    }

    fn count(&self, verb: Verb) {
        self.with(|calls| *calls.0.entry(verb).or_default() += 1);
    }

    fn with<T>(&self, look: impl FnOnce(&mut Calls) -> T) -> T {
        look(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Calls {
    /// How often this verb was called.
    #[must_use]
    pub fn of(&self, verb: Verb) -> u64 {
        self.0.get(&verb).copied().unwrap_or_default()
    }

    /// How many calls there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The calls that came after these.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let grown = self
            .0
            .iter()
            .map(|(verb, count)| (*verb, count - earlier.of(*verb)));
        Self(grown.filter(|(_, count)| *count > 0).collect())
    }

    /// Panics unless it was these calls, and no other.
    #[track_caller]
    pub fn expect(&self, calls: &[(Verb, u64)]) {
        let expected = Self(
            calls
                .iter()
                .copied()
                .filter(|(_, count)| *count > 0)
                .collect(),
        );
        assert!(
            *self == expected,
            "expected these calls: {expected}; there were: {self}"
        );
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (place, (verb, count)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {verb}")?;
        }
        Ok(())
    }
}

#[async_trait]
impl<D: Driver> Layer for Counting<D> {
    fn inner(&self) -> &dyn Driver {
        &self.inner
    }

    async fn around<T: Send + 'static>(&self, call: Call<'_, T>) -> Result<T> {
        self.count(call.verb);
        call.send().await
    }

    fn abandon(&self, key: &Key, token: &LockToken) {
        self.count(Verb::Abandon);
        self.inner.abandon(key, token);
    }
}
