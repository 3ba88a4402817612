//! Rows F1 to F4: what the file driver costs, against the same calls of the standard library. Row G3:
//! what becomes of that with more sessions.

mod locked;

use std::{
    error::Error,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use asm_bench::{Goal, Options, Report, Row, Unit, key, op, rounds, seconds_for_one, stamp};
use asm_core::{Create, Guard, Open, Opened, Save, SessionStore, Snapshot, Version, Written};
use asm_file::{Durability, FileDriver};
use tokio::{
    runtime::{Builder, Runtime},
    task::spawn_blocking,
};

const DATA: [u8; 1024] = [b'x'; 1024];
/// How long one contender runs at a time.
const TURN: Duration = Duration::from_millis(300);
const SESSIONS: u32 = 1000;
const MANY: u32 = 100_000;
const TTL: Duration = Duration::from_secs(3600);

type Turn<'a> = Box<dyn FnMut() -> f64 + 'a>;

fn main() -> ExitCode {
    let options = Options::read();
    let done = match &options.child {
        Some(argument) => locked::child(argument),
        None => measure(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("file: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut report = Report::default();
    let place = tempfile::tempdir()?;
    let runtime = runtime()?;
    let levels = [Durability::Atomic, Durability::Data, Durability::Full];
    let roots = levels.map(|level| Root::new(place.path(), level, SESSIONS, &runtime));
    let bare = Bare::new(place.path())?;
    if options.wants("F1") {
        read(options, &mut report, &runtime, &roots[0], &bare);
        for (root, level) in roots.iter().zip(levels) {
            save(options, &mut report, &runtime, root, &bare, level);
        }
    }
    if options.wants("F1") || options.wants("G3") {
        growth(options, &mut report, &runtime, place.path());
    }
    if options.wants("F2") {
        parallel(options, &mut report, &runtime, &roots[0], &bare);
    }
    if options.wants("F3") {
        locked::cycle(options, &mut report, &runtime, &roots[0], &bare);
    }
    if options.wants("F4") {
        locked::handoff(options, &mut report, &runtime, place.path())?;
    }
    Ok(report.end(options)?)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
}

/// One caller, all of whose files are in memory. The first yardstick blocks the thread that it is
/// called on; the second does not, as the driver does not.
fn read(options: &Options, report: &mut Report, runtime: &Runtime, root: &Root, bare: &Bare) {
    let mut turns: [Turn<'_>; 3] = [
        Box::new(|| each(|| runtime.block_on(root.read(pick(SESSIONS))))),
        Box::new(|| each(|| runtime.block_on(async { bare.read_here(pick(SESSIONS)) }))),
        Box::new(|| each(|| runtime.block_on(bare.read(pick(SESSIONS))))),
    ];
    let figures = rounds(options.rounds(), &mut turns, |turn| turn());
    let yardsticks = ["fs::read", "spawn_blocking(fs::read)"];
    for (yardstick, theirs) in yardsticks.into_iter().zip(&figures[1..]) {
        let what = format!("read, 1 caller, against {yardstick}");
        let goal = Goal::RatioAtMost(1.3);
        report.add(Row::new(
            "F1",
            what,
            Unit::Milliseconds,
            &figures[0],
            theirs,
            goal,
        ));
    }
}

fn save(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    root: &Root,
    bare: &Bare,
    level: Durability,
) {
    let mut versions: Vec<Version> = (0..SESSIONS)
        .map(|session| runtime.block_on(root.read(session)).version)
        .collect();
    let mut turns: [Turn<'_>; 2] = [
        Box::new(|| {
            each(|| {
                let session = pick(SESSIONS);
                let version = &mut versions[session as usize];
                *version = runtime.block_on(root.save(session, *version));
            })
        }),
        Box::new(|| each(|| runtime.block_on(bare.write(pick(SESSIONS), level)))),
    ];
    let figures = rounds(options.rounds(), &mut turns, |turn| turn());
    let what = format!("save, {level:?}, against write + rename on a thread, synced alike");
    let goal = Goal::RatioAtMost(1.3);
    report.add(Row::new(
        "F1",
        what,
        Unit::Milliseconds,
        &figures[0],
        &figures[1],
        goal,
    ));
}

/// The same number of them is in use: a file that is replaced while the last one is still on its way to
/// the disk takes longer, and the fewer there are the more often that is so.
fn cycle(runtime: &Runtime, root: &Root) -> f64 {
    each(|| {
        let session = pick(SESSIONS);
        let version = runtime.block_on(root.read(session)).version;
        runtime.block_on(root.save(session, version));
    })
}

/// All new: a file system remembers for minutes where files were removed, and is slower there.
fn growth(options: &Options, report: &mut Report, runtime: &Runtime, place: &Path) {
    let sizes = options.sizes(MANY);
    let new = |size: &u32| {
        let place = place.join(size.to_string());
        Root::new(&place, Durability::Atomic, *size, runtime)
    };
    let mut roots: Vec<Root> = sizes.iter().map(new).collect();
    let figures = rounds(options.rounds(), &mut roots, |root| cycle(runtime, root));
    for (size, ours) in sizes.iter().zip(&figures) {
        let row = |id, goal| {
            let what = format!("file: open + save among {size} sessions in one root, against 1000");
            let unit = Unit::Milliseconds;
            Row::new(id, what, unit, ours, &figures[0], goal)
        };
        if options.wants("G3") {
            let point = row("G3", Goal::None).point("file", "sessions", (*size).into());
            report.add(point);
        }
        if options.wants("F1") && size == sizes.last().unwrap_or(&0) {
            report.add(row("F1", Goal::RatioAtMost(1.5)));
        }
    }
}

fn parallel(options: &Options, report: &mut Report, runtime: &Runtime, root: &Root, bare: &Bare) {
    let mut turns: [Turn<'_>; 2] = [
        Box::new(|| {
            let driver = root.driver.clone();
            rate(runtime, move || {
                let driver = driver.clone();
                async move {
                    let opened = driver.open(&key(pick(SESSIONS)), Open { lock: None }).await;
                    assert!(matches!(opened, Ok(Opened::Found { .. })));
                }
            })
        }),
        Box::new(|| {
            let bare = bare.clone();
            rate(runtime, move || {
                let bare = bare.clone();
                async move { bare.read(pick(SESSIONS)).await }
            })
        }),
    ];
    let figures = rounds(options.rounds(), &mut turns, |turn| turn());
    let what = "read, 16 tasks, against spawn_blocking(fs::read)";
    let goal = Goal::RatioAtLeast(0.9);
    report.add(Row::new(
        "F2",
        what,
        Unit::PerSecond,
        &figures[0],
        &figures[1],
        goal,
    ));
}

/// Milliseconds for one, over one turn.
fn each<T>(once: impl FnMut() -> T) -> f64 {
    1e3 * seconds_for_one(TURN, once)
}

/// How many a second 16 tasks do, over one turn.
fn rate<F>(runtime: &Runtime, once: impl Fn() -> F + Clone + Send + 'static) -> f64
where
    F: Future<Output = ()> + Send,
{
    runtime.block_on(async {
        let began = Instant::now();
        let tasks = (0..16).map(|_| {
            let once = once.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while began.elapsed() < TURN {
                    once().await;
                    count += 1;
                }
                count
            })
        });
        let mut count = 0;
        for task in tasks.collect::<Vec<_>>() {
            count += task.await.expect("a task that does not fail");
        }
        f64::from(count) / began.elapsed().as_secs_f64()
    })
}

fn pick(of: u32) -> u32 {
    fastrand::u32(..of)
}

/// Sessions of 1 KiB in the driver.
struct Root {
    driver: FileDriver,
}

impl Root {
    fn new(place: &Path, level: Durability, sessions: u32, runtime: &Runtime) -> Self {
        let root = place.join(format!("{level:?}"));
        let fill = |level| FileDriver::builder(&root).durability(level).build();
        let driver = fill(Durability::Atomic).expect("a root");
        runtime.block_on(async {
            for session in 0..sessions {
                let req = Create {
                    op: op(),
                    resend: false,
                    stamp: stamp(),
                    data: DATA.to_vec().into(),
                    ttl: TTL,
                    lock: None,
                };
                driver.create(&key(session), req).await.expect("created");
            }
        });
        Self {
            driver: fill(level).expect("a root"),
        }
    }

    async fn read(&self, session: u32) -> Snapshot {
        match self.driver.open(&key(session), Open { lock: None }).await {
            Ok(Opened::Found { snapshot, .. }) => snapshot,
            other => panic!("a session is there, and the answer was {other:?}"),
        }
    }

    async fn save(&self, session: u32, over: Version) -> Version {
        let guard = Guard {
            epoch: stamp().epoch,
            version: over,
            held: None,
        };
        let req = Save {
            op: op(),
            resend: false,
            guard,
            stamp: stamp(),
            data: DATA.to_vec().into(),
            ttl: TTL,
            release: false,
        };
        match self.driver.save(&key(session), req).await {
            Ok(Written::Done { version, .. }) => version,
            other => panic!("nobody else saves, and the answer was {other:?}"),
        }
    }
}

/// Files of 1 KiB in 256 directories, and nothing around them.
#[derive(Clone)]
struct Bare {
    root: PathBuf,
}

impl Bare {
    fn new(place: &Path) -> Result<Self, Box<dyn Error>> {
        let root = place.join("bare");
        for shard in 0..=u8::MAX {
            fs::create_dir_all(root.join(format!("{shard:02x}")))?;
        }
        let bare = Self { root };
        for session in 0..SESSIONS {
            fs::write(bare.path(session), DATA)?;
        }
        Ok(bare)
    }

    fn path(&self, session: u32) -> PathBuf {
        let name = key(session).to_string();
        self.root.join(&name[..2]).join(name)
    }

    fn read_here(&self, session: u32) {
        let bytes = fs::read(self.path(session)).expect("a file");
        assert_eq!(bytes.len(), DATA.len());
    }

    async fn read(&self, session: u32) {
        let path = self.path(session);
        let read = spawn_blocking(move || fs::read(path)).await;
        let bytes = read.expect("a read that does not panic").expect("a file");
        assert_eq!(bytes.len(), DATA.len());
    }

    async fn write(&self, session: u32, level: Durability) {
        let path = self.path(session);
        let written = spawn_blocking(move || write(&path, &DATA, level));
        let written = written.await.expect("a write that does not panic");
        written.expect("a file");
    }
}

fn write(path: &Path, data: &[u8], level: Durability) -> io::Result<()> {
    let temp = path.with_extension("new");
    let mut file = File::create(&temp)?;
    file.write_all(data)?;
    if level >= Durability::Data {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(temp, path)?;
    match path.parent() {
        Some(shard) if level == Durability::Full => File::open(shard)?.sync_all(),
        _ => Ok(()),
    }
}
