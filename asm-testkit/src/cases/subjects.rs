//! The index: the sessions of a user.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use asm_core::{
    Bound, Create, Deleted, Driver, Key, Listing, Opened, Reserve, Reserved, Revoked, Shared,
    Snapshot, Subject, SubjectIndex, Written,
};

use crate::{
    Harness, expect,
    given::{self, TTL},
    together::together,
};

/// How many sessions a subject may have, where many want one.
const CAP: u32 = 5;

/// With when each was reserved, under which generation, and what is left of its life.
pub async fn lists_sessions_in_the_order_of_reservation(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let subject = given::subject();
    let mut keys = Vec::new();
    for i in 0..5 {
        let req = Create {
            ttl: TTL * (10 - i),
            ..given::create(given::data())
        };
        let (key, _) = given::stored_as(&*r1, req).await;
        reserve(&r1, &subject, &key, None).await;
        h.advance(Duration::from_secs(1)).await;
        keys.push(key);
    }
    let listing = list(&r2, &subject).await;
    assert_eq!(keys_of(&listing), keys);
    assert!(listing.sessions.is_sorted_by_key(|bound| bound.since));
    assert!(
        listing
            .sessions
            .iter()
            .all(|bound| bound.since <= listing.now)
    );
    for bound in &listing.sessions {
        assert_eq!(bound.generation, listing.generation);
        let session = given::read(&*r2, &bound.key).await;
        let (told, left) = (bound.left.expect("a lifetime"), session.left);
        let passed = session.now.since(listing.now);
        let off = 2 * r1.info().ttl_resolution + passed;
        assert!(
            told.abs_diff(left.expect("a lifetime")) <= off,
            "{told:?}, {left:?}"
        );
    }
}

/// A second reservation is no second entry, and no younger one.
pub async fn keeps_the_place_of_one_reserved_again(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let subject = given::subject();
    let keys = bound(&r1, &subject, 3).await;
    let before = list(&r2, &subject).await;
    h.advance(Duration::from_secs(1)).await;
    for key in keys.iter().rev() {
        reserve(&r2, &subject, key, None).await;
    }
    let after = list(&r1, &subject).await;
    assert_eq!(keys_of(&after), keys);
    let since = |listing: &Listing| -> Vec<_> {
        listing.sessions.iter().map(|bound| bound.since).collect()
    };
    assert_eq!(since(&after), since(&before));
}

/// Deleted or expired: not in the next listing, not in a later one, also when its key is used
/// again.
pub async fn lists_no_session_that_is_over(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for delete in [true, false] {
        let subject = given::subject();
        let req = Create {
            ttl: 3 * TTL,
            ..given::create(given::data())
        };
        let (living, _) = given::stored_as(&*r1, req).await;
        reserve(&r1, &subject, &living, None).await;
        let dead = bound(&r1, &subject, 3).await;
        if delete {
            for key in &dead {
                expect::exactly(r2.delete(key, given::log_out()).await, &Deleted::Done);
            }
        } else {
            h.advance(TTL + r1.info().ttl_resolution).await;
        }
        assert_eq!(keys_of(&list(&r1, &subject).await), [living]);
        for key in &dead {
            expect::created(r1.create(key, given::create(given::data())).await);
        }
        for driver in [&r1, &r2] {
            assert_eq!(keys_of(&list(driver, &subject).await), [living]);
        }
        assert_eq!(
            index(&r1).forget(&subject, dead).await.expect("an answer"),
            0
        );
    }
}

/// A session that is over stays over, and is not listed.
pub async fn revives_nothing_by_a_reservation(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for delete in [true, false] {
        let subject = given::subject();
        let (key, _) = given::stored(&*r1).await;
        if delete {
            expect::exactly(r2.delete(&key, given::log_out()).await, &Deleted::Done);
        } else {
            h.advance(TTL + r1.info().ttl_resolution).await;
        }
        for cap in [None, Some(1)] {
            try_reserve(&r1, &subject, &key, cap).await;
            expect::missing(r2.open(&key, given::open()).await);
            assert_eq!(keys_of(&list(&r2, &subject).await), []);
        }
        given::swept(&r1).await;
        assert_eq!(h.holdings().await, 0, "things left by a reservation");
    }
}

