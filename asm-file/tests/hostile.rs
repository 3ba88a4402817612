//! What somebody else has put under our names, and what no root may be.

mod given;

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use asm_core::*;
use asm_file::{Durability, FileDriver};
use asm_testkit::{ManualClock, expect, given as make};
use futures_util::{FutureExt, StreamExt};
use tempfile::TempDir;

const KEY: Key = Key::from_bytes([0xa5; 16]);
const SUBJECT: Subject = Subject::from_bytes([0xa5; Subject::LEN]);
const TTL: Duration = Duration::from_secs(3600);

/// Where a test works: a root, and something beside it that nobody may touch.
struct Place {
    directory: TempDir,
    root: PathBuf,
    treasure: PathBuf,
}

const TREASURE: &str = "not yours";

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (root, treasure) = (
            directory.path().join("root"),
            directory.path().join("treasure"),
        );
        fs::write(&treasure, TREASURE).expect("written");
        Self {
            directory,
            root,
            treasure,
        }
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.root
            .join("a5")
            .join(format!("{}.{kind}", "a5".repeat(16)))
    }

    fn driver(&self) -> FileDriver {
        let builder = FileDriver::builder(&self.root).durability(Durability::Atomic);
        builder.build().expect("a driver")
    }

    fn is_untouched(&self) -> bool {
        let whole = fs::read_to_string(&self.treasure).is_ok_and(|text| text == TREASURE);
        whole && fs::read_dir(self.directory.path()).expect("listed").count() == 2
    }
}

/// Each thing that may lie where a file of ours should be.
fn plant(what: &str, at: &Path, place: &Place) {
    match what {
        "link" => symlink(&place.treasure, at).expect("a link"),
        "link to nothing" => symlink(place.directory.path().join("no"), at).expect("a link"),
        "hard link" => fs::hard_link(&place.treasure, at).expect("a link"),
        "pipe" => assert!(
            Command::new("mkfifo")
                .arg(at)
                .status()
                .expect("mkfifo")
                .success()
        ),
        "directory" => fs::create_dir(at).expect("a directory"),
        "device" => drop(symlink("/dev/zero", at)),
        "empty" => drop(File::create(at).expect("a file")),
        "garbage" => fs::write(at, fastrand_bytes(5000)).expect("a file"),
        "our magic" => {
            let bytes = [b"ASM1s".to_vec(), fastrand_bytes(500)].concat();
            fs::write(at, bytes).expect("a file");
        }
        "huge" => File::create(at)
            .expect("a file")
            .set_len(1 << 40)
            .expect("sparse"),
        other => panic!("{other}?"),
    }
}

/// A sweep in one batch.
async fn swept(driver: &FileDriver) -> Swept {
    let step = SweepStep {
        from: None,
        batch: std::num::NonZeroUsize::MAX,
    };
    let sweeper = driver.sweeper().expect("the facet");
    sweeper.sweep(step).await.expect("a sweep")
}

const FOREIGN: [&str; 9] = [
    "link",
    "link to nothing",
    "hard link",
    "pipe",
    "directory",
    "device",
    "empty",
    "garbage",
    "our magic",
];

#[tokio::test]
async fn a_foreign_record_is_no_session() {
    for what in FOREIGN {
        let place = Place::new();
        let driver = place.driver();
        plant(what, &place.file("s"), &place);
        let opened = driver.open(&KEY, Open { lock: None }).await;
        assert_eq!(opened.expect(what), Opened::Missing, "{what}");
        let deleted = driver.delete(&KEY, Delete { only_if: None }).await;
        assert_eq!(deleted.expect(what), Deleted::Nothing, "{what}");
        assert!(driver.counters().foreign >= 2, "{what} was not counted");
        assert!(
            fs::symlink_metadata(place.file("s")).is_ok(),
            "{what} was removed"
        );
        // A sweep counts it, and goes on.
        let swept = swept(&driver).await;
        assert_eq!((swept.removed, swept.next), (0, None), "{what}");
        // What is no file is no session; a file of another may be one that was torn.
        let failed = u64::from(["hard link", "empty", "garbage", "our magic"].contains(&what));
        assert_eq!((swept.examined, swept.failed), (1, failed), "{what}");
        let step = ListStep {
            from: None,
            batch: std::num::NonZeroUsize::MAX,
        };
        let inventory = driver.inventory().expect("the facet");
        let listed = inventory.list_sessions(step).await.expect("a list");
        assert_eq!((listed.keys, listed.failed), (vec![], failed), "{what}");
        // A session of this key takes its place, if that can be taken.
        let created = driver.create(&KEY, given::creation()).await;
        if what == "directory" {
            assert!(created.is_err(), "a directory was replaced");
        } else {
            assert!(
                matches!(created.expect(what), Created::Done { .. }),
                "{what}"
            );
            let opened = driver.open(&KEY, Open { lock: None }).await.expect(what);
            assert!(matches!(opened, Opened::Found { .. }), "{what}");
        }
        assert!(place.is_untouched(), "{what}: outside of the root");
    }
}

