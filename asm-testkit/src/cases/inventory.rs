//! Lists of what is stored.

use std::{
    collections::{BTreeSet, HashSet},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use asm_core::{
    Create, Cursor, Driver, ErrorKind, FieldChange, FieldName, FieldWrite, Inventory, Key,
    ListStep, Listed, Snapshot,
};

use crate::{
    Harness, expect,
    given::{self, TTL},
};

/// The lifetime of the sessions that are over when the list is made.
const SHORT: Duration = Duration::from_secs(60);

/// And nothing of a neighbour.
pub async fn lists_what_lives_and_nothing_else(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    assert!(list(&r2, 5).await.is_empty(), "there is nothing yet");
    let neighbour = h.neighbour().await;
    let mut living = BTreeSet::new();
    for number in 0..20 {
        living.insert(given::stored(&*r1).await.0);
        if number % 4 == 0 {
            given::stored(&*neighbour).await;
            given::stored_as(&*r1, short_lived()).await;
            let (key, _) = given::stored(&*r1).await;
            r1.delete(&key, given::log_out()).await.expect("an answer");
        }
    }
    h.advance(SHORT + r1.info().ttl_resolution).await;
    for batch in [1, 7, 1000] {
        assert_eq!(list(&r2, batch).await, living, "in batches of {batch}");
    }
}

/// Each on another handle, with no more looked at in one batch than about what was asked for.
pub async fn lists_in_batches(h: &dyn Harness) {
    const SESSIONS: usize = 400;
    let r1 = h.connect().await;
    for _ in 0..SESSIONS {
        given::stored(&*r1).await;
    }
    let (mut from, mut batches, mut keys) = (None, 0, HashSet::new());
    loop {
        let r2 = h.connect().await;
        let listed = step(&r2, from, 10).await;
        let count = listed.keys.len();
        assert!(count < SESSIONS / 2, "a batch of about 10 has {count}");
        batches += 1;
        keys.extend(listed.keys);
        match listed.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert_eq!(keys.len(), SESSIONS);
    assert!(batches > 2, "{batches} batches");
}

/// Whatever is created, deleted and changed between two batches.
pub async fn lists_what_stays_while_others_come_and_go(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (mut staying, mut going) = (Vec::new(), Vec::new());
    for _ in 0..120 {
        staying.push(given::stored(&*r1).await);
        going.push(given::stored(&*r1).await.0);
    }
    let (mut from, mut seen, mut changed) = (None, BTreeSet::new(), 0);
    loop {
        let listed = step(&r2, from, 5).await;
        seen.extend(listed.keys);
        let Some(next) = listed.next else { break };
        from = Some(next);
        for key in going.drain(going.len().saturating_sub(5)..) {
            r1.delete(&key, given::log_out()).await.expect("an answer");
        }
        given::stored(&*r1).await;
        if let Some((key, session)) = staying.get(changed) {
            let req = given::save(session, given::data());
            expect::written(r1.save(key, req).await);
            changed += 1;
        }
    }
    let missed = staying.iter().filter(|(key, _)| !seen.contains(key));
    assert_eq!(missed.count(), 0, "of {} that stayed", staying.len());
}

/// Neither the sessions, nor their lives, nor their locks.
pub async fn lists_without_a_change(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let mut before = Vec::new();
    for _ in 0..10 {
        let (key, session) = given::stored_as(&*r1, short_lived()).await;
        set(&*r1, &key, &session, "a", FieldChange::Incr(1)).await;
        let mut wish = given::attempt(&session);
        let token = wish.claim.token;
        wish.claim.hold = TTL;
        expect::held(r1.acquire(&key, wish).await);
        before.push((key, session, token));
    }
    h.advance(SHORT / 2).await;
    let holdings = h.holdings().await;
    assert_eq!(list(&r2, 3).await.len(), before.len());
    for (key, ..) in &before {
        inventory(&r2).field_names(key).await.expect("names");
    }
    assert_eq!(h.holdings().await, holdings, "things come and gone");
    for (key, session, token) in before {
        let after = given::read(&*r1, &key).await;
        assert_eq!(after.version, session.version);
        let left = after.left.expect("a lifetime");
        assert!(left <= SHORT / 2, "{left:?} left");
        let req = given::save_held(token, &session, given::data());
        expect::written(r1.save(&key, req).await);
    }
}

/// What this driver never made.
pub async fn refuses_a_foreign_cursor_of_a_list(h: &dyn Harness) {
    let driver = h.connect().await;
    given::stored(&*driver).await;
    let foreign = [
        b"\xff\xfe not a cursor \0 of any driver \xff".to_vec(),
        vec![0xff; 64 * 1024],
    ];
    for bytes in foreign {
        let step = ListStep {
            from: Some(Cursor(bytes.into())),
            batch: NonZeroUsize::MIN,
        };
        let answer = inventory(&driver).list_sessions(step).await;
        expect::failure(answer, ErrorKind::Invalid);
    }
}

/// Of every kind, however they are called; and no more than there are.
pub async fn names_the_fields_of_a_session(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let (other, other_session) = given::stored(&*r1).await;
    assert!(names(&r2, &key).await.is_empty(), "there is none yet");
    if r1.fields().is_none() {
        return;
    }
    let data = || given::data();
    for (name, change) in [
        ("set", FieldChange::Set(data())),
        ("number", FieldChange::Incr(7)),
        ("log", FieldChange::Append(data())),
        ("list", FieldChange::Push(data())),
        ("\0{m*}/ä\n", FieldChange::Set(data())),
        ("gone", FieldChange::Set(data())),
        ("taken", FieldChange::Push(data())),
    ] {
        set(&*r1, &key, &session, name, change).await;
    }
    set(&*r1, &key, &session, "gone", FieldChange::Clear).await;
    set(&*r1, &key, &session, "taken", FieldChange::Take).await;
    let change = FieldChange::Incr(1);
    set(&*r1, &other, &other_session, "other", change).await;
    let expected = ["\0{m*}/ä\n", "list", "log", "number", "set"];
    assert_eq!(names(&r2, &key).await, expected);
    assert_eq!(names(&r2, &other).await, ["other"]);
}

/// Neither of a deleted session, nor of an expired one, nor of one that never was.
pub async fn names_no_fields_of_what_is_over(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    assert!(names(&r2, &given::key()).await.is_empty());
    if r1.fields().is_none() {
        return;
    }
    let (deleted, session) = given::stored(&*r1).await;
    set(&*r1, &deleted, &session, "a", FieldChange::Incr(1)).await;
    let (expired, session) = given::stored_as(&*r1, short_lived()).await;
    set(&*r1, &expired, &session, "a", FieldChange::Incr(1)).await;
    for key in [&deleted, &expired] {
        assert_eq!(names(&r2, key).await, ["a"]);
    }
    r1.delete(&deleted, given::log_out())
        .await
        .expect("an answer");
    h.advance(SHORT + r1.info().ttl_resolution).await;
    for key in [&deleted, &expired] {
        assert!(names(&r2, key).await.is_empty());
    }
}

fn short_lived() -> Create {
    Create {
        ttl: SHORT,
        ..given::create(given::data())
    }
}

fn inventory(driver: &Arc<dyn Driver>) -> &dyn Inventory {
    driver.inventory().expect("the facet that was declared")
}

async fn step(driver: &Arc<dyn Driver>, from: Option<Cursor>, batch: usize) -> Listed {
    let batch = NonZeroUsize::new(batch).expect("not zero");
    let step = ListStep { from, batch };
    let listed = inventory(driver).list_sessions(step).await;
    let listed = listed.expect("a batch");
    assert_eq!(listed.failed, 0);
    listed
}

/// A whole list.
async fn list(driver: &Arc<dyn Driver>, batch: usize) -> BTreeSet<Key> {
    let (mut all, mut from, mut seen) = (BTreeSet::new(), None, HashSet::new());
    loop {
        let listed = step(driver, from, batch).await;
        all.extend(listed.keys);
        let Some(next) = listed.next else {
            return all;
        };
        let new = seen.insert(next.0.clone());
        assert!(new, "the list goes round in circles");
        expect::part(inventory(driver).progress(&next));
        from = Some(next);
    }
}

/// The names of its fields, in their order.
async fn names(driver: &Arc<dyn Driver>, key: &Key) -> Vec<String> {
    let names = inventory(driver).field_names(key).await.expect("names");
    let mut names: Vec<_> = names.iter().map(|name| name.as_str().to_owned()).collect();
    names.sort();
    names
}

/// A change of a field, if there are fields.
async fn set(driver: &dyn Driver, key: &Key, of: &Snapshot, name: &str, change: FieldChange) {
    let Some(fields) = driver.fields() else {
        return;
    };
    let req = FieldWrite {
        name: FieldName::new(name).expect("a name that is allowed"),
        epoch: of.stamp.epoch,
        op: given::op(),
        resend: None,
        change,
    };
    fields.write_field(key, req).await.expect("an answer");
}

/// Longer than anything takes here.
const _: () = assert!(TTL.as_secs() > 2 * SHORT.as_secs());
