//! The budget of round trips, row by row.

use std::{sync::Arc, time::Duration};

use asm_memory::MemoryDriver;
use asm_session::{LockMode, Rotation, Session, Sessions};
use asm_testkit::{
    Counting, Layered,
    Verb::{Abandon, Acquire, Create, Delete, List, Open, Reserve, Save, Touch},
};

use crate::world::{World, client, issued, stored};

type Counted = Arc<Layered<Counting<Arc<MemoryDriver>>>>;

fn counted(world: &World, mode: LockMode) -> (Counted, Sessions) {
    let driver = Arc::new(Counting::over(Arc::clone(&world.driver)));
    let sessions = world
        .builder_over(Arc::clone(&driver))
        .lock_mode(mode)
        .build();
    (driver, sessions.expect("sound"))
}

/// A stored session that its client has come back to, so that nothing is due; nothing counted yet.
async fn used(driver: &Counted, sessions: &Sessions) -> String {
    let id = stored(sessions).await;
    let plain = sessions.with_mode(LockMode::Optimistic);
    let mut session = plain.open(&id, &client()).await.expect("there");
    session.add("n", 1).expect("fits");
    session.close().await.expect("stored");
    driver.layer().take();
    id
}

async fn open(sessions: &Sessions, id: &str) -> Session {
    sessions.open(id, &client()).await.expect("it opens")
}

#[tokio::test]
async fn nothing_is_asked_for_what_is_no_id() {
    let (driver, sessions) = counted(&World::new(), LockMode::OnOpen);
    assert!(sessions.open("no id", &client()).await.is_err());
    sessions
        .create(&client())
        .expect("random")
        .close()
        .await
        .expect("nothing to do");
    driver.layer().take().expect(&[]);
}

#[tokio::test]
async fn reading_is_one_call_and_a_touch_when_it_is_due() {
    for mode in [
        LockMode::ReadOnly,
        LockMode::Optimistic,
        LockMode::OnWrite,
        LockMode::Off,
    ] {
        let world = World::new();
        let (driver, sessions) = counted(&world, mode);
        let id = used(&driver, &sessions).await;
        let mut session = open(&sessions, &id).await;
        assert_eq!(session.get("n").expect("a number"), Some(1));
        session.close().await.expect("nothing to do");
        driver.layer().take().expect(&[(Open, 1)]);

        world.clock.advance(Duration::from_secs(3 * 3600)).await;
        let mut session = open(&sessions, &id).await;
        session.close().await.expect("touched");
        driver.layer().take().expect(&[(Open, 1), (Touch, 1)]);
    }
}

#[tokio::test]
async fn reading_on_a_renewed_id_confirms_it_once() {
    let (driver, sessions) = counted(&World::new(), LockMode::Optimistic);
    let id = used(&driver, &sessions).await;
    let mut session = open(&sessions, &id).await;
    session.regenerate(Rotation::renew()).expect("writable");
    session.add("n", 1).expect("fits");
    session.close().await.expect("stored");
    driver.layer().take().expect(&[(Open, 1), (Save, 1)]);
    let id = issued(&session);
    open(&sessions, &id).await.close().await.expect("confirmed");
    driver.layer().take().expect(&[(Open, 1), (Save, 1)]);
    open(&sessions, &id)
        .await
        .close()
        .await
        .expect("nothing to do");
    driver.layer().take().expect(&[(Open, 1)]);
}

#[tokio::test]
async fn writing_is_two_calls_and_three_when_the_lock_comes_later() {
    for mode in [LockMode::Optimistic, LockMode::OnOpen, LockMode::Off] {
        let (driver, sessions) = counted(&World::new(), mode);
        let id = used(&driver, &sessions).await;
        let mut session = open(&sessions, &id).await;
        session.add("n", 1).expect("fits");
        session.close().await.expect("stored");
        driver.layer().take().expect(&[(Open, 1), (Save, 1)]);
    }
    for mode in [LockMode::OnWrite, LockMode::Manual] {
        let (driver, sessions) = counted(&World::new(), mode);
        let id = used(&driver, &sessions).await;
        let mut session = open(&sessions, &id).await;
        session.lock().await.expect("free");
        session.add("n", 1).expect("fits");
        session.close().await.expect("stored");
        driver
            .layer()
            .take()
            .expect(&[(Open, 1), (Acquire, 1), (Save, 1)]);

        let mut session = open(&sessions.with_lock_on_open(), &id).await;
        session
            .write()
            .await
            .expect("held")
            .add("n", 1)
            .expect("fits");
        session.close().await.expect("stored");
        driver.layer().take().expect(&[(Open, 1), (Save, 1)]);
    }
}

