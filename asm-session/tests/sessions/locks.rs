//! Locks: who waits, who loses one, and how they end.

use std::{sync::Arc, time::Duration};

use asm_core::Broken;
use asm_session::{LockMode, OnLockTimeout, SessionError, Sessions};
use asm_testkit::{Chaos, Fault, Verb};
use futures_util::FutureExt;

use crate::world::{World, client, n, stored};

const HOLD: Duration = Duration::from_secs(10);
const LOCKING: [LockMode; 3] = [LockMode::OnWrite, LockMode::OnOpen, LockMode::Manual];

async fn locked(sessions: &Sessions, id: &str) -> asm_session::Session {
    let mut session = sessions.open(id, &client()).await.expect("there");
    session.lock().await.expect("free");
    session
}

#[tokio::test]
async fn write_tells_what_changed_since_it_was_read_and_keeps_the_lock() {
    for mode in [LockMode::OnWrite, LockMode::Manual] {
        let sessions = World::new().sessions(mode);
        let id = stored(&sessions).await;
        let mut session = sessions.open(&id, &client()).await.expect("there");
        let old: i64 = session.get_or("n", 0).expect("a number");
        let mut other = locked(&sessions, &id).await;
        other.insert("n", &7).expect("locked");
        other.close().await.expect("stored");

        match session.write().await {
            Err(SessionError::Conflict(conflict)) => assert_eq!(conflict.keys(), ["n"]),
            written => panic!("a conflict was expected: {written:?}"),
        }
        assert!(session.is_locked());
        session.insert("n", &(old + 1)).expect("locked");
        assert!(matches!(
            session.close().await,
            Err(SessionError::Conflict(_))
        ));
        session
            .insert("n", &(session.get_or("n", 0).expect("a number") + 1))
            .expect("locked");
        assert!(matches!(
            session.save().await,
            Err(SessionError::Conflict(_))
        ));

        session.discard();
        assert!(!session.is_locked());
        session.write().await.expect("free");
        let new: i64 = session.get_or("n", 0).expect("a number");
        session.insert("n", &(new + 1)).expect("locked");
        session.close().await.expect("stored");
        assert_eq!(n(&sessions, &id).await, 8, "{mode:?}");
    }
}

#[tokio::test]
async fn one_after_the_other_in_the_order_of_arrival() {
    let world = World::new();
    let sessions = world
        .builder()
        .lock_mode(LockMode::OnOpen)
        .lock_queue(None)
        .build();
    let sessions = sessions.expect("sound");
    let id = Arc::<str>::from(stored(&sessions).await);
    let holder = sessions.open(&id, &client()).await.expect("free");
    let mut waiters = Vec::new();
    for place in 0..8 {
        let (sessions, id) = (sessions.clone(), Arc::clone(&id));
        waiters.push(tokio::spawn(async move {
            let mut session = sessions.open(&id, &client()).await.expect("its turn");
            let mut order: Vec<i32> = session.get_or("order", Vec::new()).expect("a list");
            order.push(place);
            session.insert("order", &order).expect("locked");
            session.close().await.expect("stored");
        }));
        tokio::task::yield_now().await;
    }
    assert_eq!(
        sessions
            .by_handle(holder.handle())
            .inspect()
            .await
            .expect("there")
            .waiters
            .len(),
        8
    );
    drop(holder);
    for waiter in waiters {
        waiter.await.expect("no panic");
    }
    let session = sessions.open(&id, &client()).await.expect("free");
    let order: Vec<i32> = session.get_or("order", Vec::new()).expect("a list");
    assert_eq!(order, (0..8).collect::<Vec<_>>());
    assert_eq!(sessions.counters().lock_waits, 8);
}

#[tokio::test]
async fn a_wait_that_is_over_follows_its_policy() {
    for (policy, limit) in [
        (OnLockTimeout::Fail, 6),
        (OnLockTimeout::Fail, 0),
        (OnLockTimeout::ReadOnly, 6),
    ] {
        let world = World::new();
        let sessions = world
            .builder()
            .lock_mode(LockMode::OnOpen)
            .on_lock_timeout(policy)
            .lock_wait(Duration::from_secs(5))
            .lock_queue(limit)
            .build()
            .expect("sound");
        let id = stored(&sessions).await;
        let _holder = sessions.open(&id, &client()).await.expect("free");
        let late = tokio::spawn({
            let sessions = sessions.clone();
            async move { sessions.open(&id, &client()).await }
        });
        world.clock.advance(Duration::from_secs(5)).await;
        match (late.await.expect("no panic"), policy, limit) {
            (Err(SessionError::LockTimeout), OnLockTimeout::Fail, 6)
            | (Err(SessionError::QueueFull), OnLockTimeout::Fail, 0) => {}
            (Ok(mut session), OnLockTimeout::ReadOnly, _) => {
                assert_eq!(session.get("n").expect("a number"), Some(0));
                assert!(matches!(
                    session.insert("n", &1),
                    Err(SessionError::ReadOnly)
                ));
            }
            (other, ..) => panic!("{policy:?}, {limit}: {other:?}"),
        }
        assert_eq!(sessions.counters().lock_timeouts, 1);
    }
}

