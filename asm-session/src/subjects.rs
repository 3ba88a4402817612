//! The sessions of a user.
//!
//! The index is a place of its own, and no step changes both it and a session. So a session is
//! stored first, then reserved in the index, then saved with its subject: whoever revokes in
//! between finds it listed and deletes it, and that save finds it gone.
//!
//! A place that no save follows is given back. Two requests of one session may bind it to one
//! subject, and then the place is that of both: so whoever gives it back drops it from the index
//! first and then writes a new version of the session. A save that came before that is seen, and
//! listed again; a save that comes after it meets a newer version, and reserves again before its
//! next try. If the subject's sessions were revoked in between, the generation tells, and the
//! session ends.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use asm_core::{
    Bound, ErrorKind, Guard, Key, Open, Opened, Reserve, Reserved, Save, Snapshot, Subject,
    SubjectIndex, Timestamp, Written,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    EndReason, Result, Session, SessionError, Sessions, envelope,
    head::{Head, Membership},
    in_flight::strange,
    rotation::HeadChange,
    session::Life,
    sessions::Shared,
};

/// What happens when a subject with as many sessions as it may have gets another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AtCap {
    /// The new one is refused.
    #[default]
    Reject,
    /// The one that was bound first ends.
    EvictOldest,
    /// The one that was not used for the longest time ends.
    EvictIdle,
}

#[derive(Clone, Default)]
pub(crate) struct SubjectSettings {
    pub(crate) key: Option<Zeroizing<[u8; 32]>>,
    pub(crate) cap: Option<(NonZeroU32, AtCap)>,
}

impl SubjectSettings {
    /// The digest under which a subject is stored.
    fn digest(&self, name: &str) -> Subject {
        let digest: [u8; Subject::LEN] = match &self.key {
            None => Sha256::digest(name).into(),
            Some(key) => {
                // Filled up with zeros to the length of a block, as every shorter key is.
                let mut block = Zeroizing::new([0; BLOCK]);
                block[..key.len()].copy_from_slice(&**key);
                let mut mac = Hmac::<Sha256>::new((&*block).into());
                mac.update(name.as_bytes());
                mac.finalize().into_bytes().into()
            }
        };
        Subject::from_bytes(digest)
    }
}

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

impl Session {
    /// Says whose session it is, so that the subject's sessions can be listed and revoked. It is
    /// reserved in the index now, and is the subject's with the next save. A session that was never
    /// stored is stored first; one that belonged to another subject is saved, and leaves the list
    /// of that one.
    ///
    /// # Errors
    /// `TooManySessions` at a cap that rejects; `Unsupported` when the driver has no index; else as
    /// [`save`](Self::save).
    pub async fn bind_subject(&mut self, name: &str) -> Result<()> {
        self.check_alive()?;
        let shared = Arc::clone(&self.sessions.shared);
        index(&shared)?;
        if self.life == Life::New {
            self.record_birth().await?;
        }
        let subject = shared.subjects.digest(name);
        let is_member = |membership: &Membership| membership.subject == subject;
        let was_member = self.record.head.membership.as_ref().is_some_and(is_member);
        let mut reservation = self.reservation.take_if(|it| it.is_for(&subject));
        if reservation.is_none() && !was_member {
            reservation = Some(Reservation::of(self, subject));
        }
        let reserved = self.reserve(&shared, subject).await;
        if let Some(reservation) = &mut reservation {
            reservation.answered(&reserved);
        }
        let generation = reserved?;
        self.reservation = reservation;
        let membership = Membership {
            subject,
            generation,
        };
        self.changes.push(HeadChange::Membership(Some(membership)));
        match self.record.head.membership {
            Some(before) if before.subject != subject => self.leave(before.subject).await,
            _ => Ok(()),
        }
    }

    /// Saves it under its new subject, then drops it from the list of the former one: in that order,
    /// so that it is always on the list of whom it belongs to.
    async fn leave(&mut self, former: Subject) -> Result<()> {
        self.save().await?;
        let shared = Arc::clone(&self.sessions.shared);
        index(&shared)?.forget(&former, vec![self.handle()]).await?;
        Ok(())
    }