#[tokio::test]
async fn what_lies_foreign_beside_a_record_counts_as_nothing() {
    for what in FOREIGN {
        let place = Place::new();
        let driver = place.driver();
        driver
            .create(&KEY, given::creation())
            .await
            .expect("a session");
        for kind in ["l", "f"] {
            plant(what, &place.file(kind), &place);
        }
        let opened = driver.open(&KEY, Open { lock: None }).await.expect(what);
        let Opened::Found { snapshot, .. } = opened else {
            panic!("{what}: {opened:?}");
        };
        assert_eq!(
            driver.inspect(&KEY).await.expect(what),
            LockState::default()
        );
        let read = FieldRead {
            name: FieldName::new("n").expect("a name"),
            epoch: snapshot.stamp.epoch,
            items: None,
        };
        let found = driver
            .fields()
            .expect("the facet")
            .read_field(&KEY, read)
            .await;
        assert_eq!(found.expect(what), FieldFound::Absent, "{what}");
        assert!(driver.counters().foreign >= 2, "{what} was not counted");
        assert!(place.is_untouched(), "{what}: outside of the root");
        // The session goes on.
        let req = Save {
            op: OpId::from_bytes([2; 8]),
            resend: false,
            guard: Guard::unchanged(&snapshot),
            stamp: snapshot.stamp,
            data: "more".into(),
            ttl: TTL,
            release: false,
        };
        let written = driver.save(&KEY, req).await.expect(what);
        assert!(matches!(written, Written::Done { .. }), "{what}");
        let deleted = driver.delete(&KEY, Delete { only_if: None }).await;
        assert_eq!(deleted.expect(what), Deleted::Done, "{what}");
        assert!(place.is_untouched(), "{what}: outside of the root");
    }
}

/// As one does that was stopped in its critical section: nobody waits for it for ever.
#[tokio::test]
async fn a_shard_that_another_process_keeps_is_given_up_on() {
    let place = Place::new();
    let builder = FileDriver::builder(&place.root).durability(Durability::Atomic);
    let driver = builder.patience(Duration::ZERO).build().expect("a driver");
    let created = driver.create(&KEY, given::creation()).await;
    assert!(matches!(created, Ok(Created::Done { .. })), "{created:?}");
    let snapshot = make::read(&driver, &KEY).await;
    let (token, fence) = make::held(&driver, &KEY, &snapshot).await;
    let name = FieldName::new("n").expect("a name");
    let write = FieldWrite {
        name,
        epoch: snapshot.stamp.epoch,
        op: make::op(),
        resend: None,
        change: FieldChange::Incr(1),
    };
    let fields = driver.fields().expect("the facet");
    fields.write_field(&KEY, write.clone()).await.expect("one");
    let index = Reserve {
        key: KEY,
        ttl: TTL,
        cap: None,
    };
    let subjects = driver.subjects().expect("the facet");
    let reserved = subjects.reserve(&SUBJECT, index.clone()).await;
    assert!(
        matches!(reserved, Ok(Reserved::Done { .. })),
        "{reserved:?}"
    );

    let shard = File::open(place.root.join("a5")).expect("it is there");
    shard.lock().expect("it is free");
    let open = make::open_locked(make::claim(), snapshot.stamp.proofs.current);
    let save = make::save_held(token, &snapshot, "more");
    macro_rules! refused {
        ($($call:expr;)*) => {$(
            expect::failure($call.await, ErrorKind::Unavailable);
        )*};
    }
    refused! {
        driver.create(&KEY, given::creation());
        driver.open(&KEY, open);
        driver.save(&KEY, save.clone());
        driver.touch(&KEY, make::touch(&snapshot, 2 * TTL));
        driver.delete(&KEY, make::log_out());
        driver.acquire(&KEY, make::attempt(&snapshot));
        driver.acquire(&KEY, make::wish(&snapshot));
        driver.renew(&KEY, &token, make::HOLD);
        driver.release(&KEY, &token);
        driver.break_lock(&KEY, Some(fence));
        fields.write_field(&KEY, write);
        subjects.reserve(&SUBJECT, index);
    }
    // Whoever changes nothing waits for nobody.
    assert_eq!(make::read(&driver, &KEY).await.data, snapshot.data);
    let swept = swept(&driver).await;
    assert_eq!((swept.examined, swept.failed), (1, 0));
    shard.unlock().expect("ours");
    expect::written(driver.save(&KEY, save).await);
}

