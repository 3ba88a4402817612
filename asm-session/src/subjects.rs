//! The sessions of a user.
//!
//! The index is a place of its own, and no step changes both it and a session. So a session is
//! stored first, then reserved in the index, then saved with its subject: whoever revokes in
//! between finds it listed.
//!
//! The index is a hint. A session is listed and not the subject's when it was reserved and never
//! saved, or was given to another subject and the index not told: so its record is read before
//! anything is done to it.
//!
//! A place that no save follows is given back. Two requests of one session may bind it to one
//! subject, and then the place is that of both: so whoever gives it back does so under the
//! session's lock, and writes a new version as it releases that. A save that came before is seen; a
//! save that comes after it meets a newer version, and looks for its place before its next try. A
//! revocation meets a login under way in the same way: it writes a new version, and the login finds
//! that its place is of the generation before.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use asm_core::{
    Acquired, Bound, ErrorKind, Guard, Key, LockWish, Open, Opened, Reserve, Reserved, Save,
    Snapshot, Subject, SubjectIndex, Timestamp, Written,
};
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    EndReason, Result, Session, SessionError, SessionHandle, Sessions, envelope,
    head::{Head, Membership},
    in_flight::strange,
    lock::OwnedLock,
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
        self.place_in_doubt = false;
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

    /// A newer version may be that of one that gave its place back: see the top of this file. One
    /// that was revoked is not reserved again.
    pub(crate) async fn look_for_place(&mut self) -> Result<()> {
        if !self.place_in_doubt {
            return Ok(());
        }
        let Some(Membership {
            subject,
            generation,
        }) = self.changes.membership_mut().copied()
        else {
            return Ok(());
        };
        let shared = Arc::clone(&self.sessions.shared);
        let listing = index(&shared)?.list(&subject).await?;
        let present = listing.generation;
        let mut listed = listing.sessions.iter();
        let generation = match listed.find(|bound| bound.key == self.handle()) {
            // Also one that was kept while the others were revoked.
            Some(bound) if bound.generation == present => present,
            // An index without entries knows no generation.
            None if generation == present || listing.sessions.is_empty() => {
                self.reserve(&shared, subject).await?
            }
            _ => {
                let session = self.sessions.by_handle(self.handle());
                session.end(EndReason::Revoked).await?;
                return Err(self.gone());
            }
        };
        if let Some(membership) = self.changes.membership_mut() {
            membership.generation = generation;
        }
        self.place_in_doubt = false;
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
                Reserved::Full if self.make_room(index, &subject, policy).await? => {}
                Reserved::Full => break,
                _ => return Err(strange().into()),
            }
        }
        Err(SessionError::TooManySessions)
    }

    /// Takes back the place of one that was never saved, or ends one if the policy says so. `false`:
    /// nobody makes room.
    async fn make_room(
        &self,
        index: &dyn SubjectIndex,
        subject: &Subject,
        policy: AtCap,
    ) -> Result<bool> {
        let listing = index.list(subject).await?;
        let others = listing.sessions.iter();
        let others: Vec<_> = others.filter(|bound| bound.key != self.handle()).collect();
        for bound in others.iter().filter(|bound| is_old(bound, listing.now)) {
            let place = Place::of(&self.sessions, *subject, bound.key);
            if place.give_back().await? == Returned::Done {
                return Ok(true);
            }
        }
        let victim = match policy {
            AtCap::Reject => return Ok(false),
            AtCap::EvictIdle => self.longest_idle(&others).await?,
            // They are listed in the order in which they were bound.
            AtCap::EvictOldest => others.first().copied(),
        };
        if let Some(victim) = victim {
            let place = Place::of(&self.sessions, *subject, victim.key);
            place.evict(index, is_old(victim, listing.now)).await?;
        }
        Ok(true)
    }

    /// The one that was not used for the longest time, as far as the store knows; of equals the
    /// first. A session that nobody can open any more counts as never used, and one that only this
    /// process cannot read as used now.
    async fn longest_idle<'a>(&self, among: &[&'a Bound]) -> Result<Option<&'a Bound>> {
        let shared = self.shared();
        let mut longest: Option<(Duration, &Bound)> = None;
        for bound in among {
            let idle = match read_head(shared, bound.key).await {
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
                longest = Some((idle, *bound));
            }
        }
        Ok(longest.map(|(_, bound)| bound))
    }
}

