//! Several processes on one root.

mod given;

use std::{
    env,
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use asm_core::*;
use asm_file::FileDriver;
use futures_util::StreamExt;

const KEY: Key = Key::from_bytes([9; 16]);
const TTL: Duration = Duration::from_secs(3600);
const ROOT: &str = "ASM_FILE_PROCESSES_ROOT";
const PROCESSES: usize = 4;
const TASKS: u64 = 4;
const CHANGES: u64 = 25;

#[test]
fn four_processes_lose_no_update() {
    let place = tempfile::tempdir().expect("a directory");
    block_on(async {
        let driver = driver(place.path());
        create(&driver).await;
        let mut stream = subscribe(&driver).await;
        let children: Vec<_> = (0..PROCESSES)
            .map(|_| start("racer", place.path()))
            .collect();
        for (mut child, lines) in children {
            let lines = lines.map(|line| line.expect("a line"));
            let acknowledged = lines.filter(|line| line == "counted").count() as u64;
            assert!(child.wait().expect("its end").success());
            assert_eq!(acknowledged, TASKS * CHANGES);
        }
        let snapshot = read(&driver).await;
        let expected = PROCESSES as u64 * TASKS * CHANGES;
        assert_eq!(count(&snapshot), expected, "updates were lost");
        let last = 1 + expected;
        assert_eq!(snapshot.version.number, last);
        // The follower was told of each.
        let mut told = 1;
        while told < last {
            match stream.next().await.expect("the session lives") {
                Change::Saved(version) => {
                    assert_eq!(version.number, told + 1);
                    told = version.number;
                }
                Change::Lagged(missed) => told += missed,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            driver.inspect(&KEY).await.expect("a look"),
            LockState::default()
        );
        println!("{expected} updates by {PROCESSES} processes, 0 lost");
    });
}

/// The holds, and the recheck, are an hour: whoever is served before that was told at once.
#[test]
fn who_waits_for_a_process_that_is_killed_is_served_at_once() {
    let place = tempfile::tempdir().expect("a directory");
    block_on(async {
        let driver = patient(place.path());
        let snapshot = create(&driver).await;
        let (mut holder, mut lines) = start("holder", place.path());
        until(&mut lines, "holds");
        let (mut waiter, mut lines) = start("waiter", place.path());
        until(&mut lines, "waits");
        while waiters(&driver).await < 1 {
            tokio::task::yield_now().await;
        }

        let wish = wish(&snapshot, Duration::from_secs(3600));
        let third = tokio::spawn({
            let (driver, wish) = (driver.clone(), wish.clone());
            async move { driver.acquire(&KEY, wish).await }
        });
        while waiters(&driver).await < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(driver.counters().buried, 0, "nobody has died");
        // The first in the queue dies, then the one it waited for: the next is served.
        waiter.kill().expect("a signal");
        waiter.wait().expect("its end");
        holder.kill().expect("a signal");
        let served = third.await.expect("a waiter").expect("an answer");
        assert!(matches!(served, Acquired::Held { .. }), "{served:?}");
        assert!(driver.counters().buried > 0);
        holder.wait().expect("its end");
    });
}

/// A release in one process wakes the waiter in another.
#[test]
fn a_release_is_heard_in_another_process() {
    let place = tempfile::tempdir().expect("a directory");
    block_on(async {
        let driver = patient(place.path());
        let snapshot = create(&driver).await;
        let ours = wish(&snapshot, Duration::ZERO);
        let acquired = driver.acquire(&KEY, ours.clone()).await.expect("an answer");
        assert!(matches!(acquired, Acquired::Held { .. }), "{acquired:?}");
        let (mut waiter, mut lines) = start("waiter", place.path());
        until(&mut lines, "waits");
        while waiters(&driver).await < 1 {
            tokio::task::yield_now().await;
        }
        let released = driver.release(&KEY, &ours.claim.token).await;
        assert_eq!(released.expect("an answer"), Released::Done);
        until(&mut lines, "held");
        assert!(waiter.wait().expect("its end").success());
    });
}

/// Its root is named by a relative path, and it goes elsewhere.
#[test]
fn a_waiter_is_woken_whatever_its_working_directory() {
    let place = tempfile::tempdir().expect("a directory");
    block_on(async {
        let root = place.path().join("root");
        let driver = patient(&root);
        let snapshot = create(&driver).await;
        let ours = wish(&snapshot, Duration::ZERO);
        let acquired = driver.acquire(&KEY, ours.clone()).await.expect("an answer");
        assert!(matches!(acquired, Acquired::Held { .. }), "{acquired:?}");
        let mut command = command("waiter", Path::new("root"));
        let (mut waiter, mut lines) = run(command.current_dir(place.path()));
        until(&mut lines, "waits");
        while waiters(&driver).await < 1 {
            tokio::task::yield_now().await;
        }
        let released = driver.release(&KEY, &ours.claim.token).await;
        assert_eq!(released.expect("an answer"), Released::Done);
        until(&mut lines, "held");
        assert!(waiter.wait().expect("its end").success());
    });
}

#[test]
#[ignore = "is started by the others"]
fn racer() {
    in_root(|root| async move {
        let driver = driver(&root);
        let tasks = (0..TASKS).map(|task| {
            let driver = driver.clone();
            tokio::spawn(async move {
                for change in 0..CHANGES {
                    if (task + change) % 2 == 0 {
                        count_locked(&driver).await;
                    } else {
                        count_unlocked(&driver).await;
                    }
                    println!("\ncounted");
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("a task");
        }
    });
}

#[test]
#[ignore = "is started by the others"]
fn holder() {
    in_root(|root| async move {
        let driver = patient(&root);
        let snapshot = read(&driver).await;
        let acquired = driver.acquire(&KEY, wish(&snapshot, Duration::ZERO)).await;
        assert!(matches!(
            acquired.expect("an answer"),
            Acquired::Held { .. }
        ));
        println!("\nholds");
        std::future::pending::<()>().await;
    });
}

#[test]
#[ignore = "is started by the others"]
fn waiter() {
    in_root(|root| async move {
        let driver = patient(&root);
        if root.is_relative() {
            env::set_current_dir("/").expect("moved");
        }
        let snapshot = read(&driver).await;
        println!("\nwaits");
        let wish = wish(&snapshot, Duration::from_secs(3600));
        let acquired = driver.acquire(&KEY, wish).await.expect("an answer");
        assert!(matches!(acquired, Acquired::Held { .. }), "{acquired:?}");
        println!("\nheld");
    });
}

async fn count_locked(driver: &FileDriver) {
    let snapshot = read(driver).await;
    let wish = wish(&snapshot, TTL);
    let token = wish.claim.token;
    let acquired = driver.acquire(&KEY, wish).await.expect("an answer");
    let Acquired::Held {
        snapshot: newer, ..
    } = acquired
    else {
        panic!("expected Held, and it was {acquired:?}");
    };
    let snapshot = newer.unwrap_or(snapshot);
    let req = save(&snapshot, Guard::held(token, &snapshot));
    let written = driver.save(&KEY, req).await.expect("an answer");
    assert!(matches!(written, Written::Done { .. }), "{written:?}");
}

async fn count_unlocked(driver: &FileDriver) {
    loop {
        let snapshot = read(driver).await;
        let req = save(&snapshot, Guard::unchanged(&snapshot));
        match driver.save(&KEY, req).await.expect("an answer") {
            Written::Done { .. } => return,
            Written::Conflict(_) | Written::Locked => {}
            other => panic!("expected a save or a refusal, and it was {other:?}"),
        }
    }
}

fn save(snapshot: &Snapshot, guard: Guard) -> Save {
    Save {
        op: OpId::from_bytes(random()),
        resend: false,
        guard,
        stamp: snapshot.stamp,
        data: (count(snapshot) + 1).to_string().into(),
        ttl: TTL,
        release: true,
    }
}

fn count(snapshot: &Snapshot) -> u64 {
    let text = str::from_utf8(&snapshot.data).expect("a number");
    text.parse().expect("a number")
}

fn wish(snapshot: &Snapshot, wait: Duration) -> LockWish {
    LockWish {
        claim: given::claim(LockToken::from_bytes(random())),
        epoch: snapshot.stamp.epoch,
        wait,
        queue: None,
        known: Some(snapshot.version),
    }
}

async fn create(driver: &FileDriver) -> Snapshot {
    let req = Create {
        op: OpId::from_bytes(random()),
        resend: false,
        stamp: given::stamp(),
        data: "0".into(),
        ttl: TTL,
        lock: None,
    };
    driver.create(&KEY, req).await.expect("a session");
    read(driver).await
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

async fn subscribe(driver: &FileDriver) -> ChangeStream {
    let req = Subscribe {
        epoch: given::stamp().epoch,
        buffer: std::num::NonZeroUsize::MIN.saturating_add(4095),
    };
    let feed = driver.changes().expect("the facet");
    match feed.subscribe(&KEY, req).await.expect("an answer") {
        Subscribed::Live(stream) => stream,
        other => panic!("{other:?}"),
    }
}

async fn waiters(driver: &FileDriver) -> usize {
    let state = driver.inspect(&KEY).await.expect("a look");
    state.waiters.len()
}

fn driver(root: &Path) -> FileDriver {
    FileDriver::open(root).expect("a driver")
}

fn patient(root: &Path) -> FileDriver {
    let builder = FileDriver::builder(root).recheck(Duration::from_secs(3600));
    builder.build().expect("a driver")
}

fn start(what: &str, root: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    run(&mut command(what, root))
}

fn command(what: &str, root: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this test"));
    command
        .args(["--exact", what, "--ignored", "--nocapture"])
        .env(ROOT, root);
    command
}

fn run(command: &mut Command) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
    let lines = BufReader::new(child.stdout.take().expect("its words")).lines();
    (child, lines)
}

fn until(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) {
    assert!(
        lines.any(|line| line.expect("a line") == word),
        "it ended before it said {word:?}"
    );
}

/// The body of a process that a test has started.
fn in_root<F: Future<Output = ()>>(body: impl FnOnce(std::path::PathBuf) -> F) {
    if let Some(root) = env::var_os(ROOT) {
        block_on(body(root.into()));
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn random<const N: usize>() -> [u8; N] {
    std::array::from_fn(|_| fastrand::u8(..))
}