#[tokio::test]
async fn a_record_as_large_as_may_be_reads_back() {
    let place = Place::new();
    let driver = place.driver();
    let most = driver.info().max_record;
    assert_eq!(most, 1 << 20);
    let data = make::bytes(most);
    let (key, snapshot) = make::stored_as(&driver, make::create(data.clone())).await;
    assert_eq!(snapshot.data, data);
    let data = make::bytes(most - 1);
    expect::written(driver.save(&key, make::save(&snapshot, data.clone())).await);
    // By another one, as of another process.
    let found = make::read(&place.driver(), &key).await;
    assert_eq!(found.data, data);
    let more = make::save(&found, make::bytes(most + 1));
    expect::failure(driver.save(&key, more).await, ErrorKind::TooLarge);
    assert_eq!(make::read(&driver, &key).await.data, data);
}

#[tokio::test]
async fn nothing_is_written_through_what_has_the_name_of_a_temp_file() {
    for what in FOREIGN.iter().filter(|what| **what != "directory") {
        let place = Place::new();
        let driver = place.driver();
        plant(what, &place.root.join("a5/new"), &place);
        let created = driver.create(&KEY, given::creation()).await;
        assert!(
            matches!(created.expect(what), Created::Done { .. }),
            "{what}"
        );
        assert!(place.is_untouched(), "{what}: outside of the root");
        assert_eq!(driver.counters().leftovers, 1, "{what}");
    }
    let place = Place::new();
    let driver = place.driver();
    plant("directory", &place.root.join("a5/new"), &place);
    driver
        .create(&KEY, given::creation())
        .await
        .expect_err("a directory in the way");
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_never_an_empty_session() {
    let place = Place::new();
    let driver = place.driver();
    driver
        .create(&KEY, given::creation())
        .await
        .expect("a session");
    let whole = fs::read(place.file("s")).expect("bytes");
    plant("huge", &place.file("s"), &place);
    let error = driver
        .open(&KEY, Open { lock: None })
        .await
        .expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Unreadable);
    fs::write(place.file("s"), whole).expect("written");
    // Whoever may do everything is refused nothing.
    if fs::metadata("/proc/self").expect("/proc").uid() != 0 {
        fs::set_permissions(place.file("s"), Permissions::from_mode(0o000)).expect("set");
        let error = driver
            .open(&KEY, Open { lock: None })
            .await
            .expect_err("unreadable");
        assert_eq!(error.kind(), ErrorKind::Denied);
        fs::set_permissions(place.file("s"), Permissions::from_mode(0o600)).expect("set");
    }
    let opened = driver
        .open(&KEY, Open { lock: None })
        .await
        .expect("readable again");
    assert!(matches!(opened, Opened::Found { .. }), "{opened:?}");
}

#[tokio::test]
async fn a_record_under_another_name_is_foreign() {
    let place = Place::new();
    let driver = place.driver();
    driver
        .create(&KEY, given::creation())
        .await
        .expect("a session");
    let other = Key::from_bytes([0xa6; 16]);
    let copy = place.root.join("a6").join(format!("{other}.s"));
    fs::copy(place.file("s"), copy).expect("copied");
    let opened = driver
        .open(&other, Open { lock: None })
        .await
        .expect("an answer");
    assert_eq!(opened, Opened::Missing);
    assert_eq!(driver.counters().foreign, 1);
}

