//! One save, from its preparation until its answer is known.

use std::{sync::Arc, time::Duration};

use asm_core::{
    Create, Created, Error, ErrorKind, Fence, Guard, LockToken, Redacted, Save, Snapshot,
    Timestamp, Version, Written,
};
use bytes::Bytes;

use crate::{
    Conflict, Event, LockMode, Result, Session, SessionError, SessionId,
    entries::Entries,
    head::{Head, Membership},
    journal::Mark,
    rotation::{Applied, HeadChange},
    save::{IdRotation, Saved},
    session::{Life, Record},
};

/// One save, from its preparation until its answer is known.
pub(crate) struct InFlight {
    request: Request,
    head: Head,
    /// How many changes of the head are in it.
    head_changes: usize,
    entries: Arc<Entries>,
    contents: Contents,
    rotation: Option<IdRotation>,
    /// The id that the rotation makes.
    next: Option<SessionId>,
    release: bool,
    /// Whether the store's time was not known when it was prepared.
    guessed: bool,
}

/// What is written.
enum Contents {
    /// The changes up to a mark.
    Journal(Mark),
    /// That an entry is gone.
    Take { key: String, value: Bytes },
}

#[derive(Clone)]
enum Request {
    Create(Create),
    Save(Save),
}

impl Request {
    fn is_resend(&self) -> bool {
        match self {
            Self::Create(create) => create.resend,
            Self::Save(save) => save.resend,
        }
    }

    fn resend(&mut self) {
        match self {
            Self::Create(create) => create.resend = true,
            Self::Save(save) => save.resend = true,
        }
    }

    fn ttl(&self) -> Duration {
        match self {
            Self::Create(create) => create.ttl,
            Self::Save(save) => save.ttl,
        }
    }

    /// Of the lock that the record is to be born with.
    fn token(&self) -> Option<LockToken> {
        match self {
            Self::Create(create) => create.lock.as_ref().map(|claim| claim.token),
            Self::Save(_) => None,
        }
    }
}

/// What became of a save.
pub(crate) enum Sent {
    Done(Saved),
    /// Somebody else wrote; this is what.
    Conflict(Snapshot),
    Locked,
    LockLost,
    /// The handle is another session's.
    Taken,
}

/// By how much a clock may be off without harm.
const A_CLOCK_IS_OFF: Duration = Duration::from_secs(1);

/// Preparing.
impl Session {
    /// All changes, as one save.
    pub(crate) fn prepare(&mut self, release: bool) -> Result<InFlight> {
        let now = self.shared().time.now();
        let guessed = self.shared().time.ahead().is_none();
        if self.life == Life::New {
            self.record.head.begin(now);
        }
        let (head, rotation) = self.next_head(now)?;
        let entries = self.next_entries()?;
        let next = match rotation {
            Some(IdRotation::Rotated) => self.changes.next.as_ref(),
            _ => None,
        };
        let id = next.unwrap_or(&self.id);
        let request = self.request(id, &head, &entries, release, now)?;
        let head_changes = self.changes.seal();
        Ok(InFlight {
            request,
            head,
            head_changes,
            entries,
            contents: Contents::Journal(self.journal.seal()),
            rotation,
            next: self.changes.next.clone(),
            release,
            guessed,
        })
    }

    /// The stored record without one entry, and nothing else of what the application changed. What
    /// the open alone changes of the head comes along: the lifetime follows from it.
    pub(crate) fn prepare_take(&mut self, key: &str, release: bool) -> Result<InFlight> {
        let mut rest = Entries::clone(&self.record.entries);
        let value = rest.remove(key).unwrap_or_default();
        let now = self.shared().time.now();
        let mut head = self.record.head.clone();
        for change in self.changes.of_the_open() {
            let _ = head.apply(change, now);
        }
        let request = self.request(&self.id, &head, &rest, release, now)?;
        self.journal.is_being_taken(key);
        Ok(InFlight {
            request,
            head,
            head_changes: self.changes.seal_those_of_the_open(),
            entries: Arc::new(rest),
            contents: Contents::Take {
                key: key.to_owned(),
                value,
            },
            rotation: None,
            next: None,
            release,
            guessed: false,
        })
    }

    /// The head with all changes, and what became of a rotation among them.
    pub(crate) fn next_head(&self, now: Timestamp) -> Result<(Head, Option<IdRotation>)> {
        let mut head = self.record.head.clone();
        let mut rotation = None;
        for change in self.changes.iter() {
            rotation = match (head.apply(change, now), change) {
                (Applied::Conflict, _) => {
                    return Err(SessionError::Conflict(Conflict::of_authentications()));
                }
                (Applied::AlreadyRotated, _) => Some(IdRotation::AlreadyRotated),
                (Applied::Done, HeadChange::Renew { .. } | HeadChange::Authenticate { .. }) => {
                    Some(IdRotation::Rotated)
                }
                (Applied::Done, _) => rotation,
            };
        }
        Ok((head, rotation))
    }