#[tokio::test]
async fn a_save_after_the_lock_was_lost_writes_nothing_and_says_so() {
    for mode in LOCKING {
        let world = World::new();
        let sessions = world.sessions(mode);
        let id = stored(&sessions).await;
        let mut late = locked(&sessions, &id).await;
        late.insert("n", &1).expect("locked");
        world.clock.advance(10 * HOLD).await;
        let mut other = locked(&sessions, &id).await;
        other.insert("n", &2).expect("locked");
        other.close().await.expect("stored");

        assert!(matches!(late.close().await, Err(SessionError::LockLost)));
        assert!(matches!(late.save().await, Err(SessionError::LockLost)));
        assert!(matches!(late.insert("n", &3), Err(SessionError::LockLost)));
        assert!(matches!(
            late.renew_lock().await,
            Err(SessionError::LockLost)
        ));
        assert_eq!(sessions.counters().lost_locks, 1, "told once");
        assert_eq!(n(&sessions, &id).await, 2);

        late.discard();
        late.lock().await.expect("free");
        late.add("n", 1).expect("locked");
        late.close().await.expect("stored");
        assert_eq!(n(&sessions, &id).await, 3, "{mode:?}");
    }
}

#[tokio::test]
async fn an_operator_sees_and_breaks_a_lock() {
    let sessions = World::new().sessions(LockMode::OnOpen);
    let id = stored(&sessions).await;
    let labelled = sessions.with_label("POST /cart");
    let mut holder = labelled.open(&id, &client()).await.expect("free");
    let handle = sessions.by_handle(holder.handle());
    let state = handle.inspect().await.expect("there").holder.expect("held");
    assert_eq!(
        (state.label.as_str(), Some(state.fence)),
        ("POST /cart", holder.fence())
    );
    let broken = handle.break_lock(Some(state.fence)).await.expect("there");
    assert!(matches!(broken, Broken::Done { .. }));
    assert!(matches!(
        holder.validate_lock().await,
        Err(SessionError::LockLost)
    ));
    holder.discard();
    let next = sessions.open(&id, &client()).await.expect("free");
    assert!(next.fence() > Some(state.fence));
    assert!(handle.info().await.expect("readable").is_some());
    assert!(handle.delete().await.expect("there"));
    assert!(!handle.delete().await.expect("gone"));
    assert!(handle.info().await.expect("readable").is_none());
}

#[tokio::test]
async fn keep_alive_keeps_a_lock_and_when_it_stops_the_lock_ends_after_one_hold() {
    let world = World::new();
    let sessions = world.sessions(LockMode::OnOpen);
    let id = stored(&sessions).await;
    let mut holder = sessions.open(&id, &client()).await.expect("free");
    let keeper = holder.keeper();
    let clock = world.clock.clone();
    let kept = keeper.keep_alive(async {
        clock.advance(10 * HOLD).await;
        holder.validate_lock().await.expect("kept");
        holder.add("n", 1).expect("locked");
        holder.save().await.expect("stored");
    });
    kept.await;
    world.clock.advance(HOLD).await;
    assert!(matches!(
        holder.validate_lock().await,
        Err(SessionError::LockLost)
    ));
    assert_eq!(n(&sessions, &id).await, 1);
    holder.discard();
}

#[tokio::test]
async fn keep_alive_tells_of_a_lock_that_was_lost() {
    let world = World::new();
    let sessions = world.sessions(LockMode::OnOpen);
    let id = stored(&sessions).await;
    let mut holder = sessions.open(&id, &client()).await.expect("free");
    let handle = sessions.by_handle(holder.handle());
    let clock = world.clock.clone();
    let work = async {
        handle.break_lock(None).await.expect("there");
        clock.advance(HOLD).await;
    };
    holder.keep_alive(work).await;
    assert_eq!(sessions.counters().lost_locks, 1);
    assert!(matches!(
        holder.insert("n", &1),
        Err(SessionError::LockLost)
    ));
    holder.discard();
}

#[tokio::test]
async fn dropping_a_session_frees_its_lock_at_once() {
    for mode in LOCKING {
        let sessions = World::new().sessions(mode);
        let id = stored(&sessions).await;
        drop(locked(&sessions, &id).await);
        drop(locked(&sessions, &id).now_or_never().expect("free at once"));
    }
}

#[tokio::test]
async fn locking_twice_neither_waits_for_itself_nor_releases_twice() {
    for mode in LOCKING {
        let sessions = World::new().sessions(mode);
        let id = stored(&sessions).await;
        let mut session = locked(&sessions, &id).await;
        session.lock().await.expect("held");
        session.write().await.expect("held");
        session.unlock().await.expect("released");
        session.unlock().await.expect("nothing to do");
        assert!(!session.is_locked());
    }
}

