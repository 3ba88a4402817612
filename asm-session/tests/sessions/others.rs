//! Taking, lockless fields, subjects, single flight.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use asm_core::{SessionStore, Written};
use asm_session::{
    AtCap, ClientKind, InvalidReason, LockMode, Rotation, RotationPolicy, Session, SessionError,
    Sessions,
};
use asm_testkit::given;
use tokio::{sync::Barrier, task::JoinSet};

use crate::world::{World, client, issued, logged_in, n, of_kind, one_each, settle, stored};

async fn open(sessions: &Sessions, id: &str) -> Session {
    sessions.open(id, &client()).await.expect("it opens")
}

#[tokio::test]
async fn of_many_takers_exactly_one_gets_the_value() {
    for mode in [
        LockMode::Optimistic,
        LockMode::OnWrite,
        LockMode::OnOpen,
        LockMode::Manual,
        LockMode::Off,
    ] {
        let world = World::new();
        let sessions = world
            .builder()
            .lock_mode(mode)
            .lock_queue(None)
            .build()
            .expect("sound");
        let id = Arc::<str>::from(stored(&sessions).await);
        let mut takers = JoinSet::new();
        for _ in 0..20 {
            let (sessions, id) = (sessions.clone(), Arc::clone(&id));
            takers.spawn(async move {
                let mut session = open(&sessions, &id).await;
                tokio::task::yield_now().await;
                let taken = session.take::<i64>("n").await.expect("no conflict");
                session.close().await.expect("nothing else to do");
                usize::from(taken.is_some())
            });
        }
        assert_eq!(takers.join_all().await.iter().sum::<usize>(), 1, "{mode:?}");
    }
}

#[tokio::test]
async fn a_take_leaves_other_changes_in_the_journal_and_values_of_another_type() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = open(&sessions, &id).await;
    session.insert("other", &1).expect("writable");
    assert!(matches!(
        session.take::<String>("n").await,
        Err(SessionError::Value { .. })
    ));
    assert_eq!(session.take::<i64>("n").await.expect("stored"), Some(0));
    assert_eq!(session.get::<i64>("n").expect("gone"), None);
    assert!(session.is_modified());
    assert_eq!(open(&sessions, &id).await.len(), 0);
    session.close().await.expect("stored");
    assert_eq!(
        open(&sessions, &id).await.keys().collect::<Vec<_>>(),
        ["other"]
    );

    session.insert("flash", &"hello").expect("writable");
    assert_eq!(
        session
            .take::<String>("flash")
            .await
            .expect("stored")
            .as_deref(),
        Some("hello")
    );
    assert_eq!(session.take::<String>("flash").await.expect("stored"), None);
}

#[tokio::test]
async fn changes_that_a_take_could_not_save_are_told_of_once() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = open(&sessions, &id).await;
    assert_eq!(session.get_or("n", 1).expect("a number"), 0);
    let mut other = open(&sessions, &id).await;
    other.add("n", 1).expect("writable");
    other.close().await.expect("stored");
    session.insert("n", &5).expect("writable");
    let taken = session.take::<i64>("n").await;
    assert!(matches!(taken, Err(SessionError::Conflict(_))));
    assert!(session.is_modified());
    drop(session);
    // They were refused, and are not dropped as well.
    assert_eq!(sessions.counters().dropped_changes, 0);
}