#[tokio::test]
async fn what_is_left_of_a_former_session_is_not_taken_for_the_next_ones() {
    let place = Place::new();
    let driver = place.driver();
    let mut locked = given::creation();
    locked.lock = Some(given::claim(given::token(1)));
    driver.create(&KEY, locked).await.expect("a session");
    let released = driver
        .release(&KEY, &given::token(1))
        .await
        .expect("an answer");
    assert_eq!(released, Released::Done);
    let wish = LockWish {
        claim: given::claim(given::token(2)),
        epoch: given::stamp().epoch,
        wait: Duration::ZERO,
        queue: None,
        known: None,
    };
    driver.acquire(&KEY, wish.clone()).await.expect("an answer");
    let write = FieldWrite {
        name: FieldName::new("n").expect("a name"),
        epoch: given::stamp().epoch,
        op: OpId::from_bytes([9; 8]),
        resend: None,
        change: FieldChange::Incr(7),
    };
    let fields = driver.fields().expect("the facet");
    fields.write_field(&KEY, write).await.expect("written");
    // A writer that dies right after it has removed the record leaves these two.
    fs::remove_file(place.file("s")).expect("removed");
    assert!(place.file("l").exists() && place.file("f").exists());

    driver
        .create(&KEY, given::creation())
        .await
        .expect("the next session");
    assert_eq!(
        driver.inspect(&KEY).await.expect("a look"),
        LockState::default()
    );
    let read = FieldRead {
        name: FieldName::new("n").expect("a name"),
        epoch: given::stamp().epoch,
        items: None,
    };
    let found = fields.read_field(&KEY, read).await.expect("an answer");
    assert_eq!(found, FieldFound::Absent);
    let acquired = driver.acquire(&KEY, wish).await.expect("an answer");
    let Acquired::Held { fence, .. } = acquired else {
        panic!("{acquired:?}");
    };
    assert_eq!(fence, Fence::new(1));

    // And when no session follows, the sweep removes them.
    fs::remove_file(place.file("s")).expect("removed");
    fs::write(place.root.join("a5/new"), "half").expect("written");
    given::sweep(&driver).await;
    assert_eq!(
        fs::read_dir(place.root.join("a5")).expect("listed").count(),
        0
    );
    assert_eq!(driver.counters().leftovers, 3);
}

#[tokio::test]
async fn a_root_that_was_emptied_behind_our_back_is_made_again() {
    let place = Place::new();
    let driver = place.driver();
    driver
        .create(&KEY, given::creation())
        .await
        .expect("a session");
    fs::remove_dir_all(place.root.join("a5")).expect("removed");
    let opened = driver
        .open(&KEY, Open { lock: None })
        .await
        .expect("an answer");
    assert_eq!(opened, Opened::Missing);
    let mut again = given::creation();
    again.op = OpId::from_bytes([5; 8]);
    driver.create(&KEY, again).await.expect("a session");
    let opened = place
        .driver()
        .open(&KEY, Open { lock: None })
        .await
        .expect("an answer");
    assert!(matches!(opened, Opened::Found { .. }), "{opened:?}");
}

#[tokio::test]
async fn a_reader_sees_a_shard_that_somebody_else_has_made_again() {
    let place = Place::new();
    let (reader, writer) = (place.driver(), place.driver());
    for driver in [&reader, &writer] {
        let opened = driver.open(&KEY, Open { lock: None }).await;
        assert_eq!(opened.expect("an answer"), Opened::Missing);
    }
    fs::remove_dir_all(place.root.join("a5")).expect("removed");
    writer
        .create(&KEY, given::creation())
        .await
        .expect("a session");
    let opened = reader.open(&KEY, Open { lock: None }).await;
    let opened = opened.expect("an answer");
    assert!(matches!(opened, Opened::Found { .. }), "{opened:?}");
}

