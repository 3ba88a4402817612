//! From an id to an open session.

use std::sync::Arc;

use asm_core::{Claim, Delete, Key, Open, OpenLock, Opened, OpenedLock, Snapshot};

use crate::{
    Client, ClientKind, EndReason, Event, InvalidReason, LockMode, Origin, Profile, Result,
    Session, SessionError, SessionId, Sessions, Verdict,
    accept::Accepted,
    head::Head,
    head_journal::HeadJournal,
    id::SecretHash,
    info::SessionInfo,
    journal::Journal,
    lock::OwnedLock,
    rotation::{HeadChange, Standing},
    session::{Life, Record},
};

impl Sessions {
    /// Opens the session of this id.
    ///
    /// # Errors
    /// `Invalid` when the id opens none; `LockTimeout` or `QueueFull` when the mode takes the lock
    /// with the open and another one holds it; `Store`.
    #[doc(alias = "load")]
    pub async fn open(&self, id: &str, client: &Client) -> Result<Session> {
        let parsed = SessionId::parse(id);
        let handle = parsed.as_ref().ok().map(SessionId::handle);
        let opened = match parsed {
            Ok(id) => self.open_parsed(id, client).await,
            Err(reason) => Err(reason.into()),
        };
        match &opened {
            Ok(_) => self.shared.counting.opens.add(),
            Err(SessionError::Invalid(reason)) => self.tell_invalid(client, *reason, handle),
            Err(_) => {}
        }
        opened
    }

    /// Opens the session of this id, or begins a new one when there is none: see
    /// [`Session::origin`]. A new one stores nothing before its first save.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for `Invalid`; `NoRandomness`.
    pub async fn open_or_create(&self, id: Option<&str>, client: &Client) -> Result<Session> {
        let Some(id) = id else {
            return self.create(client);
        };
        match self.open(id, client).await {
            Err(SessionError::Invalid(reason)) => self.create_for(client, Origin::Replaced(reason)),
            opened => opened,
        }
    }

    async fn open_parsed(&self, id: SessionId, client: &Client) -> Result<Session> {
        let (key, secret) = (id.handle(), id.secret().hash());
        let lock = OwnedLock::new(&self.shared, key);
        let snapshot = self.read(&key, &secret, &lock).await?;
        let accepted = Accepted::by(&secret, &self.shared, &key, snapshot)?;
        let verdicts = self.judge(&key, &accepted, client).await?;
        let mut session = self.resume(id, secret, lock, accepted, client)?;
        session.follow_verdicts(verdicts)?;
        if self.locks_on_open() {
            session.lock_on_open().await?;
        }
        Ok(session)
    }

    /// Reads the record, and tries the lock in the same step if the mode says so.
    async fn read(&self, key: &Key, secret: &SecretHash, lock: &OwnedLock) -> Result<Snapshot> {
        let driver = &self.shared.driver;
        let wish = if self.locks_on_open() {
            let claim = self.claim()?;
            let proof = secret.proof();
            Some(OpenLock { claim, proof })
        } else {
            None
        };
        let token = wish.as_ref().map(|wish| wish.claim.token);
        let opened = driver
            .open(key, Open { lock: wish })
            .await
            .inspect_err(|_| {
                if let Some(token) = &token {
                    driver.abandon(key, token);
                }
            })?;
        match opened {
            Opened::Found {
                snapshot,
                lock: granted,
            } => {
                if let (OpenedLock::Held(fence), Some(token)) = (granted, token) {
                    lock.granted(token, fence);
                }
                Ok(snapshot)
            }
            _ => Err(InvalidReason::Unknown.into()),
        }
    }

    pub(crate) fn claim(&self) -> Result<Claim> {
        Ok(Claim {
            token: self.shared.ids.token()?,
            hold: self.shared.locks.hold,
            label: self.label.clone(),
        })
    }

    /// Asks the application about a request, as far as there is anything to ask.
    async fn judge(&self, key: &Key, accepted: &Accepted, client: &Client) -> Result<Verdicts> {
        let shared = &self.shared;
        let (handle, record) = (*key, &accepted.record);
        let info = SessionInfo::new(handle, &record.head, record.at);
        let mut verdicts = Verdicts::default();
        if let Standing::Zombie { age, .. } = accepted.standing {
            shared.counting.zombies.add();
            shared
                .announcer
                .announce(|| Event::ZombieAccessed { handle, age });
            let verdict = shared.judge.zombie(&info, age).await;
            self.obey(verdict, key, &mut verdicts).await?;
        }
        let seen = &record.head.profiles;
        let profile = Profile::of(client);
        if shared.judge.sits() && !seen.contains(&profile) {
            if !seen.is_empty() {
                verdicts.profile_changed = true;
                let verdict = shared.judge.profile_changed(&info, &profile, seen).await;
                self.obey(verdict, key, &mut verdicts).await?;
            }
            verdicts.profile = Some(profile);
        }
        Ok(verdicts)
    }