#[tokio::test]
async fn fields_are_exact_without_a_lock_and_share_the_session_s_fate() {
    let sessions = World::new().sessions(LockMode::OnOpen);
    let mut session = sessions.create(&client()).expect("random");
    let mut fields = session.fields().expect("the driver has them");
    assert!(fields.get("views").await.expect("nothing").is_none());
    assert_eq!(fields.incr("views", 1).await.expect("a number"), 1);
    assert!(!session.is_new(), "the first change stores the session");
    session.close().await.expect("stored");
    let id = Arc::<str>::from(issued(&session));

    let holder = open(&sessions, &id).await;
    let reading = sessions.with_mode(LockMode::Optimistic);
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (sessions, id) = (reading.clone(), Arc::clone(&id));
        writers.spawn(async move {
            let mut session = open(&sessions, &id).await;
            let mut fields = session.fields().expect("the driver has them");
            for _ in 0..10 {
                fields.incr("views", 2).await.expect("a number");
                fields.push("seen", &writer).await.expect("a list");
                fields.append("log", vec![b'x']).await.expect("bytes");
            }
        });
    }
    writers.join_all().await;
    drop(holder);

    let mut session = open(&reading, &id).await;
    let mut fields = session.fields().expect("the driver has them");
    let views = fields.get("views").await.expect("there").expect("a field");
    assert_eq!(views.number().expect("a number"), 161);
    assert!(matches!(views.bytes(), Err(SessionError::WrongKind)));
    assert_eq!(
        fields
            .list::<i32>("seen", 0..1000)
            .await
            .expect("a list")
            .len(),
        80
    );
    assert_eq!(
        fields
            .list::<i32>("seen", 78..1000)
            .await
            .expect("a list")
            .len(),
        2
    );
    let log = fields.take("log").await.expect("there").expect("a field");
    assert_eq!(log.bytes().expect("bytes").len(), 80);
    assert!(fields.take("log").await.expect("there").is_none());
    assert!(matches!(
        fields.incr("seen", 1).await,
        Err(SessionError::WrongKind)
    ));
    fields.set("last", &"page").await.expect("any");
    let last = fields.get("last").await.expect("there").expect("a field");
    assert_eq!(last.value::<String>().expect("a text"), "page");
    fields.clear("last").await.expect("any");
    assert!(fields.get("last").await.expect("there").is_none());

    let mut early = open(&reading, &id).await;
    session
        .regenerate(Rotation::Authenticate)
        .expect("writable");
    session.close().await.expect("stored");
    let stale = early.fields().expect("fields").get("views").await;
    assert!(matches!(
        stale,
        Err(SessionError::Invalid(InvalidReason::Stale))
    ));
    let mut late = open(&reading, &issued(&session)).await;
    let mut next = open(&reading, &issued(&session)).await;
    let views = next
        .fields()
        .expect("fields")
        .incr("views", 0)
        .await
        .expect("followed");
    assert_eq!(views, 161);
    session.delete().await.expect("deleted");
    let gone = next.fields().expect("fields").incr("views", 1).await;
    assert!(matches!(gone, Err(SessionError::Deleted)));
    let gone = late.fields().expect("fields").get("views").await;
    assert!(matches!(gone, Err(SessionError::Deleted)));
}

#[tokio::test]
async fn a_list_is_read_in_part_and_what_is_taken_is_gone() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let (mut first, mut second) = (open(&sessions, &id).await, open(&sessions, &id).await);
    let (mut first, mut second) = (
        first.fields().expect("the facet"),
        second.fields().expect("the facet"),
    );
    for (at, page) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(first.push("pages", page).await.expect("there"), at + 1);
    }
    for (part, expected) in [(0..9, &["a", "b", "c"][..]), (1..2, &["b"]), (3..9, &[])] {
        let items = second.list::<String>("pages", part).await;
        assert_eq!(items.expect("a list"), expected);
    }
    let taken = second.take("pages").await.expect("there");
    let taken = taken.expect("a list").list::<String>();
    assert_eq!(taken.expect("texts"), ["a", "b", "c"]);
    assert!(first.take("pages").await.expect("there").is_none());
}

#[tokio::test]
async fn what_was_never_saved_is_taken_as_well_and_is_not_saved() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Optimistic);
    let mut session = sessions.create(&client()).expect("random");
    assert!(!session.is_locked());
    for (name, value) in [("n", 1), ("m", 2)] {
        session.insert(name, &value).expect("writable");
    }
    assert_eq!(session.take::<i64>("n").await.expect("there"), Some(1));
    assert_eq!(session.take::<i64>("n").await.expect("gone"), None);
    assert_eq!(world.driver.sessions(), 0);
    session.close().await.expect("stored");
    let session = open(&sessions, &issued(&session)).await;
    assert_eq!(session.keys().collect::<Vec<_>>(), ["m"]);
}

