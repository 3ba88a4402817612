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

    /// Whether its absolute deadline has come.
    pub(crate) fn is_over(&self, head: &Head, now: Timestamp) -> bool {
        self.deadline(head).is_some_and(|end| end <= now)
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
    /// time was used up, and there is more to be had before its absolute deadline.
    pub(crate) fn touch(
        &self,
        head: &Head,
        saves: u64,
        left: Option<Duration>,
        now: Timestamp,
    ) -> Option<Duration> {
        let ttl = self.ttl(head, saves, now);
        let idle = self.unused(head, saves);
        let left = left.unwrap_or_default();
        let used = idle.saturating_sub(left);
        (used > idle / 10 && ttl.saturating_sub(left) > UNEVEN).then_some(ttl)
    }

    /// How long a session that has `left` was not used, as far as the store knows: uses within a
    /// tenth of the idle time leave no trace.
    pub(crate) fn idle_for(&self, head: &Head, saves: u64, left: Option<Duration>) -> Duration {
        // A session without a lifetime was kept for no use of it.
        let Some(left) = left else {
            return Duration::MAX;
        };
        let unused = self.unused(head, saves);
        if unused >= left {
            return unused - left;
        }
        // Its client came back, which was worth no save of its own.
        let head = Head {
            returned: true,
            ..head.clone()
        };
        self.unused(&head, saves).saturating_sub(left)
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

/// By how much a store may cut a lifetime that nobody has used up.
const UNEVEN: Duration = Duration::from_secs(1);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn invalid(why: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, why)
}

#[cfg(test)]
mod tests {
    use asm_core::Epoch;
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{id::SecretHash, rotation::HeadChange};

    const SECOND: Duration = Duration::from_secs(1);

    fn head(kind: ClientKind) -> Head {
        let hash = SecretHash::from_bytes([0; 32]);
        Head::new(hash, Epoch::new(0), kind, at(Duration::ZERO))
    }

    fn returned(kind: ClientKind) -> Head {
        Head {
            returned: true,
            ..head(kind)
        }
    }

    fn at(since: Duration) -> Timestamp {
        Timestamp::from_micros(0) + since
    }

    #[test]
    fn how_long_it_was_not_used_is_told_by_what_is_left() {
        let lifetimes = Lifetimes::default();
        let human = ClientKind::Human;
        let cases = [
            (head(human), Some(10 * MINUTE), Duration::ZERO),
            (head(human), Some(9 * MINUTE), MINUTE),
            // It came back, and that was not saved.
            (head(human), Some(23 * HOUR), HOUR),
            (returned(human), Some(9 * MINUTE), 24 * HOUR - 9 * MINUTE),
            (returned(human), None, Duration::MAX),
        ];
        for (head, left, expected) in cases {
            assert_eq!(lifetimes.idle_for(&head, 0, left), expected, "{left:?}");
        }
    }

    #[test]
    fn the_class_of_a_client_says_how_long_its_session_lives() {
        let usual = Lifetimes::default();
        let as_human = Lifetimes::builder().bots(Bots::AsHuman).build().unwrap();
        let cases = [
            (&usual, head(ClientKind::Unknown), 10 * MINUTE),
            (&usual, head(ClientKind::Human), 10 * MINUTE),
            (&usual, returned(ClientKind::Human), 24 * HOUR),
            (&usual, head(ClientKind::Bot), MINUTE),
            (&usual, returned(ClientKind::Bot), 2 * HOUR),
            (&as_human, head(ClientKind::Bot), 10 * MINUTE),
            (&as_human, returned(ClientKind::Bot), 24 * HOUR),
        ];
        for (lifetimes, head, expected) in cases {
            assert_eq!(lifetimes.ttl(&head, 0, head.created), expected, "{head:?}");
            assert!(lifetimes.stores(head.kind));
        }
        let no_store = Lifetimes::builder().bots(Bots::NoStore).build().unwrap();
        assert!(!no_store.stores(ClientKind::Bot));
        assert!(no_store.stores(ClientKind::Unknown));
    }

    #[test]
    fn the_first_lifetime_is_never_longer_than_the_idle_time() {
        let short = Lifetimes::builder().idle(2 * MINUTE).build().unwrap();
        let head = head(ClientKind::Human);
        assert_eq!(short.ttl(&head, 0, head.created), 2 * MINUTE);
    }

    #[test]
    fn a_lifetime_can_grow_by_saves_instead() {
        let ladder = Lifetimes::builder()
            .growth(Growth::BySaves)
            .build()
            .unwrap();
        let ttl = |head: &Head, saves| ladder.ttl(head, saves, head.created);
        let (human, bot) = (head(ClientKind::Human), returned(ClientKind::Bot));
        assert_eq!(
            [0, 1, 2].map(|saves| ttl(&human, saves)),
            [10 * MINUTE, 20 * MINUTE, 24 * HOUR]
        );
        assert_eq!(
            [0, 1, 2].map(|saves| ttl(&bot, saves)),
            [MINUTE, 2 * MINUTE, 2 * HOUR]
        );
    }

    #[test]
    fn the_shortest_and_the_longest_apply_last_and_to_a_stored_lifetime_too() {
        let lifetimes = Lifetimes::default();
        let stored = |lifetime| Head {
            lifetime: Some(lifetime),
            ..head(ClientKind::Bot)
        };
        let cases = [
            (SECOND, MINUTE),
            (7 * DAY, 7 * DAY),
            (365 * DAY, 30 * DAY),
            (Duration::MAX, 30 * DAY),
        ];
        for (wish, expected) in cases {
            let head = stored(wish);
            assert_eq!(lifetimes.ttl(&head, 5, head.created), expected);
        }
    }

    #[test]
    fn the_absolute_deadline_wins_over_everything_but_an_authentication() {
        let lifetimes = Lifetimes::builder().absolute(DAY).build().unwrap();
        let mut head = Head {
            lifetime: Some(20 * DAY),
            ..returned(ClientKind::Human)
        };
        assert_eq!(lifetimes.ttl(&head, 9, at(Duration::ZERO)), DAY);
        assert_eq!(lifetimes.ttl(&head, 9, at(23 * HOUR)), HOUR);
        assert_eq!(lifetimes.ttl(&head, 9, at(DAY - SECOND)), SECOND);
        assert_eq!(lifetimes.ttl(&head, 9, at(DAY)), Duration::ZERO);
        assert_eq!(lifetimes.ttl(&head, 9, at(2 * DAY)), Duration::ZERO);
        assert_eq!(lifetimes.deadline(&head), Some(at(DAY)));

        let secret = SecretHash::from_bytes([1; 32]);
        let renewal = head.renewal(head.current, secret, HOUR);
        let _ = head.apply(&renewal, at(12 * HOUR));
        let _ = head.apply(&HeadChange::Confirm(secret), at(13 * HOUR));
        assert_eq!(lifetimes.deadline(&head), Some(at(DAY)));

        let login = head.authentication(SecretHash::from_bytes([2; 32]), Epoch::new(1));
        let _ = head.apply(&login, at(20 * HOUR));
        assert_eq!(lifetimes.deadline(&head), Some(at(44 * HOUR)));
    }

    #[test]
    fn without_an_absolute_deadline_use_alone_keeps_a_session() {
        let lifetimes = Lifetimes::builder().absolute(None).build().unwrap();
        let head = returned(ClientKind::Human);
        assert_eq!(lifetimes.deadline(&head), None);
        assert_eq!(lifetimes.ttl(&head, 0, at(1000 * DAY)), 24 * HOUR);
    }

    #[test]
    fn a_touch_is_due_when_more_than_a_tenth_is_used_up() {
        let lifetimes = Lifetimes::default();
        let head = returned(ClientKind::Human);
        let day = 24 * HOUR;
        let touch = |left, now| lifetimes.touch(&head, 1, left, now);
        assert_eq!(touch(Some(day), at(DAY)), None);
        assert_eq!(touch(Some(day * 9 / 10), at(DAY)), None);
        assert_eq!(touch(Some(day * 9 / 10 - SECOND), at(DAY)), Some(day));
        // A session that lost its lifetime, and one whose client has come back for the first time.
        assert_eq!(touch(None, at(DAY)), Some(day));
        assert_eq!(touch(Some(10 * MINUTE), at(DAY)), Some(day));
        // However little is left before the absolute deadline, all of it is to be had.
        let end = at(30 * DAY - HOUR);
        assert_eq!(touch(Some(HOUR - MINUTE), end), Some(HOUR));
        assert_eq!(touch(Some(HOUR - SECOND), end), None);
        // Nothing is to be had beyond it.
        assert_eq!(touch(Some(HOUR), at(30 * DAY - HOUR)), None);
    }

    #[test]
    fn zero_is_not_a_lifetime_and_not_the_same_as_none() {
        let builder = Lifetimes::builder;
        let zeros = [
            builder().idle(Duration::ZERO),
            builder().absolute(Duration::ZERO),
            builder().first(Duration::ZERO),
            builder().bot_idle(Duration::ZERO),
            builder().bot_first(Duration::ZERO),
            builder().min(Duration::ZERO),
            builder().max(Duration::ZERO),
            builder().min(2 * HOUR).max(HOUR),
        ];
        for wrong in zeros {
            assert_eq!(wrong.build().unwrap_err().kind(), ErrorKind::Invalid);
        }
        let only = builder().min(HOUR).max(HOUR).build().unwrap();
        let human = head(ClientKind::Human);
        assert_eq!(only.ttl(&human, 0, human.created), HOUR);
        let none = builder()
            .absolute(None)
            .first(None)
            .bot_first(None)
            .build()
            .unwrap();
        let bot = head(ClientKind::Bot);
        assert_eq!(none.ttl(&human, 0, human.created), 24 * HOUR);
        assert_eq!(none.ttl(&bot, 0, bot.created), 2 * HOUR);
    }

    #[test]
    fn the_presets_keep_their_levels_whatever_a_session_stores() {
        let levels = [
            (Lifetimes::aal2(), HOUR, 24 * HOUR),
            (Lifetimes::aal3(), 15 * MINUTE, 12 * HOUR),
        ];
        for (lifetimes, idle, absolute) in levels {
            assert_eq!(lifetimes.idle(), idle);
            assert_eq!(lifetimes.absolute(), Some(absolute));
            let kinds = [ClientKind::Human, ClientKind::Bot];
            for head in kinds
                .into_iter()
                .flat_map(|kind| [head(kind), returned(kind)])
            {
                let forever = Head {
                    lifetime: Some(365 * DAY),
                    ..head.clone()
                };
                assert!(lifetimes.ttl(&head, 0, head.created) <= idle);
                assert_eq!(lifetimes.ttl(&forever, 0, head.created), idle);
                assert_eq!(lifetimes.deadline(&forever), Some(at(absolute)));
            }
        }
    }

    proptest! {
        #[test]
        fn after_a_use_the_idle_deadline_is_at_most_a_tenth_early(
            pauses in vec(0..26 * 60_u32, 1..100),
        ) {
            let lifetimes = Lifetimes::builder().absolute(None).build().unwrap();
            let head = returned(ClientKind::Human);
            let idle = lifetimes.idle();
            let mut now = at(DAY);
            let mut deadline = now + idle;
            for pause in pauses {
                now = now + pause * MINUTE;
                if deadline <= now {
                    prop_assert!(pause * MINUTE >= idle * 9 / 10, "expired within the idle time");
                    break;
                }
                if let Some(ttl) = lifetimes.touch(&head, 1, Some(deadline.since(now)), now) {
                    prop_assert!(now + ttl > deadline, "a touch that gives nothing");
                    deadline = now + ttl;
                }
                prop_assert!(deadline.since(now) >= idle * 9 / 10);
                prop_assert!(deadline.since(now) <= idle);
            }
        }
    }
}