/// However long its session lives.
pub async fn keeps_an_entry_as_long_as_it_was_reserved_for(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let subject = given::subject();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let req = Create {
            ttl: 100 * TTL,
            ..given::create(given::data())
        };
        let (key, _) = given::stored_as(&*r1, req).await;
        let reserved = reserve_for(&r1, &subject, &key, TTL, Some(2)).await;
        assert!(matches!(reserved, Reserved::Done { .. }));
        keys.push(key);
    }
    h.advance(TTL / 2).await;
    reserve_for(&r2, &subject, &keys[1], TTL, Some(2)).await;
    h.advance(TTL / 2 + r1.info().ttl_resolution).await;
    assert_eq!(keys_of(&list(&r1, &subject).await), keys[1..]);

    let (third, _) = given::stored(&*r1).await;
    let reserved = reserve_for(&r2, &subject, &third, TTL, Some(2)).await;
    assert!(matches!(reserved, Reserved::Done { .. }), "{reserved:?}");
    h.advance(TTL / 2).await;
    assert_eq!(keys_of(&list(&r1, &subject).await), [third]);
    given::read(&*r1, &keys[0]).await;
}

/// Nothing known, nothing listed, nothing left behind.
pub async fn leaves_nothing_of_an_unknown_subject(h: &dyn Harness) {
    let driver = h.connect().await;
    let subject = given::subject();
    let listing = list(&driver, &subject).await;
    assert_eq!(listing.sessions, []);
    let forgotten = index(&driver).forget(&subject, vec![given::key()]).await;
    assert_eq!(forgotten.expect("an answer"), 0);
    assert_eq!(h.holdings().await, 0, "things left of an unknown subject");
}

/// As often as it is asked, also about keys that are not listed; all others stay, in their order.
pub async fn forgets_what_it_is_told_to(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let subject = given::subject();
    let keys = bound(&r1, &subject, 5).await;
    let forget = async |driver: &Arc<dyn Driver>, keys: &[Key]| {
        let forgotten = index(driver).forget(&subject, keys.to_vec()).await;
        forgotten.expect("an answer")
    };
    assert_eq!(forget(&r1, &[]).await, 0);
    assert_eq!(forget(&r1, &[keys[1], given::key(), keys[3]]).await, 2);
    assert_eq!(forget(&r2, &[keys[1], keys[3]]).await, 0);
    let rest = [keys[0], keys[2], keys[4]];
    assert_eq!(keys_of(&list(&r2, &subject).await), rest);
    assert_eq!(forget(&r2, &[keys[0], keys[0]]).await, 1);
    for key in keys {
        given::read(&*r1, &key).await;
    }
}

/// One or other subject, whatever bytes its digest has; and the neighbour's are the neighbour's.
pub async fn keeps_subjects_apart(h: &dyn Harness) {
    let (ours, theirs) = (h.connect().await, h.neighbour().await);
    let mut digests = vec![
        [0; Subject::LEN],
        [0xff; Subject::LEN],
        [b'{'; Subject::LEN],
    ];
    digests.extend([
        [b'}'; Subject::LEN],
        [b'/'; Subject::LEN],
        [b':'; Subject::LEN],
    ]);
    let mut almost = [0; Subject::LEN];
    almost[Subject::LEN - 1] = 1;
    digests.push(almost);
    let subjects: Vec<Subject> = digests.into_iter().map(Subject::from_bytes).collect();
    let mut keys = Vec::new();
    for subject in &subjects {
        keys.push(bound(&ours, subject, 1).await);
    }
    for (subject, keys) in subjects.iter().zip(&keys) {
        assert_eq!(keys_of(&list(&ours, subject).await), *keys);
        assert_eq!(keys_of(&list(&theirs, subject).await), []);
        let elsewhere = index(&theirs).forget(subject, keys.clone()).await;
        assert_eq!(elsewhere.expect("an answer"), 0);
        index(&theirs)
            .revoke(subject, None)
            .await
            .expect("an answer");
    }
    let revoked = revoke(&ours, &subjects[0], None).await;
    assert_eq!(revoked.keys, keys[0]);
    for (subject, keys) in subjects.iter().zip(&keys).skip(1) {
        let listing = list(&ours, subject).await;
        assert_eq!(keys_of(&listing), *keys);
        assert_eq!(listing.sessions[0].generation, listing.generation);
    }
}