    /// An authentication makes the session live longer than it was listed for.
    pub(crate) async fn renew_membership(&mut self) -> Result<()> {
        if !self.changes.authenticates() || self.changes.binds() {
            return Ok(());
        }
        let Some(Membership { subject, .. }) = self.record.head.membership else {
            return Ok(());
        };
        let shared = Arc::clone(&self.sessions.shared);
        let generation = self.reserve(&shared, subject).await?;
        let membership = Membership {
            subject,
            generation,
        };
        self.changes.push(HeadChange::Membership(Some(membership)));
        Ok(())
    }

    /// A newer version may be that of one that gave its place back: see the top of this file.
    pub(crate) async fn reserve_again(&mut self) -> Result<()> {
        let Some(Membership { subject, .. }) = self.changes.membership_mut().copied() else {
            return Ok(());
        };
        let shared = Arc::clone(&self.sessions.shared);
        let generation = self.reserve(&shared, subject).await?;
        if let Some(membership) = self.changes.membership_mut() {
            membership.generation = generation;
        }
        Ok(())
    }

    /// Reserves it in the index, making room if the policy says so.
    async fn reserve(&self, shared: &Arc<Shared>, subject: Subject) -> Result<u64> {
        let index = index(shared)?;
        let (cap, policy) = match shared.subjects.cap {
            Some((cap, policy)) => (Some(cap), policy),
            None => (None, AtCap::Reject),
        };
        for _ in 0..EVICTIONS {
            let req = Reserve {
                key: self.handle(),
                ttl: longest_life(shared),
                cap,
            };
            match index.reserve(&subject, req).await? {
                Reserved::Done { generation } => return Ok(generation),
                Reserved::Full if policy == AtCap::Reject => break,
                Reserved::Full => self.evict_one(index, &subject, policy).await?,
                _ => return Err(strange().into()),
            }
        }
        Err(SessionError::TooManySessions)
    }

    async fn evict_one(
        &self,
        index: &dyn SubjectIndex,
        subject: &Subject,
        policy: AtCap,
    ) -> Result<()> {
        let listing = index.list(subject).await?;
        let others = listing.sessions.iter().map(|bound| bound.key);
        let others: Vec<Key> = others.filter(|key| *key != self.handle()).collect();
        let victim = match policy {
            AtCap::EvictIdle => self.longest_idle(&others).await?,
            // They are listed in the order in which they were bound.
            AtCap::EvictOldest | AtCap::Reject => others.first().copied(),
        };
        let Some(victim) = victim else {
            return Ok(());
        };
        let session = self.sessions.by_handle(victim);
        session.end(EndReason::Evicted).await?;
        index.forget(subject, vec![victim]).await?;
        Ok(())
    }

    /// The one that was not used for the longest time, as far as the store knows; of equals the
    /// first. A session that nobody can open any more counts as never used, and one that only this
    /// process cannot read as used now.
    async fn longest_idle(&self, keys: &[Key]) -> Result<Option<Key>> {
        let shared = self.shared();
        let mut longest: Option<(Duration, Key)> = None;
        for key in keys {
            let idle = match read_head(shared, *key).await {
                Ok(Some((head, snapshot))) => {
                    let saves = snapshot.version.number;
                    shared.lifetimes.idle_for(&head, saves, snapshot.left)
                }
                Ok(None) => Duration::MAX,
                Err(SessionError::Store(error)) => match error.kind() {
                    ErrorKind::Corrupt | ErrorKind::Tampered => Duration::MAX,
                    ErrorKind::Unreadable => Duration::ZERO,
                    _ => return Err(error.into()),
                },
                Err(error) => return Err(error),
            };
            if longest.is_none_or(|(most, _)| idle > most) {
                longest = Some((idle, *key));
            }
        }
        Ok(longest.map(|(_, key)| key))
    }
}

/// A place among a subject's sessions that no save has made good yet. Dropped, it is given back, in
/// a task of its own, as well as that can be done.
pub(crate) struct Reservation {
    sessions: Sessions,
    subject: Subject,
    key: Key,
    /// `None` until it is known.
    generation: Option<u64>,
    made_good: bool,
}

impl Reservation {
    fn of(session: &Session, subject: Subject) -> Self {
        Self {
            sessions: session.sessions.clone(),
            subject,
            key: session.handle(),
            generation: None,
            made_good: false,
        }
    }

