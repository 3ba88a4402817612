//! When an id opens its session, how it is replaced, and what a merge makes of two replacements.
//!
//! A renewal has two phases. The new secret is *pending* until a request presents it; until then
//! the old one stays current. The request that presents it confirms it: it becomes current, and
//! the old one a *zombie* that opens the session for a grace, so that requests under way are not
//! logged out. Whoever comes with the old one after that is *stale*: its successor was used, so
//! there are two who hold ids of this session.
//!
//! A client that was sent several renewals may have kept any of them: the order in which answers
//! arrive is not the order in which they were sent. So a pending secret that is replaced by
//! another one can still be confirmed, as long as nobody has confirmed a newer one.

use std::time::Duration;

use asm_core::{Epoch, Timestamp};

use crate::{
    ClientKind, Profile,
    head::{Fate, Former, Head, Membership, Pending},
    id::SecretHash,
};

/// How an id is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rotation {
    /// In two phases, so that neither a lost answer nor parallel requests log anybody out.
    Renew {
        /// How long the old id still opens the session once the new one was used. Zero ends it
        /// there and then.
        grace: Duration,
    },
    /// At once, at a login or a change of privileges: every earlier id ends, whoever still runs on
    /// one is refused, and the absolute lifetime starts anew.
    Authenticate,
}

impl Rotation {
    /// How long the old id lives on after a [`renew`](Self::renew): 30 s.
    pub const GRACE: Duration = Duration::from_secs(30);

    /// A renewal with the usual grace.
    #[must_use]
    pub const fn renew() -> Self {
        Self::Renew { grace: Self::GRACE }
    }
}

/// What a presented secret is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The session's.
    Current,
    /// The session's next one; to be confirmed.
    Pending,
    /// Replaced, and still good.
    Zombie {
        /// Since when it is replaced.
        age: Duration,
        /// How long it is still good.
        left: Duration,
    },
    /// Replaced, and over.
    Stale,
    /// None of this session's, or none that it remembers.
    Unknown,
}

/// One change of a head, as a journal entry: it can be applied to any head of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeadChange {
    /// A pending secret was presented.
    Confirm(SecretHash),
    /// The first phase of a renewal.
    Renew {
        /// The secret that this request presented; only the current one can be renewed.
        from: SecretHash,
        /// The pending one that was there then; if another one is, somebody else was first.
        over: Option<SecretHash>,
        to: SecretHash,
        grace: Duration,
    },
    /// An authentication.
    Authenticate {
        /// The epoch of this request; if another one began, somebody else was first.
        under: Epoch,
        to: SecretHash,
        epoch: Epoch,
    },
    /// The client came back.
    Returned,
    /// The session has its own idle time, or the usual one again.
    Lifetime(Option<Duration>),
    /// The session belongs to a subject, or to none.
    Membership(Option<Membership>),
    /// A profile was accepted.
    Profile(Profile),
    /// The client is taken for something else.
    Kind(ClientKind),
}

/// What became of a [`HeadChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Applied {
    /// The head has it.
    Done,
    /// The id was renewed by somebody else; the head is as it was.
    AlreadyRotated,
    /// Somebody else authenticated; the head is as it was.
    Conflict,
}

impl Head {
    /// What `secret` is to this session at `now`.
    pub(crate) fn standing(&self, secret: &SecretHash, now: Timestamp) -> Standing {
        if self.current == *secret {
            return Standing::Current;
        }
        if self.pending.is_some_and(|pending| pending.hash == *secret) {
            return Standing::Pending;
        }
        match self.former(secret).map(|index| self.former[index].fate) {
            None => Standing::Unknown,
            Some(Fate::HandedOut { .. }) => Standing::Pending,
            Some(Fate::Replaced { since, until }) if now < until => Standing::Zombie {
                age: now.since(since),
                left: until.since(now),
            },
            Some(Fate::Replaced { .. }) => Standing::Stale,
        }
    }