/// What a take saves is the entry that it takes, and what is due.
#[tokio::test]
async fn a_take_leaves_what_was_changed_beside_the_entries_to_the_next_save() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    for turn in 0..2 {
        let mut session = open(&sessions, &id).await;
        session.insert("n", &turn).expect("writable");
        session.close().await.expect("stored");
    }
    let mut session = open(&sessions, &id).await;
    let hour = Duration::from_secs(3600);
    session.set_lifetime(hour).expect("writable");
    assert_eq!(session.take::<i64>("n").await.expect("there"), Some(1));
    assert_eq!(session.lifetime(), Some(hour));
    session.close().await.expect("stored");
    assert_eq!(open(&sessions, &id).await.lifetime(), Some(hour));
}

/// What an open alone changes is stored with the take, and is not laid over what others do later.
#[tokio::test]
async fn a_take_stores_what_the_open_changed_once() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let human = sessions.open(&id, &of_kind(ClientKind::Human)).await;
    let mut human = human.expect("it opens");
    assert_eq!(human.take::<i64>("n").await.expect("there"), Some(0));
    let bot = sessions.open(&id, &of_kind(ClientKind::Bot)).await;
    let mut bot = bot.expect("it opens");
    bot.insert("bot", &1).expect("writable");
    bot.close().await.expect("stored");
    human.insert("n", &1).expect("writable");
    human.close().await.expect("merged");
    let kept = open(&sessions, &id).await.info().kind();
    assert_eq!(kept, ClientKind::Bot);
}

#[tokio::test]
async fn a_user_s_sessions_are_listed_and_revoked() {
    let world = World::new();
    let sessions = world
        .builder()
        .subject_key(&[7; 32])
        .build()
        .expect("sound");
    let mine = logged_in(&sessions, "user:1").await.expect("stored");
    let mut running = logged_in(&sessions, "user:1").await.expect("stored");
    let other = logged_in(&sessions, "user:2").await.expect("stored");
    let user = sessions.subject("user:1");
    let listed: Vec<_> = user
        .list()
        .await
        .expect("an index")
        .iter()
        .map(|s| s.handle)
        .collect();
    assert_eq!(listed, [mine.handle(), running.handle()]);
    assert!(mine.info().is_bound());

    running.add("n", 1).expect("fits");
    assert_eq!(
        user.revoke_others(mine.handle()).await.expect("an index"),
        1
    );
    assert!(matches!(running.close().await, Err(SessionError::Deleted)));
    assert_eq!(user.list().await.expect("an index").len(), 1);
    assert_eq!(user.revoke_all().await.expect("an index"), 1);
    assert!(user.list().await.expect("an index").is_empty());
    assert_eq!(
        sessions.subject("user:2").list().await.expect("an index")[0].handle,
        other.handle()
    );
    assert_eq!(world.driver.sessions(), 1);
}

#[tokio::test]
async fn a_session_that_changes_hands_is_on_one_list() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let mut session = logged_in(&sessions, "user:1").await.expect("stored");
    session.bind_subject("user:2").await.expect("an index");
    session.close().await.expect("stored");
    assert_eq!(
        sessions
            .subject("user:1")
            .revoke_all()
            .await
            .expect("an index"),
        0
    );
    assert_eq!(
        sessions
            .subject("user:2")
            .revoke_all()
            .await
            .expect("an index"),
        1
    );
}

#[tokio::test]
async fn a_session_that_is_bound_again_stays_on_its_list() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    for _ in 0..2 {
        let mut session = open(&sessions, &id).await;
        for _ in 0..2 {
            session.bind_subject("user:1").await.expect("an index");
        }
        session.close().await.expect("stored");
        drop(session);
        // Whatever was reserved and not needed is given back.
        settle().await;
        let user = sessions.subject("user:1");
        assert_eq!(user.list().await.expect("an index").len(), 1);
    }
}

/// Whoever holds the lock may be about to bind the session, too.
#[tokio::test]
async fn a_place_is_kept_while_somebody_holds_the_lock_of_its_session() {
    let world = World::new();
    let sessions = one_each(world.builder());
    let id = stored(&sessions).await;
    let mut login = open(&sessions, &id).await;
    login.bind_subject("user:1").await.expect("there is room");
    let mut holder = open(&sessions.with_mode(LockMode::OnOpen), &id).await;
    drop(login);
    settle().await;

    let another = logged_in(&sessions, "user:1").await;
    assert!(matches!(another, Err(SessionError::TooManySessions)));
    holder.insert("n", &1).expect("writable");
    holder.close().await.expect("it is as it was");
    assert_eq!(n(&sessions, &id).await, 1);

    // After a minute nobody is about to, and the place makes room.
    world.clock.advance(Duration::from_secs(61)).await;
    logged_in(&sessions, "user:1").await.expect("there is room");
    assert_eq!(n(&sessions, &id).await, 1);
}