    pub(crate) fn is_for(&self, subject: &Subject) -> bool {
        self.subject == *subject
    }

    fn answered(&mut self, reserved: &Result<u64>) {
        self.generation = reserved.as_ref().ok().copied();
        self.made_good = matches!(reserved, Err(SessionError::TooManySessions));
    }

    /// There is nothing to give back.
    pub(crate) fn made_good(mut self) {
        self.made_good = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some(spawn) = &self.sessions.shared.announcer.spawn else {
            return;
        };
        if self.made_good {
            return;
        }
        let place = Place {
            sessions: self.sessions.clone(),
            subject: self.subject,
            key: self.key,
            generation: self.generation,
        };
        spawn(Box::pin(async move {
            if let Err(error) = place.give_back().await {
                tracing::warn!(handle = %place.key, %error, "a place among a subject's sessions was not given back");
            }
        }));
    }
}

/// A place that is given back.
struct Place {
    sessions: Sessions,
    subject: Subject,
    key: Key,
    generation: Option<u64>,
}

impl Place {
    async fn give_back(&self) -> Result<()> {
        let shared = &self.sessions.shared;
        let index = index(shared)?;
        let mut found = read_head(shared, self.key).await?;
        if let Some((head, _)) = &found
            && self.generation_of(head).is_some()
        {
            return Ok(());
        }
        for _ in 0..TURNS {
            let Some((head, snapshot)) = found else {
                // Gone, and its place with the next look at the index.
                return Ok(());
            };
            if self.generation_of(&head).is_some() {
                break;
            }
            index.forget(&self.subject, vec![self.key]).await?;
            let newer = match shared
                .driver
                .save(&self.key, self.mark(head, &snapshot)?)
                .await?
            {
                Written::Conflict(newer) => newer,
                Written::Locked => break,
                _ => return Ok(()),
            };
            found = Some((head_of(shared, self.key, &newer)?, newer));
        }
        self.list_again(index).await
    }

    /// The record as it is, as a new version.
    fn mark(&self, mut head: Head, snapshot: &Snapshot) -> Result<Save> {
        let shared = &self.sessions.shared;
        // Somebody has just used it, and may have touched it since it was read.
        head.returned = true;
        let saves = snapshot.version.number;
        let used = shared.lifetimes.ttl(&head, saves, snapshot.now);
        Ok(Save {
            op: shared.ids.op()?,
            resend: false,
            guard: Guard::unchanged(snapshot),
            stamp: snapshot.stamp,
            data: snapshot.data.clone(),
            ttl: snapshot.left.unwrap_or_default().max(used),
            release: false,
        })
    }

    /// Another request has bound the session, or may be about to. If a revocation came while it was
    /// not listed, it is made up for.
    async fn list_again(&self, index: &dyn SubjectIndex) -> Result<()> {
        let shared = &self.sessions.shared;
        let req = Reserve {
            key: self.key,
            ttl: longest_life(shared),
            cap: None,
        };
        let Reserved::Done { generation } = index.reserve(&self.subject, req).await? else {
            return Ok(());
        };
        let Some((head, _)) = read_head(shared, self.key).await? else {
            return Ok(());
        };
        let bound_under = self.generation_of(&head).or(self.generation);
        if bound_under.is_some_and(|it| it != generation) {
            let session = self.sessions.by_handle(self.key);
            session.end(EndReason::Revoked).await?;
        }
        Ok(())
    }

    /// The generation that the session was bound to the subject under, if it was.
    fn generation_of(&self, head: &Head) -> Option<u64> {
        let membership = head.membership?;
        (membership.subject == self.subject).then_some(membership.generation)
    }
}

/// How often a place is given back anew: each time, somebody saved in between.
const TURNS: u32 = 8;

async fn read_head(shared: &Shared, key: Key) -> Result<Option<(Head, Snapshot)>> {
    match shared.driver.open(&key, Open { lock: None }).await? {
        Opened::Found { snapshot, .. } => Ok(Some((head_of(shared, key, &snapshot)?, snapshot))),
        _ => Ok(None),
    }
}