/// A place among a subject's sessions that no save has made good yet. Dropped, it is given back, in
/// a task of its own, as well as that can be done.
pub(crate) struct Reservation {
    sessions: Sessions,
    subject: Subject,
    key: Key,
    made_good: bool,
}

impl Reservation {
    fn of(session: &Session, subject: Subject) -> Self {
        Self {
            sessions: session.sessions.clone(),
            subject,
            key: session.handle(),
            made_good: false,
        }
    }

    pub(crate) fn is_for(&self, subject: &Subject) -> bool {
        self.subject == *subject
    }

    fn answered(&mut self, reserved: &Result<u64>) {
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
        let place = Place::of(&self.sessions, self.subject, self.key);
        spawn(Box::pin(async move {
            if let Err(error) = place.give_back().await {
                tracing::warn!(handle = %place.key, %error, "a place among a subject's sessions was not given back");
            }
        }));
    }
}

/// A place among a subject's sessions, which that session may have no claim to.
struct Place {
    sessions: Sessions,
    subject: Subject,
    key: Key,
}

impl Place {
    fn of(sessions: &Sessions, subject: Subject, key: Key) -> Self {
        Self {
            sessions: sessions.clone(),
            subject,
            key,
        }
    }

    /// Gives it back, unless the session is the subject's.
    async fn give_back(&self) -> Result<Returned> {
        let shared = &self.sessions.shared;
        let found = match read_head(shared, self.key).await {
            Ok(Some(found)) => found,
            // Gone, and its place with the next look at the index.
            Ok(None) => return Ok(Returned::Done),
            // Nobody here can tell.
            Err(error) if is_illegible(&error) => return Ok(Returned::Claimed),
            Err(error) => return Err(error),
        };
        if self.generation_of(&found.0).is_some() {
            return Ok(Returned::Claimed);
        }
        let lock = OwnedLock::new(shared, self.key);
        match self.newest_under(&lock, found).await {
            Ok(Some((head, _))) if self.generation_of(&head).is_some() => Ok(Returned::Claimed),
            Ok(Some((head, snapshot))) => self.give_back_under(&lock, head, &snapshot).await,
            Ok(None) => Ok(Returned::Busy),
            Err(error) if is_illegible(&error) => Ok(Returned::Claimed),
            Err(error) => Err(error),
        }
    }

    /// Takes the session's lock, so that nobody binds it meanwhile. `None`: whoever has it may be
    /// about to.
    async fn newest_under(
        &self,
        lock: &OwnedLock,
        known: (Head, Snapshot),
    ) -> Result<Option<(Head, Snapshot)>> {
        let wish = LockWish {
            claim: self.sessions.claim()?,
            epoch: known.0.epoch,
            wait: Duration::ZERO,
            queue: None,
            known: Some(known.1.version),
        };
        let Acquired::Held { snapshot, .. } = lock.acquire(wish).await? else {
            return Ok(None);
        };
        let newest = match snapshot {
            Some(newer) => (head_of(&self.sessions.shared, self.key, &newer)?, newer),
            None => known,
        };
        Ok(Some(newest))
    }

    async fn give_back_under(
        &self,
        lock: &OwnedLock,
        head: Head,
        snapshot: &Snapshot,
    ) -> Result<Returned> {
        let shared = &self.sessions.shared;
        let index = index(shared)?;
        index.forget(&self.subject, vec![self.key]).await?;
        let guard = Guard {
            held: lock.token(),
            ..Guard::unchanged(snapshot)
        };
        let mark = self.mark(head, snapshot, guard)?;
        let written = shared.driver.save(&self.key, mark).await;
        if matches!(written, Ok(Written::Done { .. } | Written::Missing)) {
            lock.ended();
            return Ok(Returned::Done);
        }
        // There is no newer version, or no lock any more: somebody may bind the session unseen.
        self.list_again(index).await?;
        written?;
        Ok(Returned::Busy)
    }

