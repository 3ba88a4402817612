//! How sessions are set up, and what is refused there.

use std::{
    fmt::{self, Debug},
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use asm_core::{CONTRACT, Clock, Codec, Driver, Label, Timestamp};

use crate::{
    AtCap, Decisions, Events, Format, IdSource, Json, Lifetimes, LockMode, OnConflict,
    OnLockTimeout, OsRandom, Result, RotationPolicy, SessionError, Sessions,
    clock::{Spawn, StoreTime, process_clock, process_spawn},
    counters::Counting,
    decisions::Judge,
    envelope::{Envelope, EnvelopeBuilder, Limits},
    events::Announcer,
    format::Formats,
    lock::LockSettings,
    sessions::Shared,
    subjects::SubjectSettings,
};

/// Sets up [`Sessions`]. What is left out has a default that is right for most sites.
#[must_use]
pub struct SessionsBuilder {
    driver: Arc<dyn Driver>,
    mode: LockMode,
    label: Label,
    locks: LockSettings,
    on_conflict: OnConflict,
    strict: bool,
    touch_reads: bool,
    plain_counters: bool,
    lifetimes: Lifetimes,
    rotation: RotationPolicy,
    envelope: EnvelopeBuilder,
    limits: Limits,
    format: Arc<dyn Format>,
    other_formats: Vec<Arc<dyn Format>>,
    subjects: SubjectSettings,
    ids: Arc<dyn IdSource>,
    clock: Option<Arc<dyn Clock>>,
    spawn: Option<Spawn>,
    decisions: Option<Arc<dyn Decisions>>,
    decision_deadline: Duration,
    events: Option<Arc<dyn Events>>,
}

impl SessionsBuilder {
    pub(crate) fn new(driver: Arc<dyn Driver>) -> Self {
        Self {
            driver,
            mode: LockMode::default(),
            label: Label::default(),
            locks: LockSettings::default(),
            on_conflict: OnConflict::default(),
            strict: false,
            touch_reads: true,
            plain_counters: false,
            lifetimes: Lifetimes::default(),
            rotation: RotationPolicy::default(),
            envelope: Envelope::builder(),
            limits: Limits::default(),
            format: Arc::new(Json),
            other_formats: Vec::new(),
            subjects: SubjectSettings::default(),
            ids: Arc::new(OsRandom),
            clock: process_clock(),
            spawn: process_spawn(),
            decisions: None,
            decision_deadline: Duration::from_secs(2),
            events: None,
        }
    }

    /// How sessions are locked; [`Optimistic`](LockMode::Optimistic) unless set.
    pub const fn lock_mode(mut self, mode: LockMode) -> Self {
        self.mode = mode;
        self
    }

    /// How long a lock lasts unless it is renewed: 10 s.
    pub const fn lock_hold(mut self, hold: Duration) -> Self {
        self.locks.hold = hold;
        self
    }

    /// How often a lock is renewed by whoever keeps it alive: each 3 s.
    pub const fn lock_renewal(mut self, every: Duration) -> Self {
        self.locks.renewal = every;
        self
    }

    /// How long to wait for a lock: 15 s. Zero is a try.
    pub const fn lock_wait(mut self, wait: Duration) -> Self {
        self.locks.wait = wait;
        self
    }

    /// How many may wait for one lock: 6. `Some(0)` means never wait, `None` no limit.
    pub fn lock_queue(mut self, most: impl Into<Option<u32>>) -> Self {
        self.locks.queue = most.into();
        self
    }

    /// What happens when a lock does not come in time; an error unless set.
    pub const fn on_lock_timeout(mut self, then: OnLockTimeout) -> Self {
        self.locks.on_timeout = then;
        self
    }

    /// What operators see of this process when it holds a lock or waits for one.
    pub fn label(mut self, label: &str) -> Self {
        self.label = Label::new(label);
        self
    }

    /// What becomes of an entry that was read, then written, and changed by somebody else in
    /// between; an error unless set.
    pub const fn on_conflict(mut self, then: OnConflict) -> Self {
        self.on_conflict = then;
        self
    }

    /// Whether it is also a conflict when an entry was read, changed by somebody else, and *not*
    /// written: then saves are serializable, and write skew is not possible. Off unless set.
    pub const fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Whether a session that is open for reading only is used, and so lives on. It is unless set.
    pub const fn touch_reads(mut self, touch: bool) -> Self {
        self.touch_reads = touch;
        self
    }

    /// How long sessions live.
    pub fn lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.lifetimes = lifetimes;
        self
    }

    /// When ids are replaced without being asked to; never unless set.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.rotation = policy;
        self
    }

    /// Writes records through this codec, after those named before, and reads what went through it
    /// or one of its [relatives](Codec::relatives).
    pub fn codec(self, codec: impl Codec) -> Self {
        self.shared_codec(Arc::new(codec))
    }

    /// As [`codec`](Self::codec), with one that is shared.
    pub fn shared_codec(mut self, codec: Arc<dyn Codec>) -> Self {
        self.envelope = self.envelope.codec(codec);
        self
    }

    /// Reads records that went through this codec, and writes none through it.
    pub fn reads(mut self, codec: impl Codec) -> Self {
        self.envelope = self.envelope.reads(Arc::new(codec));
        self
    }

    /// Until then, reads what is not sealed although it should be: while seals are introduced to a
    /// live system. Whoever can write the store can write sessions until then.
    pub fn unsealed_until(mut self, end: Timestamp) -> Self {
        self.envelope = self.envelope.unsealed_until(end);
        self
    }

    /// The most bytes that the entries of a session may have before any codec: 4 MiB.
    pub const fn plain_limit(mut self, bytes: usize) -> Self {
        self.limits.plain = bytes;
        self
    }

    /// The most bytes that a record may have after all codecs: 1 MiB, or what the driver holds if
    /// that is less.
    pub const fn stored_limit(mut self, bytes: usize) -> Self {
        self.limits.stored = bytes;
        self
    }

    /// How values are written; JSON unless set. Those of the formats of this crate are read in any
    /// case.
    pub fn format(mut self, format: impl Format) -> Self {
        self.format = Arc::new(format);
        self
    }

    /// Reads values of this format, and writes none.
    pub fn reads_format(mut self, format: impl Format) -> Self {
        self.other_formats.push(Arc::new(format));
        self
    }

    /// Whether counters may be stored as they are although records are sealed: a sum cannot be
    /// sealed. Off unless set, and then `incr` is refused where there is a seal.
    pub const fn plain_counters(mut self, allowed: bool) -> Self {
        self.plain_counters = allowed;
        self
    }

    /// A key for the digests under which subjects are stored, so that a dump of the store does not
    /// let names be tried out.
    pub fn subject_key(mut self, key: &[u8; 32]) -> Self {
        self.subjects.key = Some((*key).into());
        self
    }

    /// How many sessions a subject may have, and what happens to one more. No limit unless set.
    pub const fn subject_cap(mut self, most: NonZeroU32, then: AtCap) -> Self {
        self.subjects.cap = Some((most, then));
        self
    }

    /// Who decides about requests; nobody unless set.
    pub fn decisions(mut self, decisions: impl Decisions) -> Self {
        self.decisions = Some(Arc::new(decisions));
        self
    }

    /// How long a decision may take: 2 s. One that takes longer is a refusal.
    pub const fn decision_deadline(mut self, deadline: Duration) -> Self {
        self.decision_deadline = deadline;
        self
    }

    /// Who is told what happens; nobody unless set.
    pub fn events(mut self, events: impl Events) -> Self {
        self.events = Some(Arc::new(events));
        self
    }

    /// Where the random bytes of ids come from; the operating system unless set. For tests.
    pub fn id_source(mut self, source: impl IdSource) -> Self {
        self.ids = Arc::new(source);
        self
    }

    /// The clock for deadlines and renewals. With the feature `tokio` that of its runtime, unless
    /// set.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// What runs the tasks in which events are told. With the feature `tokio` its runtime, unless
    /// set.
    pub fn spawner<S>(mut self, spawn: S) -> Self
    where
        S: Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync + 'static,
    {
        self.spawn = Some(Arc::new(spawn));
        self
    }

    /// The sessions.
    ///
    /// # Errors
    /// `Usage` for settings that make no sense together, `Store` for codecs that do not.
    pub fn build(mut self) -> Result<Sessions> {
        self.check()?;
        let formats = Formats::new(self.format, self.other_formats);
        formats.check()?;
        let info = self.driver.info();
        self.limits.stored = self.limits.stored.min(info.max_record);
        let clock = self.clock.take();
        let clock = clock.ok_or(SessionError::Usage("there is no clock: set one"))?;
        let time = Arc::new(StoreTime::new(clock));
        let counting = Arc::new(Counting::default());
        Ok(Sessions {
            mode: self.mode,
            label: self.label,
            lock_on_open: false,
            keeps_ids: false,
            shared: Arc::new(Shared {
                driver: self.driver,
                envelope: self.envelope.limits(self.limits).build()?,
                formats,
                lifetimes: self.lifetimes,
                locks: self.locks,
                on_conflict: self.on_conflict,
                strict: self.strict,
                touch_reads: self.touch_reads,
                plain_counters: self.plain_counters,
                rotation: self.rotation,
                subjects: self.subjects,
                ids: self.ids,
                judge: Judge {
                    decisions: self.decisions,
                    deadline: self.decision_deadline,
                    time: Arc::clone(&time),
                    counting: Arc::clone(&counting),
                },
                announcer: Announcer {
                    events: self.events,
                    spawn: self.spawn,
                    time: Arc::clone(&time),
                    counting: Arc::clone(&counting),
                    running: Arc::new(AtomicUsize::new(0)),
                },
                time,
                counting,
            }),
        })
    }

    fn check(&self) -> Result<()> {
        let wrong = [
            (
                self.driver.info().contract != CONTRACT,
                "the driver was written for another version of the contract",
            ),
            (
                self.locks.hold.is_zero(),
                "a lock that lasts no time is none",
            ),
            (
                self.locks.renewal.is_zero() || self.locks.renewal >= self.locks.hold,
                "a lock is renewed before its hold is over, and not all the time",
            ),
            (
                self.rotation.minds_profiles() && self.decisions.is_none(),
                "profiles are kept where somebody decides about them: set decisions, \
                 `ProfilePolicy::Lenient` for one",
            ),
            (
                self.decision_deadline.is_zero(),
                "a decision needs some time: a deadline of zero refuses everything",
            ),
            (
                self.events.is_some() && self.spawn.is_none(),
                "events are told in tasks: set a spawner",
            ),
            (
                self.subjects.cap.is_some() && self.driver.subjects().is_none(),
                "a cap on the sessions of a subject needs a driver with an index of subjects",
            ),
        ];
        match wrong.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, why)) => Err(SessionError::Usage(why)),
            None => Ok(()),
        }
    }
}

impl Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("driver", &self.driver.info().name)
            .field("mode", &self.mode)
            .field("lifetimes", &self.lifetimes)
            .field("rotation", &self.rotation)
            .finish_non_exhaustive()
    }
}