#[tokio::test]
async fn a_place_that_is_given_back_leaves_the_session_unlocked_and_as_it_was() {
    let world = World::new();
    let sessions = one_each(world.builder());
    let id = stored(&sessions).await;
    let mut login = open(&sessions, &id).await;
    login.bind_subject("user:1").await.expect("there is room");
    let mut late = open(&sessions, &id).await;
    drop(login);
    settle().await;
    logged_in(&sessions, "user:1").await.expect("there is room");
    late.add("n", 1).expect("fits");
    late.close().await.expect("merged");
    assert_eq!(sessions.counters().merges, 1, "there is a newer version");
    let no_wait = world.builder().lock_wait(Duration::ZERO);
    let locking = no_wait.lock_mode(LockMode::OnOpen).build().expect("sound");
    let session = open(&locking, &id).await;
    assert_eq!(session.get_or("n", 0).expect("a number"), 1);
}

/// What was refused for good has nothing to give back, and leaves the session as it is.
#[tokio::test]
async fn a_place_that_was_refused_is_not_given_back() {
    let world = World::new();
    let sessions = one_each(world.builder());
    logged_in(&sessions, "user:1").await.expect("there is room");
    let id = stored(&sessions).await;
    let mut login = open(&sessions, &id).await;
    let refused = login.bind_subject("user:1").await;
    assert!(matches!(refused, Err(SessionError::TooManySessions)));
    let before = given::read(&*world.driver, &login.handle()).await.version;
    let handle = login.handle();
    drop(login);
    settle().await;
    assert_eq!(given::read(&*world.driver, &handle).await.version, before);
}

#[tokio::test]
async fn a_login_that_races_with_a_revocation_is_revoked() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Optimistic);
    let mut session = sessions.create(&client()).expect("random");
    session.insert("n", &0).expect("writable");
    session.bind_subject("user:1").await.expect("an index");
    sessions
        .subject("user:1")
        .revoke_all()
        .await
        .expect("an index");
    assert!(matches!(session.close().await, Err(SessionError::Deleted)));
    assert_eq!(world.driver.sessions(), 0);
}

#[tokio::test]
async fn an_authentication_keeps_a_session_listed_for_its_new_life() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Optimistic);
    let mut session = logged_in(&sessions, "user:1").await.expect("stored");
    session
        .set_lifetime(Duration::from_secs(30 * 24 * 3600))
        .expect("writable");
    session.close().await.expect("stored");
    world
        .clock
        .advance(Duration::from_secs(29 * 24 * 3600))
        .await;
    let mut session = open(&sessions, &issued(&session)).await;
    session
        .regenerate(Rotation::Authenticate)
        .expect("writable");
    session.close().await.expect("stored");
    world
        .clock
        .advance(Duration::from_secs(2 * 24 * 3600))
        .await;
    assert_eq!(
        sessions
            .subject("user:1")
            .revoke_all()
            .await
            .expect("an index"),
        1
    );
    assert_eq!(world.driver.sessions(), 0);
}

#[tokio::test]
async fn what_nobody_can_read_makes_room_first() {
    let world = World::new();
    let cap = NonZeroU32::new(2).expect("not 0");
    let builder = world.builder().subject_cap(cap, AtCap::EvictIdle);
    let sessions = builder.build().expect("sound");
    let oldest = logged_in(&sessions, "user:1").await.expect("stored");
    let illegible = logged_in(&sessions, "user:1").await.expect("stored");
    let driver = &*world.driver;
    let record = given::read(driver, &illegible.handle()).await;
    let save = given::save(&record, "no record of ours");
    let saved = driver.save(&illegible.handle(), save).await;
    assert!(matches!(saved, Ok(Written::Done { .. })), "{saved:?}");

    logged_in(&sessions, "user:1").await.expect("there is room");
    open(&sessions, &issued(&oldest)).await;
    assert_eq!(world.driver.sessions(), 2);
}