    /// Takes it from its session, which ends. One that is not the subject's, and has had the time to
    /// be, lives on.
    async fn evict(&self, index: &dyn SubjectIndex, is_old: bool) -> Result<()> {
        let reason = EndReason::Evicted;
        let cleared = if is_old {
            self.clear(reason).await?
        } else {
            // Also one that is being bound.
            self.session().end(reason).await.map(Cleared::of)?
        };
        index.forget(&self.subject, vec![self.key]).await?;
        if cleared == Cleared::Stranger {
            // Whoever has looked for its place in between is to miss it.
            self.clear(reason).await?;
        }
        Ok(())
    }

    /// Ends the session if it is the subject's, whoever holds its lock. If it is not, whoever is
    /// about to save it as the subject's meets a newer version, or loses its lock.
    async fn clear(&self, reason: EndReason) -> Result<Cleared> {
        for _ in 0..TURNS {
            if let Some(cleared) = self.try_to_clear(reason).await? {
                return Ok(cleared);
            }
        }
        Err(SessionError::LockTimeout)
    }

    /// `None`: somebody came in between.
    async fn try_to_clear(&self, reason: EndReason) -> Result<Option<Cleared>> {
        let shared = &self.sessions.shared;
        let (head, snapshot) = match read_head(shared, self.key).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Some(Cleared::Nothing)),
            // Nobody here can tell whose it is, and it was the subject's when it was listed.
            Err(error) if is_illegible(&error) => {
                let ended = self.session().end(reason).await?;
                return Ok(Some(Cleared::of(ended)));
            }
            Err(error) => return Err(error),
        };
        if self.generation_of(&head).is_some() {
            let was_over = shared.lifetimes.is_over(&head, snapshot.now);
            let ended = self.session().end_as(&snapshot, reason).await?;
            return Ok(ended.map(|ended| Cleared::of(ended && !was_over)));
        }
        let guard = Guard::unchanged(&snapshot);
        let mark = self.mark(head, &snapshot, guard)?;
        match shared.driver.save(&self.key, mark).await? {
            Written::Conflict(_) | Written::Ended => {}
            Written::Locked => drop(self.session().break_lock(None).await?),
            _ => return Ok(Some(Cleared::Stranger)),
        }
        Ok(None)
    }

    /// The record as it is, as a new version, and no lock over it.
    fn mark(&self, mut head: Head, snapshot: &Snapshot, guard: Guard) -> Result<Save> {
        let shared = &self.sessions.shared;
        // Somebody has just used it, and may have touched it since it was read.
        head.returned = true;
        let saves = snapshot.version.number;
        let used = shared.lifetimes.ttl(&head, saves, snapshot.now);
        Ok(Save {
            op: shared.ids.op()?,
            resend: false,
            guard,
            stamp: snapshot.stamp,
            data: snapshot.data.clone(),
            ttl: snapshot.left.unwrap_or_default().max(used),
            release: guard.held.is_some(),
        })
    }

    /// Another request has bound the session, or may be about to. If a revocation may have come while
    /// it was bound and not listed, it is made up for.
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
        if self.generation_of(&head).is_some_and(|it| it != generation) {
            self.session().end(EndReason::Revoked).await?;
        }
        Ok(())
    }

    fn session(&self) -> SessionHandle {
        self.sessions.by_handle(self.key)
    }

    /// The generation that the session was bound to the subject under, if it was.
    fn generation_of(&self, head: &Head) -> Option<u64> {
        let membership = head.membership?;
        (membership.subject == self.subject).then_some(membership.generation)
    }
}

/// What became of a place that was to be given back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Returned {
    /// It is free.
    Done,
    /// Its session is the subject's, as far as this process can tell.
    Claimed,
    /// Its session is not, and may be before long: somebody else has the lock.
    Busy,
}

/// What was found behind an entry of the index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cleared {
    /// One of the subject's sessions, which is over now.
    Ended,
    /// None.
    Nothing,
    /// One that is not the subject's. It lives on.
    Stranger,
}

impl Cleared {
    const fn of(ended: bool) -> Self {
        if ended { Self::Ended } else { Self::Nothing }
    }
}

/// How often it is tried to end a session: each time, somebody saved in between.
const TURNS: u32 = 8;