fn head_of(shared: &Shared, key: Key, snapshot: &Snapshot) -> Result<Head> {
    let record = snapshot.data.clone().into_bytes();
    let place = envelope::Place::of(&key);
    let (head, _) = shared.envelope.decode_head(place, &record, snapshot.now)?;
    Ok(head)
}

/// How often room is made for one session: others may come in between.
const EVICTIONS: u32 = 256;

/// How long an entry may be needed: an authentication begins a new absolute lifetime, and reserves
/// it again.
pub(crate) fn longest_life(shared: &Shared) -> Duration {
    let lifetimes = &shared.lifetimes;
    let absolute = lifetimes.absolute().unwrap_or(FOREVER);
    absolute.max(lifetimes.max())
}

/// Ten years: longer than an entry stays without being reserved again.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

impl Sessions {
    /// The sessions of a subject: of a user, say.
    ///
    /// ```
    /// # use asm_session::{Session, Sessions};
    /// # async fn example(sessions: Sessions, session: Session) -> asm_session::Result<()> {
    /// let user = sessions.subject("user:42");
    /// println!("{} devices", user.list().await?.len());
    /// user.revoke_others(session.handle()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn subject(&self, name: &str) -> SubjectSessions {
        SubjectSessions {
            subject: self.shared.subjects.digest(name),
            sessions: self.clone(),
        }
    }
}

/// The sessions of a subject.
#[derive(Clone, Debug)]
pub struct SubjectSessions {
    sessions: Sessions,
    subject: Subject,
}

/// One of a subject's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubjectSession {
    /// Which: the public half of its id.
    pub handle: Key,
    /// Since when it is the subject's, by the store's clock.
    pub since: Timestamp,
    /// What is left of its life if it is not used again. `None` when the store lost that.
    pub left: Option<Duration>,
}

impl SubjectSessions {
    /// All of them, the one bound first standing first. What was revoked and, by an accident, not
    /// deleted, is deleted now.
    ///
    /// # Errors
    /// `Unsupported` when the driver has no index; `Store`.
    pub async fn list(&self) -> Result<Vec<SubjectSession>> {
        let listing = index(&self.sessions.shared)?.list(&self.subject).await?;
        let (live, revoked): (Vec<&Bound>, Vec<&Bound>) = listing
            .sessions
            .iter()
            .partition(|bound| bound.generation == listing.generation);
        self.end(revoked.iter().map(|bound| bound.key).collect())
            .await?;
        Ok(live.into_iter().map(SubjectSession::of).collect())
    }

    /// Ends all of them: log out everywhere. Answers how many there were. Who is logging in at the
    /// same time is revoked, or logged in after it.
    ///
    /// # Errors
    /// `Unsupported` when the driver has no index; `Store`, and some may live: call it again.
    pub async fn revoke_all(&self) -> Result<usize> {
        self.revoke(None).await
    }

    /// Ends all but one: log out everywhere else. Answers how many there were.
    ///
    /// # Errors
    /// As [`revoke_all`](Self::revoke_all).
    pub async fn revoke_others(&self, keep: Key) -> Result<usize> {
        self.revoke(Some(keep)).await
    }

    async fn revoke(&self, keep: Option<Key>) -> Result<usize> {
        let index = index(&self.sessions.shared)?;
        let revoked = index.revoke(&self.subject, keep).await?;
        self.end(revoked.keys).await
    }

    /// Ends sessions, then drops them from the index: a crash in between loses none.
    async fn end(&self, keys: Vec<Key>) -> Result<usize> {
        let mut ended = 0;
        for key in &keys {
            let session = self.sessions.by_handle(*key);
            ended += usize::from(session.end(EndReason::Revoked).await?);
        }
        if !keys.is_empty() {
            let index = index(&self.sessions.shared)?;
            index.forget(&self.subject, keys).await?;
        }
        Ok(ended)
    }
}

impl SubjectSession {
    const fn of(bound: &Bound) -> Self {
        Self {
            handle: bound.key,
            since: bound.since,
            left: bound.left,
        }
    }
}

pub(crate) fn index(shared: &Shared) -> Result<&dyn SubjectIndex> {
    let index = shared.driver.subjects();
    index.ok_or(SessionError::Unsupported("index of subjects"))
}