/// A shard that is a link, and one that others may write to, are counted as failures; the rest is
/// swept all the same.
#[tokio::test]
async fn a_sweep_passes_over_what_it_cannot_list() {
    let place = Place::new();
    let clock = ManualClock::new();
    let driver = FileDriver::builder(&place.root)
        .durability(Durability::Atomic)
        .clock(Arc::new(clock.clone()))
        .build()
        .expect("a driver");
    let (before, after) = (Key::from_bytes([1; 16]), Key::from_bytes([0xf0; 16]));
    for key in [&before, &after] {
        driver
            .create(key, given::creation())
            .await
            .expect("a session");
    }
    clock.advance(TTL).await;
    fs::remove_dir(place.root.join("a5")).expect("removed");
    symlink(place.directory.path(), place.root.join("a5")).expect("a link");
    fs::set_permissions(place.root.join("a6"), Permissions::from_mode(0o777)).expect("set");

    let sweeper = driver.sweeper().expect("the facet");
    let (mut from, mut all) = (None, Swept::default());
    loop {
        let batch = std::num::NonZeroUsize::MIN;
        let step = SweepStep { from, batch };
        let swept = sweeper.sweep(step).await.expect("a batch");
        all.removed += swept.removed;
        all.failed += swept.failed;
        match swept.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert_eq!((all.removed, all.failed), (2, 2));
    assert!(place.is_untouched());
}

/// What lies beside no record and cannot be removed, an index that cannot be read, and one that is to
/// be written in a shard that another process keeps: the rest goes all the same.
#[tokio::test]
async fn a_sweep_counts_what_it_can_neither_remove_nor_read_nor_write() {
    let place = Place::new();
    let clock = ManualClock::new();
    let builder = FileDriver::builder(&place.root).durability(Durability::Atomic);
    let builder = builder.patience(Duration::ZERO);
    let driver = builder.clock(Arc::new(clock.clone())).build();
    let driver = driver.expect("a driver");
    let kept = Subject::from_bytes([0xc0; Subject::LEN]);
    let index = Reserve {
        key: KEY,
        ttl: TTL,
        cap: None,
    };
    let subjects = driver.subjects().expect("the facet");
    let reserved = subjects.reserve(&kept, index).await;
    assert!(
        matches!(reserved, Ok(Reserved::Done { .. })),
        "{reserved:?}"
    );
    let over = Key::from_bytes([0xc0; Key::LEN]);
    let created = driver.create(&over, given::creation()).await;
    assert!(matches!(created, Ok(Created::Done { .. })), "{created:?}");
    clock.advance(TTL).await;
    let shard = File::open(place.root.join("c0")).expect("it is there");
    shard.lock().expect("it is free");

    plant("directory", &place.file("l"), &place);
    let index = place.root.join("a5").join(format!("{}.u", "a5".repeat(32)));
    plant("huge", &index, &place);
    // Its followers were killed.
    let feed = place.root.join("b0").join("feed");
    plant("empty", &feed, &place);
    let swept = swept(&driver).await;
    assert_eq!((swept.removed, swept.failed, swept.next), (0, 4, None));
    assert!(place.file("l").exists() && index.exists());
    assert!(!feed.exists());
    assert!(place.is_untouched());
}

/// A save whose writer could not tell, a feed that somebody has set back, and a record that somebody
/// has removed.
#[tokio::test]
async fn followers_are_told_of_what_nobody_told() {
    let place = Place::new();
    let (driver, other) = (place.driver(), place.driver());
    let created = driver.create(&KEY, given::creation()).await;
    assert!(matches!(created, Ok(Created::Done { .. })), "{created:?}");
    let req = Subscribe {
        epoch: given::stamp().epoch,
        buffer: std::num::NonZeroUsize::MIN.saturating_add(7),
    };
    let feed = driver.changes().expect("the facet");
    let mut changes = expect::live(feed.subscribe(&KEY, req).await);
    let save = async |data| {
        let snapshot = make::read(&other, &KEY).await;
        let saved = other.save(&KEY, make::save(&snapshot, data)).await;
        Change::Saved(expect::written(saved))
    };

    // Nobody writes to a file that has a second name.
    let (feed, twin) = (
        place.root.join("a5").join("feed"),
        place.directory.path().join("twin"),
    );
    fs::hard_link(&feed, &twin).expect("a link");
    save("untold").await;
    fs::remove_file(&twin).expect("removed");
    let told = save("told").await;
    assert_eq!(changes.next().await, Some(Change::Lagged(1)));
    assert_eq!(changes.next().await, Some(told));

    let mut header = File::options().write(true).open(&feed).expect("there");
    header
        .write_all(b"asmfeed1\0\0\0\0\0\0\0\0")
        .expect("written");
    drop(header);
    settled(&driver).await;
    // Nothing of this session's was missed.
    let told = save("again").await;
    assert_eq!(changes.next().await, Some(told));

    fs::remove_file(place.file("s")).expect("removed");
    settled(&driver).await;
    let end = changes.next().now_or_never();
    assert_eq!(end, Some(Some(Change::Ended)));
}

/// Until it has looked at everything that it was told of.
async fn settled(driver: &FileDriver) {
    while driver.counters().under_way > 0 {
        tokio::task::yield_now().await;
    }
}

/// What would be too large to be read again is not written: the index stays as it is, and usable.
#[tokio::test]
async fn an_index_does_not_outgrow_its_reader() {
    let place = Place::new();
    let builder = FileDriver::builder(&place.root).max_record(1);
    let driver = builder
        .durability(Durability::Atomic)
        .build()
        .expect("a driver");
    let subjects = driver.subjects().expect("the facet");
    let mut most = 0_u128;
    let refused = loop {
        let req = Reserve {
            key: Key::from_bytes(most.to_be_bytes()),
            ttl: TTL,
            cap: None,
        };
        match subjects.reserve(&SUBJECT, req).await {
            Ok(Reserved::Done { .. }) => most += 1,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert!(most > 1000, "only {most} sessions fit");
    let revoked = subjects.revoke(&SUBJECT, None).await.expect("usable");
    assert_eq!(revoked.keys.len() as u128, most);
}

#[test]
fn a_root_that_is_to_exist_is_not_made() {
    let place = tempfile::tempdir().expect("a directory");
    let (nowhere, root) = (place.path().join("nowhere"), place.path().join("root"));
    let refused = |path: &Path| {
        let error = FileDriver::builder(path).existing().build();
        assert_eq!(error.expect_err("refused").kind(), ErrorKind::Invalid);
    };
    refused(&nowhere);
    assert!(!nowhere.exists());
    fs::create_dir(&root).expect("made");
    refused(&root);
    assert_eq!(fs::read_dir(&root).expect("listed").count(), 0);
    drop(FileDriver::open(&root).expect("a root"));
    let existing = FileDriver::builder(&root).existing().build();
    drop(existing.expect("it is there"));
}

#[test]
fn no_root_where_others_may_write_or_something_else_is() {
    let place = tempfile::tempdir().expect("a directory");
    let refused = |path: &Path| {
        let error = FileDriver::open(path).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    };
    let open = place.path().join("open");
    fs::create_dir(&open).expect("made");
    for mode in [0o777, 0o720, 0o702] {
        fs::set_permissions(&open, Permissions::from_mode(mode)).expect("set");
        refused(&open);
    }
    fs::set_permissions(&open, Permissions::from_mode(0o755)).expect("set");
    let link = place.path().join("link");
    symlink(&open, &link).expect("a link");
    refused(&link);
    fs::write(open.join("letter"), "Dear").expect("written");
    refused(&open);
    fs::remove_file(open.join("letter")).expect("removed");
    drop(FileDriver::open(&open).expect("a root"));
    fs::write(open.join("format"), "asm-file 2\n").expect("written");
    refused(&open);
}

#[tokio::test]
async fn a_shard_that_is_a_link_or_open_to_others_is_not_used() {
    let place = Place::new();
    drop(place.driver());
    let outside = place.directory.path().join("root/b0/..");
    let shard = place.root.join("a5");
    fs::remove_dir(&shard).expect("removed");
    symlink(outside, &shard).expect("a link");
    let driver = place.driver();
    driver
        .create(&KEY, given::creation())
        .await
        .expect_err("a link");
    fs::remove_file(&shard).expect("removed");
    fs::create_dir(&shard).expect("made");
    fs::set_permissions(&shard, Permissions::from_mode(0o777)).expect("set");
    let error = driver
        .create(&KEY, given::creation())
        .await
        .expect_err("open to others");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(place.is_untouched());
}

#[tokio::test]
async fn files_are_ours_alone() {
    let place = Place::new();
    let driver = place.driver();
    let mut locked = given::creation();
    locked.lock = Some(given::claim(given::token(1)));
    driver.create(&KEY, locked).await.expect("a session");
    driver
        .release(&KEY, &given::token(1))
        .await
        .expect("released");
    let mode = |path: PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(place.root.clone()), 0o700);
    assert_eq!(mode(place.root.join("a5")), 0o700);
    assert_eq!(mode(place.file("s")), 0o600);
    assert_eq!(mode(place.file("l")), 0o600);
}

fn fastrand_bytes(length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| fastrand::u8(..))
        .take(length)
        .collect()
}