#[tokio::test]
async fn a_cap_holds_under_many_logins_at_once() {
    for policy in [AtCap::Reject, AtCap::EvictOldest, AtCap::EvictIdle] {
        let world = World::new();
        let cap = NonZeroU32::new(3).expect("not 0");
        let sessions = world
            .builder()
            .subject_cap(cap, policy)
            .build()
            .expect("sound");
        let mut logins = JoinSet::new();
        for _ in 0..64 {
            let sessions = sessions.clone();
            logins.spawn(async move {
                tokio::task::yield_now().await;
                logged_in(&sessions, "user:1").await.map(drop)
            });
        }
        let logins = logins.join_all().await;
        let listed = sessions
            .subject("user:1")
            .list()
            .await
            .expect("an index")
            .len();
        assert_eq!(listed, 3, "{policy:?}");
        let refused = logins.iter().filter(|login| login.is_err()).count();
        if policy == AtCap::Reject {
            assert_eq!(refused, 61);
        }
    }
}

#[tokio::test]
async fn of_many_that_want_it_once_one_runs_and_all_get_the_value() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Optimistic);
    let id = Arc::<str>::from(stored(&sessions).await);
    let (runs, together) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(20)));
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let (sessions, id) = (sessions.clone(), Arc::clone(&id));
        let (runs, together) = (Arc::clone(&runs), Arc::clone(&together));
        callers.spawn(async move {
            let session = open(&sessions, &id).await;
            together.wait().await;
            let work = async {
                tokio::task::yield_now().await;
                Ok(runs.fetch_add(1, Ordering::Relaxed) + 42)
            };
            session
                .once("quote", Duration::from_secs(60), work)
                .await
                .expect("a value")
        });
    }
    assert_eq!(callers.join_all().await, [42; 20]);
    assert_eq!(runs.load(Ordering::Relaxed), 1);

    let session = open(&sessions, &id).await;
    let again = || session.once("quote", Duration::from_secs(60), async { Ok(7_usize) });
    world.clock.advance(Duration::from_secs(59)).await;
    assert_eq!(again().await.expect("a value"), 42);
    world.clock.advance(Duration::from_secs(1)).await;
    assert_eq!(
        again().await.expect("a value"),
        7,
        "no value is used after its ttl"
    );
}

#[tokio::test]
async fn when_one_fails_or_dies_the_next_runs() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let session = open(&sessions, &id).await;
    let ttl = Duration::from_secs(60);
    let failed = session
        .once("q", ttl, async { Err::<i32, _>(SessionError::app("no")) })
        .await;
    assert!(matches!(failed, Err(SessionError::App(_))));

    let stuck = tokio::spawn({
        let session = open(&sessions, &id).await;
        async move {
            session
                .once("q", ttl, std::future::pending::<asm_session::Result<i32>>())
                .await
        }
    });
    tokio::task::yield_now().await;
    world.clock.advance(Duration::from_secs(60)).await;
    let waiting = tokio::spawn({
        let session = open(&sessions, &id).await;
        async move { session.once("q", ttl, async { Ok(5) }).await }
    });
    tokio::task::yield_now().await;
    assert!(
        !waiting.is_finished(),
        "the first one still runs, and is kept alive"
    );
    stuck.abort();
    assert_eq!(waiting.await.expect("no panic").expect("its turn"), 5);
    assert!(stuck.await.is_err());
}

#[tokio::test]
async fn what_is_refused_at_the_set_up() {
    let world = World::new();
    let zero = Duration::ZERO;
    for wrong in [
        world.builder().lock_hold(zero),
        world.builder().lock_renewal(zero),
        world.builder().lock_renewal(Duration::from_secs(10)),
        world.builder().decision_deadline(zero),
        world
            .builder()
            .rotation(RotationPolicy::never().on_profile_change()),
    ] {
        assert!(matches!(wrong.build(), Err(SessionError::Usage(_))));
    }
    assert!(
        world
            .builder()
            .lock_wait(zero)
            .lock_queue(0)
            .build()
            .is_ok()
    );
    assert_eq!(
        SessionError::from(InvalidReason::Stale).to_string(),
        "the session id is not valid: stale"
    );
}