/// All but the one to keep, which moves into the new generation; and all of them stay listed until
/// they are forgotten, so that a crash in between loses none.
pub async fn revokes_all_but_the_one_to_keep(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let subject = given::subject();
    let keys = bound(&r1, &subject, 4).await;
    let before = list(&r1, &subject).await.generation;
    let revoked = revoke(&r1, &subject, Some(keys[2])).await;
    assert_ne!(revoked.generation, before);
    let others = [keys[0], keys[1], keys[3]];
    assert_eq!(sorted(revoked.keys), sorted(others.to_vec()));

    let listing = list(&r2, &subject).await;
    assert_eq!(listing.generation, revoked.generation);
    assert_eq!(keys_of(&listing), keys);
    for bound in &listing.sessions {
        let expected = if bound.key == keys[2] {
            revoked.generation
        } else {
            before
        };
        assert_eq!(bound.generation, expected);
    }
    // The crash: somebody else comes and does it all again.
    let again = revoke(&r2, &subject, Some(keys[2])).await;
    assert_eq!(sorted(again.keys.clone()), sorted(others.to_vec()));
    for key in &again.keys {
        expect::exactly(r2.delete(key, given::log_out()).await, &Deleted::Done);
    }
    let forgotten = index(&r2).forget(&subject, again.keys).await;
    assert!(forgotten.expect("an answer") <= 3);
    assert_eq!(keys_of(&list(&r1, &subject).await), [keys[2]]);
}

/// None to keep, or one that is not the subject's, which does not become so.
pub async fn revokes_all(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for keep in [None, Some(given::stored(&*r1).await.0)] {
        let subject = given::subject();
        let keys = bound(&r1, &subject, 3).await;
        let revoked = revoke(&r2, &subject, keep).await;
        assert_eq!(sorted(revoked.keys), sorted(keys.clone()));
        assert_eq!(keys_of(&list(&r1, &subject).await), keys);
    }
}

/// Whoever reserves again after a revocation is of the new generation.
pub async fn moves_one_reserved_again_into_the_new_generation(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let subject = given::subject();
    let keys = bound(&r1, &subject, 2).await;
    let revoked = revoke(&r2, &subject, None).await;
    let generation = reserve(&r1, &subject, &keys[1], None).await;
    assert_eq!(generation, revoked.generation);
    let listing = list(&r2, &subject).await;
    assert_eq!(keys_of(&listing), keys);
    assert_ne!(listing.sessions[0].generation, generation);
    assert_eq!(listing.sessions[1].generation, generation);
}

/// Not even when all of a subject's sessions are gone and forgotten: else a revoked one would count
/// as one of the present.
pub async fn never_comes_back_to_an_old_generation(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let subject = given::subject();
    let mut generations = Vec::new();
    for _ in 0..10 {
        let keys = bound(&r1, &subject, 2).await;
        generations.push(list(&r2, &subject).await.generation);
        let revoked = revoke(&r2, &subject, None).await;
        assert!(!generations.contains(&revoked.generation));
        for key in &keys {
            expect::exactly(r2.delete(key, given::log_out()).await, &Deleted::Done);
        }
        index(&r2).forget(&subject, keys).await.expect("an answer");
        assert_eq!(list(&r1, &subject).await.sessions, []);
        h.advance(r1.info().ttl_resolution).await;
        let (key, _) = given::stored(&*r1).await;
        let generation = reserve(&r1, &subject, &key, None).await;
        assert!(
            !generations.contains(&generation),
            "generation {generation} came back"
        );
        index(&r1)
            .forget(&subject, vec![key])
            .await
            .expect("an answer");
        expect::exactly(r1.delete(&key, given::log_out()).await, &Deleted::Done);
    }
}

/// A login reserves its stored session, and saves it with the generation it was told. A
/// revocation starts a generation, deletes what it is told, and forgets it. Whatever lives
/// afterwards is of the present generation.
pub async fn revokes_a_racing_login_or_is_seen_by_it(h: &dyn Harness) {
    for _ in 0..150 {
        let (r1, r2) = given::two(h).await;
        let subject = given::subject();
        let earlier = bound(&r1, &subject, 1).await;
        let mut racers = Vec::new();
        for i in 0..6 {
            let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
            let stored = given::stored(&*driver).await;
            racers.push(async move {
                if i == 0 {
                    revoke_all(&driver, &subject).await;
                    return None;
                }
                log_in(&driver, &subject, stored).await
            });
        }
        let logins = together(racers).await;
        expect::missing(r1.open(&earlier[0], given::open()).await);
        let present = list(&r1, &subject).await.generation;
        for (key, generation) in logins.into_iter().flatten() {
            match r2.open(&key, given::open()).await {
                Ok(Opened::Missing) => {}
                opened => {
                    let session = expect::found(opened);
                    assert_eq!(session.version.number, 2);
                    assert_eq!(generation, present, "a login outlived its revocation");
                }
            }
        }
        let listing = list(&r2, &subject).await;
        for bound in &listing.sessions {
            assert_eq!(bound.generation, listing.generation);
        }
    }
}

