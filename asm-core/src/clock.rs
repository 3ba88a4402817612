//! Time, as a driver that keeps its own sees it.

use std::{fmt::Debug, future::Future, ops::Add, pin::Pin, time::Duration};

/// A point of store time: whole microseconds since the Unix epoch, by the store's clock.
///
/// ```
/// use std::time::Duration;
/// use asm_core::Timestamp;
///
/// let start = Timestamp::from_micros(1_000_000);
/// let later = start + Duration::from_millis(20);
/// assert_eq!(later.since(start), Duration::from_millis(20));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point that many microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long `earlier` lies before this point; zero when it does not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the end of time, about 584,000 years from the epoch.
    fn add(self, by: Duration) -> Self {
        let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(by))
    }
}

/// Where a driver gets the time from, and how it waits.
///
/// Drivers take one, so that a test moves time instead of sleeping. `asm-entry` has the one for
/// tokio, `asm-testkit` the one that is moved by hand.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present. Never goes back, whatever happens to the machine's wall clock.
    fn now(&self) -> Timestamp;

    /// A future that is ready once `by` has passed. Dropping it is free.
    fn sleep(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_saturates() {
        assert_eq!(
            Timestamp::from_micros(1) + Duration::MAX,
            Timestamp::from_micros(u64::MAX)
        );
    }
}
