//! Writers that are killed: what was acknowledged is there, what was not is there or not, and
//! nothing else is left.

mod given;

use std::{
    collections::HashMap,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use asm_core::*;
use asm_file::{Durability, FileDriver};

const SESSIONS: u8 = 8;
const TTL: Duration = Duration::from_secs(3600);
const ROOT: &str = "ASM_FILE_CRASH_ROOT";

/// Or as many as `ASM_KILLS` says.
#[test]
fn a_thousand_kills_lose_nothing() {
    kill(env::var("ASM_KILLS").map_or(1000, |times| times.parse().expect("a number")));
}

#[test]
#[ignore = "takes minutes: the same with 10,000"]
fn ten_thousand_kills_lose_nothing() {
    kill(10_000);
}

/// The writer, which the test above starts, and kills.
#[test]
#[ignore = "is started by the others"]
fn writer() {
    let Ok(root) = env::var(ROOT) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(async {
        let driver = open(Path::new(&root));
        let writers = (0..SESSIONS).map(|session| {
            let driver = driver.clone();
            tokio::spawn(async move { write_forever(&driver, session).await })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("a writer");
        }
    });
}

fn kill(times: u32) {
    let place = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let mut said = Said::default();
    let (mut acknowledged, mut held) = (0, 0);
    for _ in 0..times {
        let mut child = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "writer", "--ignored", "--nocapture"])
            .env(ROOT, place.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a writer");
        let mut lines = BufReader::new(child.stdout.take().expect("its words")).lines();
        // So many words, and a moment that nobody chose.
        for _ in 0..fastrand::u32(1..200) {
            said.hear(&lines.next().expect("a line").expect("a line"));
        }
        for _ in 0..fastrand::u32(0..20_000) {
            std::hint::spin_loop();
        }
        child.kill().expect("a signal");
        for line in lines {
            said.hear(&line.expect("a line"));
        }
        child.wait().expect("its end");

        let driver = open(place.path());
        acknowledged = said.acknowledged;
        held += runtime.block_on(said.check(&driver));
        assert_eq!(runtime.block_on(given::sweep(&driver)), 0);
        assert_eq!(driver.counters().foreign, 0, "a torn file");
        for shard in std::fs::read_dir(place.path()).expect("the root").flatten() {
            assert!(!shard.path().join("new").exists(), "a temp file stays");
        }
    }
    println!(
        "{times} kills, {acknowledged} changes acknowledged: 0 lost, 0 torn, 0 came back, \
         0 temp files; {held} locks of the dead, all taken at once"
    );
    assert!(
        held > times / 10,
        "only {held} locks were held when their holder was killed"
    );
}

fn open(root: &Path) -> FileDriver {
    FileDriver::builder(root)
        .durability(Durability::Atomic)
        .build()
        .expect("a driver")
}

fn key(session: u8) -> Key {
    Key::from_bytes([session; 16])
}

/// Says what it is about to do, does it, and says that it was done.
async fn write_forever(driver: &FileDriver, session: u8) {
    let key = key(session);
    let mut number = fastrand::u64(1 << 32..);
    loop {
        number += 1;
        let kind = fastrand::u8(0..10);
        let lock = fastrand::bool().then(|| LockToken::from_bytes(random()));
        let opened = driver
            .open(&key, Open { lock: None })
            .await
            .expect("a look");
        let Opened::Found { snapshot, .. } = opened else {
            say(format_args!("begin {session} {number}"));
            let req = Create {
                op: OpId::from_bytes(random()),
                resend: false,
                stamp: given::stamp(),
                data: data(session, number),
                ttl: TTL,
                lock: lock.map(given::claim),
            };
            driver.create(&key, req).await.expect("a creation");
            say(format_args!("done {session} {number}"));
            release(driver, &key, lock).await;
            continue;
        };
        if kind == 0 {
            say(format_args!("begin {session} 0"));
            let deleted = driver.delete(&key, Delete { only_if: None }).await;
            assert_eq!(deleted.expect("a deletion"), Deleted::Done);
            say(format_args!("done {session} 0"));
            continue;
        }
        if let Some(token) = lock {
            let wish = LockWish {
                claim: given::claim(token),
                epoch: snapshot.stamp.epoch,
                wait: Duration::ZERO,
                queue: None,
                known: None,
            };
            let acquired = driver.acquire(&key, wish).await.expect("an answer");
            assert!(matches!(acquired, Acquired::Held { .. }), "{acquired:?}");
        }
        say(format_args!("begin {session} {number}"));
        let req = Save {
            op: OpId::from_bytes(random()),
            resend: false,
            guard: Guard {
                held: lock,
                ..Guard::unchanged(&snapshot)
            },
            stamp: snapshot.stamp,
            data: data(session, number),
            ttl: TTL,
            release: kind % 2 == 0,
        };
        let written = driver.save(&key, req).await.expect("an answer");
        assert!(matches!(written, Written::Done { .. }), "{written:?}");
        say(format_args!("done {session} {number}"));
        release(driver, &key, lock).await;
    }
}

async fn release(driver: &FileDriver, key: &Key, lock: Option<LockToken>) {
    if let Some(token) = lock {
        let released = driver.release(key, &token).await.expect("an answer");
        assert_eq!(released, Released::Done);
    }
}

/// One line, in one piece.
fn say(words: std::fmt::Arguments<'_>) {
    let line = format!("\n{words}\n");
    // When nobody listens any more, the end is near.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
    let _ = std::io::stdout().lock().flush();
}

/// What a session holds after that change: of some length, and the same from end to end.
fn data(session: u8, number: u64) -> Redacted {
    let word = format!("{session}:{number};");
    word.repeat(1 + number as usize % 300).into()
}

fn random<const N: usize>() -> [u8; N] {
    std::array::from_fn(|_| fastrand::u8(..))
}

/// What the writers have said: per session, the last change that was done, and the one that was
/// begun since. 0 is a deletion.
#[derive(Default)]
struct Said {
    done: HashMap<u8, u64>,
    begun: HashMap<u8, u64>,
    acknowledged: u64,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (Some(what @ ("begin" | "done")), Some(session), Some(number), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return;
        };
        let (Ok(session), Ok(number)) = (session.parse(), number.parse()) else {
            return;
        };
        if what == "begin" {
            self.begun.insert(session, number);
        } else {
            self.begun.remove(&session);
            self.done.insert(session, number);
            self.acknowledged += 1;
        }
    }

    /// Compares it with what there is, goes on from there, and answers how many locks the dead had.
    async fn check(&mut self, driver: &FileDriver) -> u32 {
        let mut held = 0;
        for session in 0..SESSIONS {
            let key = key(session);
            let done = self.done.get(&session).copied().unwrap_or_default();
            let begun = self.begun.remove(&session).unwrap_or(done);
            let opened = driver
                .open(&key, Open { lock: None })
                .await
                .expect("a look");
            let Opened::Found { snapshot, .. } = opened else {
                assert!(done == 0 || begun == 0, "session {session} is lost");
                self.done.insert(session, 0);
                continue;
            };
            let number = [done, begun]
                .into_iter()
                .find(|number| *number != 0 && data(session, *number) == snapshot.data);
            let Some(number) = number else {
                panic!("session {session} is neither what was done nor what was begun");
            };
            self.done.insert(session, number);
            held += self.take_lock(driver, &key, &snapshot).await;
        }
        held
    }

    /// Whoever held it is dead: it is to be had at once.
    async fn take_lock(&self, driver: &FileDriver, key: &Key, snapshot: &Snapshot) -> u32 {
        let before = driver.counters().buried;
        let token = LockToken::from_bytes(random());
        let wish = LockWish {
            claim: given::claim(token),
            epoch: snapshot.stamp.epoch,
            wait: Duration::ZERO,
            queue: None,
            known: None,
        };
        let acquired = driver.acquire(key, wish).await.expect("an answer");
        assert!(
            matches!(acquired, Acquired::Held { .. }),
            "a dead one still holds"
        );
        let released = driver.release(key, &token).await.expect("an answer");
        assert_eq!(released, Released::Done);
        u32::from(driver.counters().buried > before)
    }
}