/// How long a place is left to a session that is not the subject's: between the two there is one
/// request. After that it makes room for another one.
const A_LOGIN: Duration = Duration::from_secs(60);

/// How many sessions are looked at in one go.
const AT_ONCE: usize = 32;

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

/// Whether its place was reserved longer ago than a login takes.
fn is_old(bound: &Bound, now: Timestamp) -> bool {
    now.since(bound.since) > A_LOGIN
}

/// Whether there is a session, and this process cannot read it.
fn is_illegible(error: &SessionError) -> bool {
    let SessionError::Store(error) = error else {
        return false;
    };
    matches!(
        error.kind(),
        ErrorKind::Corrupt | ErrorKind::Tampered | ErrorKind::Unreadable
    )
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
    /// The index is a hint: each session that it names is read, and shown if it is the subject's
    /// and lives. So a list costs one read for each, some of them at a time. One that only another
    /// process can read, in a rolling deploy, is shown.
    ///
    /// # Errors
    /// `Unsupported` when the driver has no index; `Store`.
    pub async fn list(&self) -> Result<Vec<SubjectSession>> {
        let listing = index(&self.sessions.shared)?.list(&self.subject).await?;
        let (present, revoked): (Vec<&Bound>, Vec<&Bound>) = listing
            .sessions
            .iter()
            .partition(|bound| bound.generation == listing.generation);
        let mut ends = Vec::new();
        for bound in revoked {
            let place = self.place(bound.key);
            let is_old = is_old(bound, listing.now);
            if !is_old || place.give_back().await? == Returned::Claimed {
                ends.push(bound.key);
            }
        }
        self.end(ends).await?;
        let mut live = Vec::with_capacity(present.len());
        for some in present.chunks(AT_ONCE) {
            let looks: Vec<_> = some.iter().map(|bound| self.has(bound.key)).collect();
            for (bound, is_live) in some.iter().zip(join_all(looks).await) {
                if is_live? {
                    live.push(SubjectSession::of(bound));
                }
            }
        }
        Ok(live)
    }

    /// Ends all of them: log out everywhere. Answers how many there were. Who is logging in at the
    /// same time is revoked, or logged in after it.
    ///
    /// It costs a read and a delete for each, some of them at a time. Only what is the subject's is
    /// ended: a session that is listed and is not, or not yet, lives on. To whoever is about to save
    /// it as the subject's that save is `Deleted`, or `LockLost` under a lock.
    ///
    /// # Errors
    /// `Unsupported` when the driver has no index; `Store` or `LockTimeout`, and some may live:
    /// call it again.
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

    /// Ends those of these sessions that are the subject's, then drops them from the index: a crash
    /// in between loses none.
    async fn end(&self, keys: Vec<Key>) -> Result<usize> {
        let (mut ended, mut over) = (0, Vec::new());
        for some in keys.chunks(AT_ONCE) {
            let places: Vec<_> = some.iter().map(|key| self.place(*key)).collect();
            let clears = places.iter().map(|place| place.clear(EndReason::Revoked));
            let clears: Vec<_> = clears.collect();
            for (key, cleared) in some.iter().zip(join_all(clears).await) {
                let cleared = cleared?;
                ended += usize::from(cleared == Cleared::Ended);
                if cleared != Cleared::Stranger {
                    over.push(*key);
                }
            }
        }
        if !over.is_empty() {
            let index = index(&self.sessions.shared)?;
            index.forget(&self.subject, over).await?;
        }
        Ok(ended)
    }

    /// Whether that session is the subject's and lives, as far as this process can tell.
    async fn has(&self, key: Key) -> Result<bool> {
        let shared = &self.sessions.shared;
        match read_head(shared, key).await {
            Ok(Some((head, snapshot))) => {
                let is_member = self.place(key).generation_of(&head).is_some();
                Ok(is_member && !shared.lifetimes.is_over(&head, snapshot.now))
            }
            Ok(None) => Ok(false),
            Err(SessionError::Store(error)) if error.kind() == ErrorKind::Unreadable => Ok(true),
            Err(error) if is_illegible(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn place(&self, key: Key) -> Place {
        Place::of(&self.sessions, self.subject, key)
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