    /// The entries with all changes. Without any they are what is stored: also in a mode that
    /// overwrites, a change of the head alone overwrites none.
    fn next_entries(&self) -> Result<Arc<Entries>> {
        if !self.journal.is_modified() {
            return Ok(Arc::clone(&self.record.entries));
        }
        if self.mode == LockMode::Off {
            return Ok(Arc::new(self.journal.overwrite()));
        }
        let (policy, strict) = (self.shared().on_conflict, self.shared().strict);
        let resolved = self.journal.resolve(policy, strict);
        resolved.map(Arc::new).map_err(SessionError::Conflict)
    }

    /// The write after which this id opens the session.
    fn request(
        &self,
        id: &SessionId,
        head: &Head,
        entries: &Entries,
        release: bool,
        now: Timestamp,
    ) -> Result<Request> {
        let shared = self.shared();
        let ttl = shared.lifetimes.ttl(head, self.record.saves(), now);
        if ttl.is_zero() {
            return Err(SessionError::Deleted);
        }
        let data = shared.envelope.encode(id.place(), head, entries)?;
        let data = Redacted::from(data);
        let (op, stamp, resend) = (shared.ids.op()?, head.stamp(), false);
        let Some(version) = self.record.version else {
            let born_locked = self.lock_at_birth && !release;
            let lock = born_locked.then(|| self.sessions.claim()).transpose()?;
            return Ok(Request::Create(Create {
                op,
                resend,
                stamp,
                data,
                ttl,
                lock,
            }));
        };
        let held = self.lock.token();
        Ok(Request::Save(Save {
            op,
            resend,
            guard: Guard {
                epoch: self.record.head.epoch,
                version,
                held,
            },
            stamp,
            data,
            ttl,
            release: release && held.is_some(),
        }))
    }
}

/// Sending.
impl Session {
    /// Sends a save, and keeps it until its answer is known: also when this future is dropped.
    pub(crate) async fn send(&mut self, prepared: InFlight) -> Result<Sent> {
        let driver = Arc::clone(&self.shared().driver);
        let (key, request) = (self.handle(), prepared.request.clone());
        self.lock.leaves(prepared.release);
        self.in_flight = Some(prepared);
        match request {
            Request::Create(create) => {
                let answer = driver.create(&key, create).await;
                self.created(answer)
            }
            Request::Save(save) => {
                let answer = driver.save(&key, save).await;
                self.written(answer)
            }
        }
    }

    /// Sends again the save whose answer is not known, if there is one. Answers what it did.
    pub(crate) async fn settle_in_flight(&mut self) -> Result<Option<Saved>> {
        let Some(mut unanswered) = self.in_flight.take() else {
            return Ok(None);
        };
        unanswered.request.resend();
        match self.send(unanswered).await? {
            Sent::Done(saved) => Ok(Some(saved)),
            Sent::Conflict(newer) => self.merge(newer).map(|()| None),
            Sent::Locked | Sent::LockLost => Ok(None),
            Sent::Taken => self.draw_another_id(true).map(|()| None),
        }
    }

    fn created(&mut self, answer: asm_core::Result<Created>) -> Result<Sent> {
        match answer {
            Ok(Created::Done {
                version,
                fence,
                now,
            }) => Ok(Sent::Done(self.acknowledge(version, fence, now))),
            Ok(Created::Taken) => {
                self.take_back();
                Ok(Sent::Taken)
            }
            Ok(_) => Err(self.unanswered(strange())),
            Err(error) => Err(self.unanswered(error)),
        }
    }

    fn written(&mut self, answer: asm_core::Result<Written>) -> Result<Sent> {
        let answer = match answer {
            Ok(Written::Done { version, now }) => {
                return Ok(Sent::Done(self.acknowledge(version, None, now)));
            }
            Ok(answer) => answer,
            Err(error) => return Err(self.unanswered(error)),
        };
        let authenticated = self.take_back();
        match answer {
            Written::Conflict(newer) => Ok(Sent::Conflict(newer)),
            Written::Locked => Ok(Sent::Locked),
            Written::LockLost => {
                if let Some(token) = self.lock.token() {
                    self.lock.lost(token);
                }
                Ok(Sent::LockLost)
            }
            Written::Missing => Err(self.gone()),
            Written::Ended if authenticated => {
                self.stale();
                Err(SessionError::Conflict(Conflict::of_authentications()))
            }
            Written::Ended => Err(self.stale()),
            _ => Err(strange().into()),
        }
    }