    /// The renewal of the id that a request presented: `to` is the new secret.
    pub(crate) fn renewal(&self, from: SecretHash, to: SecretHash, grace: Duration) -> HeadChange {
        HeadChange::Renew {
            from,
            over: self.pending.map(|pending| pending.hash),
            to,
            grace,
        }
    }

    /// An authentication: `to` is the new secret, `epoch` a new one.
    pub(crate) const fn authentication(&self, to: SecretHash, epoch: Epoch) -> HeadChange {
        HeadChange::Authenticate {
            under: self.epoch,
            to,
            epoch,
        }
    }

    /// Applies one change at `now`: to the head that it was made for, or in a merge to the one that
    /// somebody else wrote in between.
    pub(crate) fn apply(&mut self, change: &HeadChange, now: Timestamp) -> Applied {
        match change {
            HeadChange::Confirm(secret) => self.confirm(secret, now),
            HeadChange::Renew {
                from,
                over,
                to,
                grace,
            } => {
                if self.current != *from || self.pending.map(|pending| pending.hash) != *over {
                    return Applied::AlreadyRotated;
                }
                self.renew(*to, *grace, now);
            }
            HeadChange::Authenticate { under, to, epoch } => {
                if self.epoch != *under {
                    return Applied::Conflict;
                }
                self.authenticate(*to, *epoch, now);
            }
            HeadChange::Returned => self.returned = true,
            HeadChange::Lifetime(lifetime) => self.lifetime = *lifetime,
            HeadChange::Membership(membership) => self.membership = *membership,
            HeadChange::Profile(profile) if self.profiles.contains(profile) => {}
            HeadChange::Profile(profile) => self.profiles.push(profile.clone()),
            HeadChange::Kind(kind) => self.kind = *kind,
        };
        self.fit(now);
        Applied::Done
    }

    fn renew(&mut self, to: SecretHash, grace: Duration, now: Timestamp) {
        let pending = Pending { hash: to, grace };
        if let Some(Pending { hash, grace }) = self.pending.replace(pending) {
            let fate = Fate::HandedOut { grace };
            self.former.push(Former { hash, fate });
        }
        self.rotated = now;
    }

    /// A secret that nobody waits for any more changes nothing: another request confirmed it, or a
    /// newer one.
    fn confirm(&mut self, secret: &SecretHash, now: Timestamp) {
        let Some((grace, older)) = self.take_pending(secret) else {
            return;
        };
        let fate = Fate::Replaced {
            since: now,
            until: now + grace,
        };
        for former in &mut self.former[..older] {
            if let Fate::HandedOut { .. } = former.fate {
                former.fate = fate;
            }
        }
        let hash = std::mem::replace(&mut self.current, *secret);
        self.former.push(Former { hash, fate });
    }

    /// Takes out a secret that waits to be presented: its grace, and how many of the former ones
    /// are older.
    fn take_pending(&mut self, secret: &SecretHash) -> Option<(Duration, usize)> {
        if let Some(pending) = self.pending.take_if(|pending| pending.hash == *secret) {
            return Some((pending.grace, self.former.len()));
        }
        let index = self.former(secret)?;
        let Fate::HandedOut { grace } = self.former[index].fate else {
            return None;
        };
        self.former.remove(index);
        Some((grace, index))
    }

    fn authenticate(&mut self, to: SecretHash, epoch: Epoch, now: Timestamp) {
        let over = Fate::Replaced {
            since: now,
            until: now,
        };
        for former in self.former.iter_mut().filter(|former| former.lives(now)) {
            former.fate = over;
        }
        let current = std::mem::replace(&mut self.current, to);
        let pending = self.pending.take().map(|pending| pending.hash);
        let ended = pending.into_iter().chain([current]);
        self.former
            .extend(ended.map(|hash| Former { hash, fate: over }));
        self.epoch = epoch;
        self.authenticated = Some(now);
        self.rotated = now;
    }

    /// Where a former secret stands, the newest first.
    fn former(&self, secret: &SecretHash) -> Option<usize> {
        self.former
            .iter()
            .rposition(|former| former.hash == *secret)
    }
}
