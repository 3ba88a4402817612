//! What must never come to be: a session that a save brought back, an entry for an id that somebody
//! made up. On each driver, and counted beneath the sessions.

use std::{any::Any, fs, path::Path, sync::Arc, time::Duration};

use asm_core::Driver;
use asm_file::{Durability, FileDriver};
use asm_memory::MemoryDriver;
use asm_redis::RedisDriver;
use asm_servers::{Error, Server};
use asm_session::{Client, IdUpdate, LockMode, Session, SessionError, Sessions};
use tokio::task::{spawn_blocking, yield_now};

/// What a busy machine may take: nothing here is about deadlines.
const PATIENCE: Duration = Duration::from_secs(600);

const MODES: [LockMode; 5] = [
    LockMode::Optimistic,
    LockMode::OnWrite,
    LockMode::OnOpen,
    LockMode::Manual,
    LockMode::Off,
];

/// How many races there are at a time.
const AT_ONCE: u32 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_save_brings_a_deleted_session_back() {
    race(2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: 100,000 races on each driver"]
async fn none_of_many_saves_brings_a_deleted_session_back() {
    race(100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_ids_leave_nothing() {
    make_up(10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: a million ids on each driver"]
async fn a_million_made_up_ids_leave_nothing() {
    make_up(1_000_000).await;
}

/// Two requests on a session at the same time: one changes it, in each mode, the other ends it.
async fn race(times: u32) {
    for store in stores().await {
        let tasks = (0..AT_ONCE).map(|task| {
            let handles = store.handles.clone().map(sessions);
            tokio::spawn(async move {
                let mut tally = Tally::default();
                for number in 0..times / AT_ONCE {
                    let mode = MODES[(number + task) as usize % MODES.len()];
                    tally.add(one_race(&handles, mode).await);
                }
                tally
            })
        });
        let mut total = Tally::default();
        for task in tasks.collect::<Vec<_>>() {
            total.add(task.await.expect("a race"));
        }
        println!(
            "{}: {} deletes against saves, {} came back; {} saves came first, {} were refused",
            store.name,
            total.saved + total.refused,
            total.back,
            total.saved,
            total.refused
        );
        assert_eq!(total.back, 0);
        assert!(total.saved > 0 && total.refused > 0, "they did not race");
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    saved: u64,
    refused: u64,
    back: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.saved += other.saved;
        self.refused += other.refused;
        self.back += other.back;
    }
}

async fn one_race([one, other]: &[Sessions; 2], mode: LockMode) -> Tally {
    let id = stored(one).await;
    let changing = tokio::spawn({
        let (sessions, id) = (one.with_mode(mode), id.clone());
        async move { change(&sessions, &id).await }
    });
    let mut ending = open(other, &id).await.expect("nobody else ends it");
    pause().await;
    ending.delete().await.expect("it ends");
    let saved = match changing.await.expect("no panic") {
        Ok(()) => true,
        Err(
            SessionError::Deleted
            | SessionError::Invalid(_)
            | SessionError::LockLost
            | SessionError::Conflict(_),
        ) => false,
        Err(error) => panic!("{mode:?}: {error:?}"),
    };
    let back = match open(other, &id).await {
        Ok(_) => true,
        Err(SessionError::Invalid(_)) => false,
        Err(error) => panic!("{mode:?}: {error:?}"),
    };
    Tally {
        saved: saved.into(),
        refused: (!saved).into(),
        back: back.into(),
    }
}

async fn change(sessions: &Sessions, id: &str) -> asm_session::Result<()> {
    let mut session = open(sessions, id).await?;
    pause().await;
    session.write().await?.insert("n", &1)?;
    session.close().await.map(drop)
}

/// Others run, now and then.
async fn pause() {
    for _ in 0..fastrand::u8(..4) {
        yield_now().await;
    }
}

/// Ids of no form, ids of nobody, and ids of a session with another secret, in each mode.
async fn make_up(times: u32) {
    for store in stores().await {
        let [sessions, _] = store.handles.clone().map(sessions);
        let id = stored(&sessions).await;
        let before = store.entries().await;
        let tasks = (0..AT_ONCE).map(|task| {
            let (sessions, handle) = (sessions.clone(), id[..21].to_owned());
            tokio::spawn(async move {
                for number in 0..times / AT_ONCE {
                    let mode = MODES[(number + task) as usize % MODES.len()];
                    let made_up = match fastrand::u8(..3) {
                        0 => letters(fastrand::usize(..54)),
                        1 => letters(53) + "A",
                        _ => handle.clone() + &letters(32) + "A",
                    };
                    let opened = open(&sessions.with_mode(mode), &made_up).await;
                    assert!(matches!(opened, Err(SessionError::Invalid(_))));
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("no panic");
        }
        let more = store.entries().await - before;
        println!(
            "{}: {} made-up ids, {more} entries more",
            store.name,
            times / AT_ONCE * AT_ONCE
        );
        assert_eq!(more, 0);
        open(&sessions, &id).await.expect("it is as it was");
    }
}

fn letters(length: usize) -> String {
    const ALL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..length)
        .map(|_| char::from(ALL[fastrand::usize(..ALL.len())]))
        .collect()
}

async fn stored(sessions: &Sessions) -> String {
    let mut session = sessions.create(&Client::default()).expect("randomness");
    session.insert("n", &0).expect("a change");
    session.close().await.expect("a save");
    match session.id_update() {
        IdUpdate::Issue(id) => id.expose().to_string(),
        other => panic!("a new session has a new id: {other:?}"),
    }
}

async fn open(sessions: &Sessions, id: &str) -> asm_session::Result<Session> {
    sessions.open(id, &Client::default()).await
}

fn sessions(driver: Arc<dyn Driver>) -> Sessions {
    let builder = Sessions::builder(driver)
        .lock_hold(PATIENCE)
        .lock_wait(PATIENCE)
        .lock_queue(None);
    builder.build().expect("settings that make sense")
}

/// A storage, and two handles on it.
struct Store {
    name: &'static str,
    handles: [Arc<dyn Driver>; 2],
    entries: Entries,
    /// What ends with it.
    _home: Box<dyn Any + Send + Sync>,
}

/// Whatever is there: keys, files, slots.
type Entries = Arc<dyn Fn() -> u64 + Send + Sync>;

impl Store {
    async fn entries(&self) -> u64 {
        let entries = Arc::clone(&self.entries);
        spawn_blocking(move || entries()).await.expect("a count")
    }
}

async fn stores() -> Vec<Store> {
    let mut all = vec![memory(), file()];
    all.extend(redis().await);
    all
}

fn memory() -> Store {
    let driver = MemoryDriver::new();
    Store {
        name: "memory",
        handles: [Arc::new(driver.clone()), Arc::new(driver.clone())],
        entries: Arc::new(move || driver.sessions() as u64),
        _home: Box::new(()),
    }
}

fn file() -> Store {
    let root = tempfile::tempdir().expect("a directory");
    let handle = || -> Arc<dyn Driver> {
        let driver = FileDriver::builder(root.path())
            .durability(Durability::Atomic)
            .patience(PATIENCE);
        Arc::new(driver.build().expect("a driver"))
    };
    let path = root.path().to_owned();
    Store {
        name: "file",
        handles: [handle(), handle()],
        entries: Arc::new(move || files(&path)),
        _home: Box::new(root),
    }
}

fn files(folder: &Path) -> u64 {
    let count = |entry: fs::DirEntry| match entry.file_type().expect("a type").is_dir() {
        true => files(&entry.path()),
        false => 1,
    };
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| count(entry.expect("an entry"))).sum()
}

/// `None`, and it is said, where no server is installed.
async fn redis() -> Option<Store> {
    let server = match Server::start() {
        Ok(server) => Arc::new(server),
        Err(error @ Error::Missing) => {
            println!("left out: {error}");
            return None;
        }
        Err(error) => panic!("a server does not start: {error}"),
    };
    let builder = RedisDriver::builder()
        .url(server.url())
        .deadline(PATIENCE)
        .connect_timeout(PATIENCE);
    let one = builder.clone().connect().await.expect("a driver");
    let other = builder.connect().await.expect("a driver");
    let handles: [Arc<dyn Driver>; 2] = [Arc::new(one), Arc::new(other)];
    let asked = Arc::clone(&server);
    Some(Store {
        name: "redis",
        handles,
        entries: Arc::new(move || asked.call(&["DBSIZE"]).expect("a count")),
        _home: Box::new(server),
    })
}
