//! How long sessions live.

use std::time::Duration;

use asm_core::{Error, ErrorKind, Result, Timestamp};

use crate::{Bots, ClientKind, head::Head};

/// How long sessions live.
///
/// A session ends when it is not used for its *idle* time, and in any case at its *absolute*
/// deadline, counted from its creation or its last authentication. Whoever comes once and never
/// again is not kept that long: until a client came back, its session has the *first* lifetime.
///
/// ```
/// use std::time::Duration;
/// use asm_session::Lifetimes;
///
/// const MINUTE: Duration = Duration::from_secs(60);
///
/// let shop = Lifetimes::builder().idle(90 * MINUTE).first(None).build()?;
/// assert_eq!(shop.idle(), 90 * MINUTE);
/// // Zero is not "not set", and not a lifetime either.
/// assert!(Lifetimes::builder().idle(Duration::ZERO).build().is_err());
/// # Ok::<(), asm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    idle: Duration,
    absolute: Option<Duration>,
    first: Option<Duration>,
    bots: Bots,
    bot_first: Option<Duration>,
    bot_idle: Duration,
    growth: Growth,
    min: Duration,
    max: Duration,
}

/// What ends the first lifetime of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Growth {
    /// The client came back once.
    #[default]
    ByReturn,
    /// The session was saved a third time: the first save gives one first lifetime, the second one
    /// gives two. This is the ladder of php-redis-session-abstract, where every request saves.
    BySaves,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            idle: 24 * HOUR,
            absolute: Some(30 * DAY),
            first: Some(10 * MINUTE),
            bots: Bots::default(),
            bot_first: Some(MINUTE),
            bot_idle: 2 * HOUR,
            growth: Growth::default(),
            min: MINUTE,
            max: 30 * DAY,
        }
    }
}

impl Lifetimes {
    /// The defaults, to be changed: idle 24 h, absolute 30 days, first 10 min; bots 1 min, then
    /// 2 h; at least 1 min, at most 30 days.
    pub fn builder() -> LifetimesBuilder {
        LifetimesBuilder(Self::default())
    }

    /// For authentication assurance level 2: idle 1 h, absolute 24 h.
    ///
    /// Source: NIST SP 800-63B-4, section 2.2.3, "Reauthentication".
    #[must_use]
    pub fn aal2() -> Self {
        Self::assured(HOUR, 24 * HOUR)
    }

    /// For authentication assurance level 3: idle 15 min, absolute 12 h.
    ///
    /// Source: NIST SP 800-63B-4, section 2.3.3, "Reauthentication".
    #[must_use]
    pub fn aal3() -> Self {
        Self::assured(15 * MINUTE, 12 * HOUR)
    }

    /// A session's stored lifetime cannot pass what the level allows either.
    fn assured(idle: Duration, absolute: Duration) -> Self {
        Self {
            idle,
            absolute: Some(absolute),
            bot_idle: idle,
            max: idle,
            ..Self::default()
        }
    }

    /// How long a session lives without being used.
    #[must_use]
    pub const fn idle(&self) -> Duration {
        self.idle
    }

    /// How long it lives at most after its creation or its last authentication.
    #[must_use]
    pub const fn absolute(&self) -> Option<Duration> {
        self.absolute
    }

