//! The sessions of a user.
//!
//! The index is a place of its own, and no step changes both it and a session. So a session is
//! stored first, then reserved in the index, then saved with its subject: whoever revokes in
//! between finds it listed and deletes it, and that save finds it gone.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use asm_core::{Bound, Key, Reserve, Reserved, Subject, SubjectIndex, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    EndReason, Result, Session, SessionError, Sessions, head::Membership, in_flight::strange,
    rotation::HeadChange, session::Life, sessions::Shared,
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
        let generation = self.reserve(&shared, subject).await?;
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
        let others = listing
            .sessions
            .iter()
            .filter(|bound| bound.key != self.handle());
        let victim = match policy {
            AtCap::EvictIdle => others.min_by_key(|bound| bound.left),
            AtCap::EvictOldest | AtCap::Reject => others.min_by_key(|bound| bound.since),
        };
        let Some(victim) = victim else {
            return Ok(());
        };
        let session = self.sessions.by_handle(victim.key);
        session.end(EndReason::Evicted).await?;
        index.forget(subject, vec![victim.key]).await?;
        Ok(())
    }
}

/// How often room is made for one session: others may come in between.
const EVICTIONS: u32 = 256;

/// How long an entry may be needed: an authentication begins a new absolute lifetime, and reserves
/// it again.
fn longest_life(shared: &Shared) -> Duration {
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

fn index(shared: &Shared) -> Result<&dyn SubjectIndex> {
    let index = shared.driver.subjects();
    index.ok_or(SessionError::Unsupported("index of subjects"))
}