    /// The save is stored.
    fn acknowledge(&mut self, version: Version, fence: Option<Fence>, now: Timestamp) -> Saved {
        let Some(saved) = self.in_flight.take() else {
            return Saved::default();
        };
        self.shared().counting.saves.add();
        let authenticated = saved.head.epoch != self.record.head.epoch;
        let token = saved.request.token();
        self.record = Record {
            head: saved.head,
            version: Some(version),
            left: Some(saved.request.ttl()),
            at: now,
            entries: saved.entries,
            outdated: false,
        };
        self.shared().time.learn(now);
        self.changes.drop_first(saved.head_changes);
        if let Some(Membership { subject, .. }) = self.record.head.membership
            && let Some(reservation) = self.reservation.take_if(|it| it.is_for(&subject))
        {
            reservation.made_good();
        }
        match saved.contents {
            Contents::Journal(mark) => {
                self.journal
                    .acknowledge(mark, Arc::clone(&self.record.entries));
            }
            Contents::Take { key, value } => {
                // An update that fails here fails again, and is told of, in the next save.
                self.record.outdated = self.journal.taken(&key).is_err();
                self.taken.push((key, value));
            }
        }
        if saved.release {
            self.lock.ended();
        }
        if saved.rotation.is_some() {
            self.profile_changed = false;
        }
        if let (Some(IdRotation::Rotated), Some(id)) = (saved.rotation, saved.next) {
            self.rotated(id, authenticated);
        }
        if self.life == Life::New {
            if saved.guessed {
                self.date_birth();
            }
            self.born(token, fence);
        }
        Saved {
            written: true,
            id: saved.rotation,
        }
    }

    /// Its client is to have this id.
    fn rotated(&mut self, id: SessionId, authenticated: bool) {
        if authenticated {
            // The former one is over, for us as well.
            self.secret = id.secret().hash();
            self.id = id.clone();
            self.zombie = false;
        }
        self.issued = Some(id);
    }

    /// The first answer that this process had tells how far its clock is off.
    fn date_birth(&mut self) {
        let ahead = self.shared().time.ahead().unwrap_or(0);
        if Duration::from_micros(ahead.unsigned_abs()) >= A_CLOCK_IS_OFF {
            let guess = self.record.head.created.as_micros();
            let created = Timestamp::from_micros(guess.saturating_add_signed(ahead));
            self.changes.push(HeadChange::Created(created));
        }
    }

    pub(crate) fn born(&mut self, token: Option<LockToken>, fence: Option<Fence>) {
        self.life = Life::Stored;
        self.lock_at_birth = false;
        self.issued = Some(self.id.clone());
        if let Some(token) = token {
            self.lock.granted(token, fence.unwrap_or(Fence::new(0)));
            if fence.is_none() {
                self.lock.lost(token);
            }
        }
        let handle = self.handle();
        self.shared()
            .announcer
            .announce(|| Event::Created { handle });
    }

    /// The save was refused: its changes are pending again. Answers whether it authenticated.
    fn take_back(&mut self) -> bool {
        let refused = self.in_flight.take();
        self.lock.leaves(false);
        self.journal.unseal();
        self.changes.unseal();
        refused.is_some_and(|refused| refused.head.epoch != self.record.head.epoch)
    }

    /// There is no answer, or none that tells what happened.
    fn unanswered(&mut self, error: Error) -> SessionError {
        let resent = self
            .in_flight
            .as_ref()
            .is_some_and(|it| it.request.is_resend());
        match error.kind() {
            ErrorKind::Unknown => self.give_up(),
            kind if !resent && kind.is_refusal() => {
                self.take_back();
            }
            // Kept, to be sent again.
            _ => {}
        }
        error.into()
    }

    /// Whether the save happened can not be found out any more, so what was in it is never sent
    /// again; and the record has to be read before anything else is.
    fn give_up(&mut self) {
        let Some(unknown) = self.in_flight.take() else {
            return;
        };
        self.lock.leaves(false);
        self.changes.drop_first(unknown.head_changes);
        if let Contents::Journal(mark) = unknown.contents {
            self.journal.forget(mark);
        }
        self.journal.unseal();
        self.record.outdated = true;
    }

    /// The handle that was drawn is in use.
    pub(crate) fn draw_another_id(&mut self, again: bool) -> Result<()> {
        if !again {
            let why = "every id that was drawn is in use: the source of randomness is broken";
            return Err(SessionError::Usage(why));
        }
        let ids = &self.shared().ids;
        let splits = self.shared().envelope.splits_keys();
        self.id = SessionId::new(ids.handle()?, ids.secret(splits)?);
        self.secret = self.id.secret().hash();
        self.record.head.current = self.secret;
        self.lock.moves_to(self.handle());
        Ok(())
    }
}

/// The driver's contract is newer than this crate.
pub(crate) fn strange() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the driver gave an answer that is not known here",
    )
}
