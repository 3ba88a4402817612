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

    /// Of two that were asked for, the one that leaves less of the old id.
    pub(crate) fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Renew { grace: one }, Self::Renew { grace: two }) => Self::Renew {
                grace: one.min(two),
            },
            _ => Self::Authenticate,
        }
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
    /// It was created then: it was dated by a clock that was off.
    Created(Timestamp),
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
            HeadChange::Created(at) => self.date_back(*at),
        };
        self.fit(now);
        Applied::Done
    }

    /// All that happened by then was dated by the same clock.
    fn date_back(&mut self, created: Timestamp) {
        let off = created.as_micros().wrapping_sub(self.created.as_micros());
        let right = |time: &mut Timestamp| {
            *time =
                Timestamp::from_micros(time.as_micros().saturating_add_signed(off.cast_signed()));
        };
        right(&mut self.created);
        right(&mut self.rotated);
        self.authenticated.iter_mut().for_each(right);
        for former in &mut self.former {
            if let Fate::Replaced { since, until } = &mut former.fate {
                right(since);
                right(until);
            }
        }
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

#[cfg(test)]
mod tests {
    use asm_core::Subject;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const GRACE: Duration = Duration::from_secs(30);
    const TICK: Duration = Duration::from_micros(1);

    /// A session whose secrets are numbered, the first being 0.
    fn head() -> Head {
        Head::new(secret(0), Epoch::new(0), ClientKind::Human, at(0))
    }

    fn secret(number: u32) -> SecretHash {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        SecretHash::from_bytes(bytes)
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_micros(secs * 1_000_000)
    }

    fn renew(head: &mut Head, from: u32, to: u32, now: Timestamp) -> Applied {
        let change = head.renewal(secret(from), secret(to), GRACE);
        head.apply(&change, now)
    }

    fn confirm(head: &mut Head, number: u32, now: Timestamp) {
        let applied = head.apply(&HeadChange::Confirm(secret(number)), now);
        assert_eq!(applied, Applied::Done);
    }

    fn standing(head: &Head, number: u32, now: Timestamp) -> Standing {
        head.standing(&secret(number), now)
    }

    #[test]
    fn the_old_id_stays_current_until_the_new_one_is_used() {
        let mut head = head();
        assert_eq!(renew(&mut head, 0, 1, at(1)), Applied::Done);
        assert_eq!(standing(&head, 0, at(1_000_000)), Standing::Current);
        assert_eq!(standing(&head, 1, at(1_000_000)), Standing::Pending);
        assert_eq!(standing(&head, 2, at(1_000_000)), Standing::Unknown);
    }

    #[test]
    fn the_old_id_is_then_a_zombie_for_exactly_the_grace() {
        let mut head = head();
        let _ = renew(&mut head, 0, 1, at(1));
        confirm(&mut head, 1, at(100));
        assert_eq!(standing(&head, 1, at(100)), Standing::Current);
        let zombie = |age, left| Standing::Zombie { age, left };
        assert_eq!(standing(&head, 0, at(100)), zombie(Duration::ZERO, GRACE));
        let last = Timestamp::from_micros(at(130).as_micros() - 1);
        assert_eq!(standing(&head, 0, last), zombie(GRACE - TICK, TICK));
        assert_eq!(standing(&head, 0, at(130)), Standing::Stale);
    }

    #[test]
    fn the_first_id_lives_until_its_own_deadline_whatever_becomes_of_the_second() {
        let mut head = head();
        let _ = renew(&mut head, 0, 1, at(0));
        confirm(&mut head, 1, at(10));
        let _ = renew(&mut head, 1, 2, at(20));
        confirm(&mut head, 2, at(30));
        assert!(matches!(
            standing(&head, 0, at(39)),
            Standing::Zombie { .. }
        ));
        assert_eq!(standing(&head, 0, at(40)), Standing::Stale);
        assert!(matches!(
            standing(&head, 1, at(59)),
            Standing::Zombie { .. }
        ));
        assert_eq!(standing(&head, 1, at(60)), Standing::Stale);
        assert_eq!(standing(&head, 2, at(60)), Standing::Current);
    }

    #[test]
    fn a_grace_of_zero_leaves_no_zombie() {
        let mut head = head();
        let change = head.renewal(secret(0), secret(1), Duration::ZERO);
        let _ = head.apply(&change, at(0));
        confirm(&mut head, 1, at(10));
        assert_eq!(standing(&head, 0, at(10)), Standing::Stale);
    }

    #[test]
    fn a_client_that_missed_an_answer_renews_again() {
        let mut head = head();
        for to in 1..=100 {
            assert_eq!(renew(&mut head, 0, to, at(to.into())), Applied::Done);
            assert_eq!(standing(&head, 0, at(1_000)), Standing::Current);
        }
        assert_eq!(head.pending.unwrap().hash, secret(100));
    }

    #[test]
    fn any_answer_of_several_renewals_may_be_the_one_that_arrives() {
        for arrived in 1..=4 {
            let mut head = head();
            for to in 1..=4 {
                let _ = renew(&mut head, 0, to, at(0));
            }
            assert_eq!(standing(&head, arrived, at(9)), Standing::Pending);
            confirm(&mut head, arrived, at(10));
            assert_eq!(standing(&head, arrived, at(10)), Standing::Current);
            for other in (0..=4).filter(|other| *other != arrived) {
                let now = standing(&head, other, at(10));
                if other > arrived {
                    // A newer answer may still be on its way.
                    assert_eq!(now, Standing::Pending, "{other} after {arrived}");
                } else {
                    assert!(
                        matches!(now, Standing::Zombie { .. }),
                        "{other} after {arrived}"
                    );
                    assert_eq!(standing(&head, other, at(40)), Standing::Stale);
                }
            }
        }
    }

    #[test]
    fn a_zombie_renews_nothing() {
        let mut head = head();
        let _ = renew(&mut head, 0, 1, at(0));
        confirm(&mut head, 1, at(1));
        let before = head.clone();
        assert_eq!(renew(&mut head, 0, 2, at(2)), Applied::AlreadyRotated);
        assert_eq!(head, before);
    }

    #[test]
    fn of_two_parallel_renewals_the_second_is_already_rotated() {
        let base = head();
        let mine = base.renewal(secret(0), secret(1), GRACE);
        let theirs = base.renewal(secret(0), secret(2), GRACE);
        for confirmed in [false, true] {
            let mut fresh = base.clone();
            assert_eq!(fresh.apply(&theirs, at(1)), Applied::Done);
            if confirmed {
                confirm(&mut fresh, 2, at(2));
            }
            let before = fresh.clone();
            assert_eq!(fresh.apply(&mine, at(3)), Applied::AlreadyRotated);
            assert_eq!(fresh, before);
            assert_eq!(standing(&fresh, 1, at(3)), Standing::Unknown);
        }
    }

    #[test]
    fn two_requests_on_the_new_id_confirm_it_once() {
        let mut head = head();
        let _ = renew(&mut head, 0, 1, at(0));
        confirm(&mut head, 1, at(10));
        let before = head.clone();
        confirm(&mut head, 1, at(20));
        assert_eq!(head, before);
        // One that comes late, when a newer one was confirmed, does not turn the time back.
        let _ = renew(&mut head, 1, 2, at(30));
        confirm(&mut head, 2, at(31));
        let before = head.clone();
        confirm(&mut head, 1, at(32));
        assert_eq!(head, before);
    }

    #[test]
    fn an_authentication_ends_every_earlier_id_at_once() {
        let mut head = head();
        let _ = renew(&mut head, 0, 1, at(0));
        confirm(&mut head, 1, at(10));
        let _ = renew(&mut head, 1, 2, at(11));
        let _ = renew(&mut head, 1, 3, at(12));
        let change = head.authentication(secret(4), Epoch::new(9));
        assert_eq!(head.apply(&change, at(13)), Applied::Done);
        assert_eq!(standing(&head, 4, at(13)), Standing::Current);
        for ended in 0..4 {
            assert_eq!(standing(&head, ended, at(13)), Standing::Stale, "{ended}");
        }
        assert_eq!(head.epoch, Epoch::new(9));
        assert_eq!((head.created, head.begun()), (at(0), at(13)));
    }

    #[test]
    fn a_zombie_may_authenticate() {
        let mut head = head();
        let _ = renew(&mut head, 0, 1, at(0));
        confirm(&mut head, 1, at(10));
        assert!(matches!(
            standing(&head, 0, at(11)),
            Standing::Zombie { .. }
        ));
        let change = head.authentication(secret(2), Epoch::new(9));
        assert_eq!(head.apply(&change, at(11)), Applied::Done);
        assert_eq!(standing(&head, 1, at(11)), Standing::Stale);
    }

    #[test]
    fn of_two_parallel_authentications_the_second_is_a_conflict() {
        let mut fresh = head();
        let mine = fresh.authentication(secret(1), Epoch::new(1));
        let theirs = fresh.authentication(secret(2), Epoch::new(2));
        assert_eq!(fresh.apply(&theirs, at(1)), Applied::Done);
        let before = fresh.clone();
        assert_eq!(fresh.apply(&mine, at(2)), Applied::Conflict);
        assert_eq!(fresh, before);
    }

    #[test]
    fn changes_of_two_requests_are_both_kept() {
        let profile = |ip: u8| {
            Profile::of(&crate::Client {
                ip: Some([192, 0, 2, ip].into()),
                ..Default::default()
            })
        };
        let membership = Membership {
            subject: Subject::from_bytes([1; 32]),
            generation: 3,
        };
        let mine = [
            HeadChange::Returned,
            HeadChange::Profile(profile(1)),
            HeadChange::Lifetime(Some(GRACE)),
        ];
        let theirs = [
            HeadChange::Profile(profile(2)),
            HeadChange::Profile(profile(1)),
            HeadChange::Membership(Some(membership)),
            HeadChange::Kind(ClientKind::Bot),
        ];
        let mut head = head();
        for change in theirs.iter().chain(&mine) {
            assert_eq!(head.apply(change, at(5)), Applied::Done);
        }
        assert_eq!(head.profiles, [profile(2), profile(1)]);
        assert_eq!(head.membership, Some(membership));
        assert_eq!(head.lifetime, Some(GRACE));
        assert_eq!(head.kind, ClientKind::Bot);
        assert!(head.returned);
        assert_eq!(head.created, at(0));
    }

    #[test]
    fn a_thousand_rotations_leave_eight_former_ids_and_the_newest_stay() {
        let mut head = head();
        for to in 1..=1000 {
            let now = at(u64::from(to) * 10);
            assert_eq!(renew(&mut head, to - 1, to, now), Applied::Done);
            confirm(&mut head, to, now);
            assert!(head.former.len() <= Head::FORMER);
            assert!(head.encode().len() <= Head::MAX);
        }
        let now = at(10_000);
        let stand = |number| standing(&head, number, now);
        assert_eq!(stand(1000), Standing::Current);
        assert!((997..1000).all(|number| matches!(stand(number), Standing::Zombie { .. })));
        assert!((992..997).all(|number| stand(number) == Standing::Stale));
        assert!((0..992).all(|number| stand(number) == Standing::Unknown));
    }

    #[test]
    fn a_live_zombie_is_kept_before_a_newer_dead_one() {
        let mut head = head();
        let change = head.renewal(secret(0), secret(1), Duration::from_secs(3600));
        let _ = head.apply(&change, at(0));
        confirm(&mut head, 1, at(0));
        for to in 2..20 {
            let change = head.renewal(secret(to - 1), secret(to), Duration::ZERO);
            let _ = head.apply(&change, at(1));
            confirm(&mut head, to, at(1));
        }
        assert!(matches!(standing(&head, 0, at(2)), Standing::Zombie { .. }));
        assert_eq!(standing(&head, 18, at(2)), Standing::Stale);
    }

    /// What happens between a server and one client that sends one request at a time.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// The client uses the session; the answer renews or not, and arrives or not.
        Request {
            renews: bool,
            arrives: bool,
        },
        Authenticate,
        Wait(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => any::<(bool, bool)>().prop_map(|(renews, arrives)| Step::Request { renews, arrives }),
            1 => Just(Step::Authenticate),
            2 => (0..100_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn lost_answers_log_nobody_out(steps in vec(any_step(), 1..200)) {
            let (mut head, mut now) = (head(), 0);
            let (mut cookie, mut newest) = (0, 0);
            for step in steps {
                match step {
                    Step::Request { renews, arrives } => {
                        let standing = standing(&head, cookie, at(now));
                        let lives = matches!(standing, Standing::Current | Standing::Pending);
                        prop_assert!(lives, "{:?}", standing);
                        confirm(&mut head, cookie, at(now));
                        if renews {
                            newest += 1;
                            prop_assert_eq!(renew(&mut head, cookie, newest, at(now)), Applied::Done);
                            cookie = if arrives { newest } else { cookie };
                        }
                    }
                    Step::Authenticate => {
                        newest += 1;
                        let epoch = Epoch::new(newest.into());
                        let change = head.authentication(secret(newest), epoch);
                        prop_assert_eq!(head.apply(&change, at(now)), Applied::Done);
                        cookie = newest;
                    }
                    Step::Wait(secs) => now += secs,
                }
                prop_assert!(head.former.len() <= Head::FORMER);
                prop_assert_eq!(head.created, at(0));
                prop_assert_eq!(Head::decode(&head.encode()).unwrap(), head.clone());
            }
        }

        #[test]
        fn an_id_never_comes_back_from_the_dead(steps in vec((any_step(), 0..6_u32), 1..200)) {
            let (mut head, mut now, mut newest) = (head(), 0, 0);
            let mut over = std::collections::BTreeSet::new();
            for (step, back) in steps {
                // Anybody, with any of the latest ids.
                let cookie = newest - back.min(newest);
                match step {
                    Step::Request { renews, .. } => {
                        let standing = standing(&head, cookie, at(now));
                        let lives = !matches!(standing, Standing::Stale | Standing::Unknown);
                        prop_assert!(!(lives && over.contains(&cookie)), "{cookie} again");
                        if !lives {
                            over.insert(cookie);
                        } else if standing == Standing::Pending {
                            confirm(&mut head, cookie, at(now));
                        }
                        if lives && renews {
                            newest += 1;
                            let _ = renew(&mut head, cookie, newest, at(now));
                        }
                    }
                    Step::Authenticate => {
                        newest += 1;
                        let change = head.authentication(secret(newest), Epoch::new(newest.into()));
                        let _ = head.apply(&change, at(now));
                        over.extend(0..newest);
                    }
                    Step::Wait(secs) => now += secs,
                }
            }
        }
    }
}