/// The cap counts the one that is reserved; a refused one is not listed.
pub async fn refuses_one_session_too_many(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for cap in [1, 2, 5] {
        let subject = given::subject();
        let mut keys = Vec::new();
        for _ in 0..cap {
            let (key, _) = given::stored(&*r1).await;
            reserve(&r1, &subject, &key, Some(cap)).await;
            keys.push(key);
        }
        let (late, _) = given::stored(&*r1).await;
        for driver in [&r1, &r2] {
            let reserved = try_reserve(driver, &subject, &late, Some(cap)).await;
            assert_eq!(reserved, Reserved::Full);
        }
        assert_eq!(keys_of(&list(&r2, &subject).await), keys);
        // Those that are listed are not too many.
        for key in &keys {
            reserve(&r2, &subject, key, Some(cap)).await;
        }
        reserve(&r2, &subject, &late, Some(cap + 1)).await;
        let (more, _) = given::stored(&*r1).await;
        reserve(&r2, &subject, &more, None).await;
        assert_eq!(list(&r1, &subject).await.sessions.len(), cap as usize + 2);
    }
}

/// Deleted, expired, forgotten: none takes a place, although nobody listed since.
pub async fn counts_living_sessions_only(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for end in ["deleted", "expired", "forgotten"] {
        let subject = given::subject();
        let keys = bound(&r1, &subject, 3).await;
        match end {
            "deleted" => {
                let deleted = r2.delete(&keys[1], given::log_out()).await;
                expect::exactly(deleted, &Deleted::Done);
            }
            "expired" => {
                for key in [&keys[0], &keys[2]] {
                    let session = given::read(&*r1, key).await;
                    expect::touched(r1.touch(key, given::touch(&session, 3 * TTL)).await);
                }
                h.advance(TTL + r1.info().ttl_resolution).await;
            }
            _ => {
                let forgotten = index(&r2).forget(&subject, vec![keys[1]]).await;
                assert_eq!(forgotten.expect("an answer"), 1);
            }
        }
        let (key, _) = given::stored(&*r1).await;
        reserve(&r2, &subject, &key, Some(3)).await;
        let (late, _) = given::stored(&*r1).await;
        let reserved = try_reserve(&r1, &subject, &late, Some(3)).await;
        assert_eq!(reserved, Reserved::Full, "{end}");
        let listed = keys_of(&list(&r1, &subject).await);
        assert_eq!(listed, [keys[0], keys[2], key], "{end}");
    }
}

/// Whoever comes when all places are taken gives up.
pub async fn holds_a_cap_that_rejects(h: &dyn Harness) {
    hold_a_cap(h, |_| None).await;
}

/// Whoever comes when all places are taken ends the session that was bound first.
pub async fn holds_a_cap_that_evicts_the_oldest(h: &dyn Harness) {
    hold_a_cap(h, |listing| {
        let oldest = listing.sessions.first()?;
        Some(oldest.key)
    })
    .await;
}

/// Whoever comes when all places are taken ends the session that has the least of its life left.
pub async fn holds_a_cap_that_evicts_the_idle(h: &dyn Harness) {
    hold_a_cap(h, |listing| {
        let idle = listing.sessions.iter().min_by_key(|bound| bound.left)?;
        Some(idle.key)
    })
    .await;
}

/// 64 logins at once, over two handles, while a third looks on; again and again. A network brings
/// them into another order each time by itself, and takes its time.
async fn hold_a_cap(h: &dyn Harness, victim: fn(&Listing) -> Option<Key>) {
    let rounds = match h.connect().await.info().shared {
        Shared::Network => 3,
        _ => 10,
    };
    for _ in 0..rounds {
        let (r1, r2) = given::two(h).await;
        let subject = given::subject();
        let mut logins = Vec::new();
        for i in 0..64 {
            let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
            let stored = given::stored(&*driver).await;
            logins.push((driver, Some(stored)));
        }
        logins.push((h.connect().await, None));
        let keys = together(logins.into_iter().map(|(driver, login)| async move {
            let Some(stored) = login else {
                watch_the_cap(&driver, &subject).await;
                return None;
            };
            log_in_capped(&driver, &subject, stored, victim).await
        }))
        .await;

        let listed = keys_of(&list(&r1, &subject).await);
        assert_eq!(listed.len(), CAP as usize);
        let mut alive = Vec::new();
        for key in keys.into_iter().flatten() {
            if r2.open(&key, given::open()).await.expect("an answer") != Opened::Missing {
                alive.push(key);
            }
        }
        assert_eq!(sorted(alive), sorted(listed.clone()));
        for key in &listed {
            expect::exactly(r1.delete(key, given::log_out()).await, &Deleted::Done);
        }
        assert_eq!(list(&r2, &subject).await.sessions, []);
        assert_eq!(h.holdings().await, 0, "things left of those who have gone");
    }
}