    /// The longest that any session can live without being used.
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.max
    }

    /// Whether sessions of such a client are stored at all.
    #[must_use]
    pub fn stores(&self, kind: ClientKind) -> bool {
        !(kind == ClientKind::Bot && self.bots == Bots::NoStore)
    }

    /// The absolute deadline of a session, if it has one. From then on it is over, whatever the
    /// store says.
    pub(crate) fn deadline(&self, head: &Head) -> Option<Timestamp> {
        self.absolute.map(|absolute| head.begun() + absolute)
    }

    /// The lifetime, from `now`, that a use of a session gives it. `saves` counts those stored
    /// before. Zero at its absolute deadline.
    pub(crate) fn ttl(&self, head: &Head, saves: u64, now: Timestamp) -> Duration {
        let idle = self.unused(head, saves);
        match self.deadline(head) {
            Some(deadline) => idle.min(deadline.since(now)),
            None => idle,
        }
    }

    /// The lifetime to touch a session with that has `left`, when more than a tenth of its idle
    /// time was used up.
    pub(crate) fn touch(
        &self,
        head: &Head,
        saves: u64,
        left: Option<Duration>,
        now: Timestamp,
    ) -> Option<Duration> {
        let ttl = self.ttl(head, saves, now);
        let tenth = self.unused(head, saves) / 10;
        let used = ttl.saturating_sub(left.unwrap_or_default());
        (used > tenth).then_some(ttl)
    }

    /// How long a session lives when it is not used, but for its absolute deadline.
    fn unused(&self, head: &Head, saves: u64) -> Duration {
        let usual = || match head.kind {
            ClientKind::Bot if self.bots != Bots::AsHuman => {
                self.grown(self.bot_first, self.bot_idle, head, saves)
            }
            _ => self.grown(self.first, self.idle, head, saves),
        };
        let wish = head.lifetime.unwrap_or_else(usual);
        wish.max(self.min).min(self.max)
    }

    fn grown(&self, first: Option<Duration>, idle: Duration, head: &Head, saves: u64) -> Duration {
        let early = match self.growth {
            Growth::ByReturn => first.filter(|_| !head.returned),
            Growth::BySaves => match saves {
                0 => first,
                1 => first.map(|first| first.saturating_mul(2)),
                _ => None,
            },
        };
        early.map_or(idle, |early| early.min(idle))
    }
}

/// Makes [`Lifetimes`].
#[derive(Clone, Debug)]
#[must_use]
pub struct LifetimesBuilder(Lifetimes);

impl LifetimesBuilder {
    /// How long a session lives without being used.
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.0.idle = idle;
        self
    }

    /// How long it lives at most after its creation or its last authentication, whatever else is
    /// set. `None`: as long as it is used.
    pub fn absolute(mut self, absolute: impl Into<Option<Duration>>) -> Self {
        self.0.absolute = absolute.into();
        self
    }

    /// What it has instead of the idle time until its client came back. `None`: nothing.
    pub fn first(mut self, first: impl Into<Option<Duration>>) -> Self {
        self.0.first = first.into();
        self
    }

    /// What becomes of the sessions of bots.
    pub const fn bots(mut self, bots: Bots) -> Self {
        self.0.bots = bots;
        self
    }

    /// The idle time of a bot's session.
    pub const fn bot_idle(mut self, idle: Duration) -> Self {
        self.0.bot_idle = idle;
        self
    }

    /// What it has instead until the bot came back. `None`: nothing.
    pub fn bot_first(mut self, first: impl Into<Option<Duration>>) -> Self {
        self.0.bot_first = first.into();
        self
    }

    /// What ends the first lifetime.
    pub const fn growth(mut self, growth: Growth) -> Self {
        self.0.growth = growth;
        self
    }

    /// The shortest that any session lives without being used. Applied after everything but the
    /// longest and the absolute deadline.
    pub const fn min(mut self, min: Duration) -> Self {
        self.0.min = min;
        self
    }

    /// The longest that any session lives without being used. Applied last.
    pub const fn max(mut self, max: Duration) -> Self {
        self.0.max = max;
        self
    }

    /// The lifetimes.
    ///
    /// # Errors
    /// `Invalid` for a lifetime of zero, and when the shortest is longer than the longest.
    pub fn build(self) -> Result<Lifetimes> {
        let it = self.0;
        let set = [it.absolute, it.first, it.bot_first].into_iter().flatten();
        if set
            .chain([it.idle, it.bot_idle, it.min, it.max])
            .any(|time| time.is_zero())
        {
            return Err(invalid(
                "a lifetime of zero is none: leave it out or set `None`",
            ));
        }
        if it.min > it.max {
            return Err(invalid("the shortest lifetime is longer than the longest"));
        }
        Ok(it)
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn invalid(why: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, why)
}