#[tokio::test]
async fn a_contended_lock_is_one_call_more() {
    let (driver, sessions) = counted(&World::new(), LockMode::OnOpen);
    let id = used(&driver, &sessions).await;
    let holder = open(&sessions, &id).await;
    driver.layer().take();
    let waiting = tokio::spawn({
        let (sessions, id) = (sessions.clone(), id.clone());
        async move {
            let mut session = open(&sessions, &id).await;
            session.add("n", 1).expect("fits");
            session.close().await.expect("stored");
        }
    });
    tokio::task::yield_now().await;
    drop(holder);
    waiting.await.expect("no panic");
    driver
        .layer()
        .take()
        .expect(&[(Open, 1), (Acquire, 1), (Save, 1), (Abandon, 1)]);
}

#[tokio::test]
async fn a_merge_is_one_call_more() {
    for mode in [LockMode::Optimistic, LockMode::Off] {
        let (driver, sessions) = counted(&World::new(), mode);
        let id = used(&driver, &sessions).await;
        let mut session = open(&sessions, &id).await;
        let mut other = open(&sessions, &id).await;
        other.insert("a", &1).expect("writable");
        other.close().await.expect("stored");
        session.insert("b", &1).expect("writable");
        driver.layer().take();
        session.close().await.expect("merged");
        driver.layer().take().expect(&[(Save, 2)]);
    }
}

#[tokio::test]
async fn a_new_session_is_one_call() {
    for mode in [LockMode::Optimistic, LockMode::OnOpen, LockMode::OnWrite] {
        let (driver, sessions) = counted(&World::new(), mode);
        let mut session = sessions.create(&client()).expect("random");
        session
            .write()
            .await
            .expect("nobody else knows it")
            .insert("n", &1)
            .expect("writable");
        session.close().await.expect("stored");
        driver.layer().take().expect(&[(Create, 1)]);
    }
}

#[tokio::test]
async fn taking_binding_and_logging_out_are_one_call_each() {
    let (driver, sessions) = counted(&World::new(), LockMode::Optimistic);
    let id = used(&driver, &sessions).await;
    let mut session = open(&sessions, &id).await;
    driver.layer().take();
    assert_eq!(session.take::<i64>("n").await.expect("stored"), Some(1));
    driver.layer().take().expect(&[(Save, 1)]);
    session.bind_subject("user:42").await.expect("an index");
    driver.layer().take().expect(&[(Reserve, 1)]);
    session.close().await.expect("stored");
    driver.layer().take().expect(&[(Save, 1)]);
    // Its place is not asked for again.
    session.add("n", 1).expect("fits");
    session.save().await.expect("stored");
    driver.layer().take().expect(&[(Save, 1)]);
    session.delete().await.expect("deleted");
    driver.layer().take().expect(&[(Delete, 1)]);
}

#[tokio::test]
async fn whom_a_revocation_ended_nobody_is_asked_about_again() {
    let (driver, sessions) = counted(&World::new(), LockMode::Optimistic);
    let id = used(&driver, &sessions).await;
    let mut session = open(&sessions, &id).await;
    session.bind_subject("user:42").await.expect("an index");
    session.close().await.expect("stored");
    let user = sessions.subject("user:42");
    assert_eq!(user.revoke_all().await.expect("an index"), 1);
    driver.layer().take();
    assert!(user.list().await.expect("an index").is_empty());
    driver.layer().take().expect(&[(List, 1)]);
}
