//! What is SQLite's own: the file. On the real clock, which no case of the contract sees.

use std::{fs, time::Duration};

use asm_core::{
    Create, Created, Epoch, ErrorKind, Key, OpId, Open, Opened, Proof, Proofs, SessionStore, Stamp,
};
use sqlite_driver::SqliteStore;

const KEY: Key = Key::from_bytes([7; Key::LEN]);

fn create(ttl: Duration) -> Create {
    let current = Proof::from_bytes([1; Proof::LEN]);
    Create {
        op: OpId::from_bytes([1; OpId::LEN]),
        resend: false,
        stamp: Stamp {
            epoch: Epoch::new(1),
            proofs: Proofs {
                current,
                pending: None,
            },
        },
        data: "cart".into(),
        ttl,
        lock: None,
    }
}

#[tokio::test]
async fn keeps_sessions_and_the_time_through_a_restart() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("sessions.db");
    let ttl = Duration::from_secs(3600);
    let driver = SqliteStore::open(&file).expect("a database").into_driver();
    let created = driver.create(&KEY, create(ttl)).await.expect("an answer");
    let Created::Done { now: then, .. } = created else {
        panic!("the key is free, and the answer was {created:?}")
    };
    drop(driver);

    let driver = SqliteStore::open(&file).expect("a database").into_driver();
    let opened = driver.open(&KEY, Open { lock: None }).await;
    let Opened::Found { snapshot, .. } = opened.expect("an answer") else {
        panic!("it lives for an hour")
    };
    assert_eq!(&snapshot.data[..], b"cart");
    let passed = snapshot.now.since(then);
    assert!(snapshot.now >= then);
    assert_eq!(snapshot.left, Some(ttl.saturating_sub(passed)));
}

#[tokio::test]
async fn two_handles_see_one_time() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("sessions.db");
    let stores = [(); 2].map(|()| SqliteStore::open(&file).expect("a database"));
    let [one, two] = stores.map(SqliteStore::into_driver);
    one.create(&KEY, create(Duration::from_secs(3600)))
        .await
        .expect("an answer");
    let mut before = None;
    for driver in [&one, &two, &one, &two] {
        let opened = driver.open(&KEY, Open { lock: None }).await;
        let Opened::Found { snapshot, .. } = opened.expect("an answer") else {
            panic!("it lives for an hour")
        };
        assert!(before <= Some(snapshot.now), "time went back");
        before = Some(snapshot.now);
    }
}

#[tokio::test]
async fn refuses_a_file_that_is_no_database_and_leaves_it() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("notes.txt");
    let notes = "These are not sessions. ".repeat(100);
    fs::write(&file, &notes).expect("written");
    let refused = SqliteStore::open(&file).expect_err("no database");
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert_eq!(fs::read_to_string(&file).expect("read"), notes);
}

#[test]
fn refuses_to_work_without_a_runtime() {
    let place = tempfile::tempdir().expect("a directory");
    let refused = SqliteStore::open(place.path().join("sessions.db")).expect_err("no runtime");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}