/// There are never more, at no moment.
async fn watch_the_cap(driver: &Arc<dyn Driver>, subject: &Subject) {
    for _ in 0..20 {
        let listed = list(driver, subject).await.sessions.len();
        assert!(listed <= CAP as usize, "{listed} sessions at once");
    }
}

/// What a session layer does at a login: the key of the session, unless it had to give up.
async fn log_in_capped(
    driver: &Arc<dyn Driver>,
    subject: &Subject,
    (key, session): (Key, Snapshot),
    victim: fn(&Listing) -> Option<Key>,
) -> Option<Key> {
    while try_reserve(driver, subject, &key, Some(CAP)).await == Reserved::Full {
        let listing = list(driver, subject).await;
        if listing.sessions.len() < CAP as usize {
            continue;
        }
        let Some(victim) = victim(&listing) else {
            let deleted = driver.delete(&key, given::log_out()).await;
            expect::exactly(deleted, &Deleted::Done);
            return None;
        };
        let deleted = driver.delete(&victim, given::log_out()).await;
        deleted.expect("an answer");
        let forgotten = index(driver).forget(subject, vec![victim]).await;
        forgotten.expect("an answer");
    }
    bind(driver, &key, &session).await.then_some(key)
}

/// A login without a cap: the session, and the generation that it was told.
async fn log_in(
    driver: &Arc<dyn Driver>,
    subject: &Subject,
    (key, session): (Key, Snapshot),
) -> Option<(Key, u64)> {
    let generation = reserve(driver, subject, &key, None).await;
    bind(driver, &key, &session)
        .await
        .then_some((key, generation))
}

/// The save that makes the session the subject's. `false` when somebody ended it before.
async fn bind(driver: &Arc<dyn Driver>, key: &Key, session: &Snapshot) -> bool {
    match driver.save(key, given::save(session, given::data())).await {
        Ok(Written::Done { .. }) => true,
        Ok(Written::Missing) => false,
        other => panic!("expected Done or Missing, and the answer was {other:?}"),
    }
}

async fn revoke_all(driver: &Arc<dyn Driver>, subject: &Subject) {
    let revoked = revoke(driver, subject, None).await;
    for key in &revoked.keys {
        let deleted = driver.delete(key, given::log_out()).await;
        deleted.expect("an answer");
    }
    let forgotten = index(driver).forget(subject, revoked.keys).await;
    forgotten.expect("an answer");
}

fn index(driver: &Arc<dyn Driver>) -> &dyn SubjectIndex {
    driver.subjects().expect("the facet that was declared")
}

/// So many sessions of this subject.
async fn bound(driver: &Arc<dyn Driver>, subject: &Subject, number: usize) -> Vec<Key> {
    let mut keys = Vec::new();
    for _ in 0..number {
        let (key, _) = given::stored(&**driver).await;
        reserve(driver, subject, &key, None).await;
        keys.push(key);
    }
    keys
}

/// The generation of a reservation that should work.
async fn reserve(driver: &Arc<dyn Driver>, subject: &Subject, key: &Key, cap: Option<u32>) -> u64 {
    match try_reserve(driver, subject, key, cap).await {
        Reserved::Done { generation } => generation,
        other => panic!("expected a reserved place, and it was {other:?}"),
    }
}

async fn try_reserve(
    driver: &Arc<dyn Driver>,
    subject: &Subject,
    key: &Key,
    cap: Option<u32>,
) -> Reserved {
    reserve_for(driver, subject, key, 100 * TTL, cap).await
}

async fn reserve_for(
    driver: &Arc<dyn Driver>,
    subject: &Subject,
    key: &Key,
    ttl: Duration,
    cap: Option<u32>,
) -> Reserved {
    let cap = cap.map(|cap| NonZeroU32::new(cap).expect("not zero"));
    let req = Reserve {
        key: *key,
        ttl,
        cap,
    };
    index(driver)
        .reserve(subject, req)
        .await
        .expect("an answer")
}

async fn list(driver: &Arc<dyn Driver>, subject: &Subject) -> Listing {
    index(driver).list(subject).await.expect("an answer")
}

async fn revoke(driver: &Arc<dyn Driver>, subject: &Subject, keep: Option<Key>) -> Revoked {
    let revoked = index(driver).revoke(subject, keep).await;
    revoked.expect("an answer")
}

fn keys_of(listing: &Listing) -> Vec<Key> {
    let keys = listing.sessions.iter();
    keys.map(|bound: &Bound| bound.key).collect()
}

fn sorted(mut keys: Vec<Key>) -> Vec<Key> {
    keys.sort_unstable();
    keys
}