#[tokio::test]
async fn an_optimistic_save_queues_for_a_lock_of_another_one() {
    for mode in [LockMode::Optimistic, LockMode::Off] {
        let sessions = World::new().sessions(LockMode::OnOpen);
        let id = stored(&sessions).await;
        let mut optimist = sessions
            .with_mode(mode)
            .open(&id, &client())
            .await
            .expect("there");
        optimist.add("n", 1).expect("fits");
        let mut holder = sessions.open(&id, &client()).await.expect("free");
        let saving = tokio::spawn(async move { optimist.close().await.map(|_| optimist) });
        tokio::task::yield_now().await;
        holder.add("m", 1).expect("fits");
        holder.close().await.expect("stored");
        let optimist = saving.await.expect("no panic").expect("its turn");
        assert!(!optimist.is_locked());
        assert_eq!(n(&sessions, &id).await, 1);
        sessions
            .open(&id, &client())
            .now_or_never()
            .expect("free at once")
            .expect("there");
    }
}

#[tokio::test]
async fn a_lock_that_was_taken_for_one_save_ends_with_it_also_when_it_fails() {
    let sessions = World::new().sessions(LockMode::OnOpen);
    let id = stored(&sessions).await;
    let optimistic = sessions.with_mode(LockMode::Optimistic);
    let mut optimist = optimistic.open(&id, &client()).await.expect("there");
    let old: i64 = optimist.get_or("n", 0).expect("a number");
    optimist.insert("n", &(old + 1)).expect("writable");
    let mut holder = sessions.open(&id, &client()).await.expect("free");
    let saving = tokio::spawn(async move { (optimist.close().await.map(drop), optimist) });
    tokio::task::yield_now().await;
    holder.add("n", 1).expect("fits");
    holder.close().await.expect("stored");
    let (saved, optimist) = saving.await.expect("no panic");
    assert!(matches!(saved, Err(SessionError::Conflict(_))), "{saved:?}");
    assert!(!optimist.is_locked());
    let next = sessions.open(&id, &client()).now_or_never();
    drop(next.expect("free at once").expect("there"));
    drop(optimist);
}

#[tokio::test]
async fn a_lock_that_was_taken_for_one_save_and_is_lost_before_it_is_taken_again() {
    let world = World::new();
    let sessions = world.sessions(LockMode::OnOpen);
    let id = stored(&sessions).await;
    let slow = Arc::new(Chaos::over(Arc::clone(&world.driver), world.clock.clone()));
    let builder = world.builder_over(Arc::clone(&slow));
    let builder = builder.lock_mode(LockMode::Optimistic);
    let optimistic = builder.build().expect("sound");
    let mut optimist = optimistic.open(&id, &client()).await.expect("there");
    optimist.add("n", 1).expect("fits");
    let mut holder = sessions.open(&id, &client()).await.expect("free");
    let handle = sessions.by_handle(holder.handle());
    let saving = tokio::spawn(async move { optimist.close().await.map(|_| optimist) });
    while handle.inspect().await.expect("there").waiters.is_empty() {
        tokio::task::yield_now().await;
    }
    // Its save arrives when its lock is over, and somebody else has had it.
    slow.layer().next(Verb::Save, Fault::Late(2 * HOLD));
    holder.close().await.expect("unchanged");
    world.clock.advance(HOLD).await;
    let mut other = locked(&sessions, &id).await;
    other.add("n", 10).expect("locked");
    other.close().await.expect("stored");
    world.clock.advance(HOLD).await;
    let optimist = saving.await.expect("no panic").expect("saved");
    assert!(!optimist.is_locked());
    assert_eq!(n(&sessions, &id).await, 11);
    let state = handle.inspect().await.expect("there");
    assert!(state.holder.is_none(), "{state:?}");
}

#[tokio::test]
async fn a_new_session_is_locked_from_its_first_save_on() {
    for mode in LOCKING {
        let sessions = World::new().sessions(mode);
        let mut session = sessions.create(&client()).expect("random");
        session.write().await.expect("nobody else knows it");
        assert!(session.is_locked());
        session.insert("n", &1).expect("locked");
        session.save().await.expect("stored");
        assert!(session.fence().is_some(), "{mode:?}");
        session.insert("n", &2).expect("locked");
        session.close().await.expect("stored");
        assert!(!session.is_locked());
    }
}

#[tokio::test]
async fn whoever_waits_for_a_session_that_ends_is_told() {
    let world = World::new();
    let sessions = world.sessions(LockMode::OnOpen);
    let id = stored(&sessions).await;
    let mut holder = sessions.open(&id, &client()).await.expect("free");
    let waiting = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.open(&id, &client()).await }
    });
    tokio::task::yield_now().await;
    holder.delete().await.expect("deleted");
    assert!(matches!(
        waiting.await.expect("no panic"),
        Err(SessionError::Invalid(_))
    ));
}
