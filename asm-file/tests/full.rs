//! No room: what a call is told when the system refuses its bytes, or its thread.

mod given;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use asm_core::*;
use asm_file::FileDriver;

const ROOT: &str = "ASM_FILE_FULL_ROOT";
const KEY: Key = Key::from_bytes([0xa5; 16]);
const TTL: Duration = Duration::from_secs(3600);
const LARGE: usize = 1 << 20;

/// A process whose files may have 64 KiB at most, and that is told so instead of being killed.
#[test]
fn a_write_that_does_not_fit_is_refused_and_changes_nothing() {
    let place = tempfile::tempdir().expect("a directory");
    let mut sh = Command::new("sh");
    sh.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\""])
        .arg(this());
    passes("in_a_small_process", place.path(), &mut sh);
}

/// A process in whose memory the stack of another thread has no room.
#[test]
fn who_can_have_no_thread_is_told_so() {
    let place = tempfile::tempdir().expect("a directory");
    let mut alone = Command::new(this());
    alone.env("RUST_MIN_STACK", (1_u64 << 50).to_string());
    passes("in_a_process_of_one_thread", place.path(), &mut alone);
}

fn this() -> PathBuf {
    env::current_exe().expect("this test")
}

/// Runs one of the tests below in a process of its own.
fn passes(test: &str, root: &Path, process: &mut Command) {
    let child = process
        .args(["--exact", test, "--ignored", "--test-threads=1"])
        .env(ROOT, root)
        .output()
        .expect("a process");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "is started by the other"]
async fn in_a_process_of_one_thread() {
    let Some(root) = env::var_os(ROOT) else {
        return;
    };
    thread::Builder::new()
        .spawn(|| ())
        .expect_err("there is room for a thread");
    let driver = FileDriver::open(&root).expect("a root");
    for _ in 0..2 {
        let created = driver.create(&KEY, given::creation()).await;
        assert_eq!(
            created.expect_err("no thread").kind(),
            ErrorKind::Unavailable
        );
        let opened = driver.open(&KEY, Open { lock: None }).await;
        assert_eq!(
            opened.expect_err("no thread").kind(),
            ErrorKind::Unavailable
        );
        assert_eq!(driver.counters().under_way, 0);
    }
    assert_eq!(things(Path::new(&root)), 0);
}

#[tokio::test]
#[ignore = "is started by the other"]
async fn in_a_small_process() {
    let Some(root) = env::var_os(ROOT) else {
        return;
    };
    let driver = FileDriver::open(&root).expect("a root");
    let create = |data: Redacted| Create {
        op: OpId::from_bytes([1; 8]),
        resend: false,
        stamp: given::stamp(),
        data,
        ttl: TTL,
        lock: None,
    };
    let refused = driver.create(&KEY, create(vec![1; LARGE].into())).await;
    assert_eq!(refused.expect_err("no room").kind(), ErrorKind::Full);
    assert_eq!(
        things(Path::new(&root)),
        0,
        "a refused write left something"
    );

    driver
        .create(&KEY, create("small".into()))
        .await
        .expect("room");
    let snapshot = read(&driver).await;
    let save = |data: Redacted| Save {
        op: OpId::from_bytes([2; 8]),
        resend: false,
        guard: Guard::unchanged(&snapshot),
        stamp: snapshot.stamp,
        data,
        ttl: TTL,
        release: false,
    };
    let refused = driver.save(&KEY, save(vec![2; LARGE].into())).await;
    assert_eq!(refused.expect_err("no room").kind(), ErrorKind::Full);
    assert_eq!(
        things(Path::new(&root)),
        1,
        "a refused write left something"
    );
    let after = read(&driver).await;
    assert_eq!(
        (after.version, &after.data),
        (snapshot.version, &snapshot.data)
    );
    let written = driver.save(&KEY, save("less".into())).await.expect("room");
    assert!(matches!(written, Written::Done { .. }), "{written:?}");
}

async fn read(driver: &FileDriver) -> Snapshot {
    match driver
        .open(&KEY, Open { lock: None })
        .await
        .expect("an answer")
    {
        Opened::Found { snapshot, .. } => snapshot,
        other => panic!("{other:?}"),
    }
}

/// How many files there are in the shards.
fn things(root: &Path) -> usize {
    let shards = fs::read_dir(root).expect("the root").flatten();
    let shards = shards.filter_map(|shard| fs::read_dir(shard.path()).ok());
    shards.map(Iterator::count).sum()
}
