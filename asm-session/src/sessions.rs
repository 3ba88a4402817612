//! The sessions of an application.

use std::{
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use asm_core::{Driver, Label};

use crate::{
    Client, ClientKind, Counters, LockMode, OnConflict, Origin, Result, RotationPolicy, Session,
    SessionId, SessionsBuilder,
    clock::StoreTime,
    counters::Counting,
    decisions::Judge,
    envelope::Envelope,
    events::Announcer,
    format::Formats,
    head::Head,
    head_journal::HeadJournal,
    id::IdSource,
    journal::Journal,
    lifetimes::Lifetimes,
    lock::{LockSettings, OwnedLock},
    rotation::HeadChange,
    session::{Life, Record},
    subjects::SubjectSettings,
};

/// The sessions of an application, over one driver. Cloning it is cheap, and shares everything.
///
/// ```
/// use asm_memory::MemoryDriver;
/// use asm_session::{Client, LockMode, Sessions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> asm_session::Result<()> {
/// let sessions = Sessions::builder(MemoryDriver::new())
///     .lock_mode(LockMode::OnWrite)
///     .build()?;
///
/// let mut session = sessions.create(&Client::default())?;
/// session.write().await?.insert("cart", &["book"])?;
/// session.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sessions {
    pub(crate) shared: Arc<Shared>,
    pub(crate) mode: LockMode,
    pub(crate) label: Label,
    pub(crate) lock_on_open: bool,
    /// Whether there is nobody to give a new id to.
    pub(crate) keeps_ids: bool,
}

/// What all sessions of an application share.
pub(crate) struct Shared {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) envelope: Envelope,
    pub(crate) formats: Formats,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) locks: LockSettings,
    pub(crate) on_conflict: OnConflict,
    pub(crate) strict: bool,
    pub(crate) touch_reads: bool,
    pub(crate) plain_counters: bool,
    pub(crate) rotation: RotationPolicy,
    pub(crate) subjects: SubjectSettings,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) time: Arc<StoreTime>,
    pub(crate) judge: Judge,
    pub(crate) announcer: Announcer,
    pub(crate) counting: Arc<Counting>,
}

impl Sessions {
    /// Sessions over this driver, with everything else still to be set.
    pub fn builder(driver: impl Driver) -> SessionsBuilder {
        SessionsBuilder::new(Arc::new(driver))
    }

    /// The same sessions in another mode: that of one route, say.
    #[must_use]
    pub fn with_mode(&self, mode: LockMode) -> Self {
        Self {
            mode,
            ..self.clone()
        }
    }

    /// The same sessions under a label, which operators see of those that hold a lock or wait for
    /// it: the request line without its query, the process.
    #[must_use]
    pub fn with_label(&self, label: &str) -> Self {
        Self {
            label: Label::new(label),
            ..self.clone()
        }
    }

    /// The same sessions, each taking its lock with the open, in one step, if its mode has a lock:
    /// for a request of which it is known that it begins with a
    /// [`write`](crate::Session::write).
    #[must_use]
    pub fn with_lock_on_open(&self) -> Self {
        Self {
            lock_on_open: true,
            ..self.clone()
        }
    }

    /// The same sessions, each keeping its id, because nobody is there to be given another one: see
    /// [`Session::keep_id`].
    #[must_use]
    pub fn with_kept_ids(&self) -> Self {
        Self {
            keeps_ids: true,
            ..self.clone()
        }
    }

    /// The mode that sessions are opened in.
    #[must_use]
    pub const fn mode(&self) -> LockMode {
        self.mode
    }

    /// A new session. It is not stored before its first save.
    ///
    /// # Errors
    /// `NoRandomness`.
    pub fn create(&self, client: &Client) -> Result<Session> {
        self.create_for(client, Origin::New)
    }

    pub(crate) fn create_for(&self, client: &Client, origin: Origin) -> Result<Session> {
        let mut session = self.begin(client.kind, origin)?;
        if self.shared.judge.sits() {
            let profile = crate::Profile::of(client);
            session.changes.push(HeadChange::Profile(profile));
        }
        Ok(session)
    }

    /// A new session under a new id.
    pub(crate) fn begin(&self, kind: ClientKind, origin: Origin) -> Result<Session> {
        let (ids, now) = (&self.shared.ids, self.shared.time.now());
        let splits = self.shared.envelope.splits_keys();
        let id = SessionId::new(ids.handle()?, ids.secret(splits)?);
        let secret = id.secret().hash();
        let record = Record {
            head: Head::new(secret, ids.epoch()?, kind, now),
            version: None,
            left: None,
            at: now,
            entries: Arc::default(),
            outdated: false,
        };
        Ok(Session {
            mode: self.mode,
            secret,
            origin,
            life: Life::New,
            zombie: false,
            confined: false,
            postponed: None,
            record,
            changes: HeadJournal::default(),
            journal: Journal::default(),
            lock: OwnedLock::new(&self.shared, id.handle()),
            lock_at_birth: self.locks_on_open(),
            in_flight: None,
            taken: Vec::new(),
            issued: None,
            profile_changed: false,
            told: false,
            reservation: None,
            place_in_doubt: false,
            id,
            sessions: self.clone(),
        })
    }

    pub(crate) fn locks_on_open(&self) -> bool {
        match self.mode {
            LockMode::OnOpen => true,
            LockMode::OnWrite | LockMode::Manual => self.lock_on_open,
            LockMode::ReadOnly | LockMode::Optimistic | LockMode::Off => false,
        }
    }

    /// How often things happened since these sessions were built.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let bytes = self.shared.envelope.counts();
        Counters {
            failed_compressions: bytes.compressor_failed,
            unsealed_reads: bytes.read_unsealed,
            outdated_seals: bytes.read_outdated,
            plain_bytes: bytes.plain_bytes,
            stored_bytes: bytes.stored_bytes,
            ..self.shared.counting.read()
        }
    }

    /// Waits on the clock of these sessions: for what is done beside requests now and then.
    pub fn sleep(&self, by: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.shared.time.sleep(by)
    }

    /// The driver, for what only operators ask of it: clean-up, for one.
    #[must_use]
    pub fn driver(&self) -> &dyn Driver {
        &*self.shared.driver
    }

    /// How long sessions live.
    #[must_use]
    pub fn lifetimes(&self) -> &Lifetimes {
        &self.shared.lifetimes
    }
}

impl Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("driver", &self.shared.driver.info().name)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