    async fn obey(&self, verdict: Verdict, key: &Key, verdicts: &mut Verdicts) -> Result<()> {
        match verdict {
            Verdict::Allow => Ok(()),
            Verdict::AllowAnd(rotation) => {
                let before = verdicts.rotation.take();
                verdicts.rotation = Some(before.map_or(rotation, |it| it.stricter(rotation)));
                Ok(())
            }
            Verdict::ReadOnly => {
                verdicts.read_only = true;
                Ok(())
            }
            Verdict::Refuse => Err(InvalidReason::Refused.into()),
            Verdict::Delete => {
                let driver = &self.shared.driver;
                driver.delete(key, Delete { only_if: None }).await?;
                self.tell_ended(*key, EndReason::Refused);
                Err(InvalidReason::Refused.into())
            }
        }
    }

    /// A session of an accepted record.
    fn resume(
        &self,
        id: SessionId,
        secret: SecretHash,
        lock: OwnedLock,
        accepted: Accepted,
        client: &Client,
    ) -> Result<Session> {
        let standing = accepted.standing;
        let record = accepted.decode(&self.shared, &id)?;
        Ok(Session {
            mode: self.mode,
            origin: Origin::Resumed,
            life: Life::Stored,
            zombie: matches!(standing, Standing::Zombie { .. }),
            confined: false,
            postponed: None,
            changes: HeadJournal::of(due(&record, standing, secret, client.kind)),
            journal: Journal::over(Arc::clone(&record.entries)),
            record,
            secret,
            lock,
            lock_at_birth: false,
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

    fn tell_invalid(&self, client: &Client, reason: InvalidReason, handle: Option<Key>) {
        self.shared.counting.invalid.add();
        self.shared.announcer.announce(|| Event::Invalid {
            client: client.clone(),
            reason,
            handle,
        });
    }

    pub(crate) fn tell_ended(&self, handle: Key, reason: EndReason) {
        self.shared
            .announcer
            .announce(|| Event::Ended { handle, reason });
    }
}

/// What was decided about a request.
#[derive(Default)]
struct Verdicts {
    read_only: bool,
    rotation: Option<crate::Rotation>,
    profile_changed: bool,
    /// One to be remembered.
    profile: Option<Profile>,
}

/// What an open alone changes of the head.
fn due(
    record: &Record,
    standing: Standing,
    secret: SecretHash,
    kind: ClientKind,
) -> impl Iterator<Item = HeadChange> + use<> {
    let head: &Head = &record.head;
    let confirm = (standing == Standing::Pending).then_some(HeadChange::Confirm(secret));
    let returned = (!head.returned).then_some(HeadChange::Returned);
    let other_kind = kind != ClientKind::Unknown && kind != head.kind;
    let kind = other_kind.then_some(HeadChange::Kind(kind));
    [confirm, returned, kind].into_iter().flatten()
}

impl Session {
    fn follow_verdicts(&mut self, verdicts: Verdicts) -> Result<()> {
        if verdicts.read_only {
            self.mode = LockMode::ReadOnly;
            self.confined = true;
            self.lock.abandon();
        }
        let moved = verdicts.profile_changed && self.shared().rotation.minds_profiles();
        if self.sessions.keeps_ids && (moved || verdicts.rotation.is_some()) {
            // The next request that can be given an id is asked about, and its profile is still new.
            return Ok(());
        }
        self.profile_changed = verdicts.profile_changed;
        if let Some(profile) = verdicts.profile {
            self.changes.push(HeadChange::Profile(profile));
        }
        match verdicts.rotation {
            Some(rotation) if self.mode != LockMode::ReadOnly => self.regenerate(rotation),
            rotation => {
                self.postponed = rotation;
                Ok(())
            }
        }
    }

    /// Waits for a lock that was busy, or not granted to a former secret.
    async fn lock_on_open(&mut self) -> Result<()> {
        if self.mode == LockMode::ReadOnly || self.lock.is_held() {
            return Ok(());
        }
        match self.lock().await {
            Err(SessionError::ReadOnly) => Ok(()),
            Err(SessionError::Deleted) => Err(InvalidReason::Expired.into()),
            locked => locked,
        }
    }
}
