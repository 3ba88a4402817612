//! Rows F1 to F4: what the file driver costs, against the same calls of the standard library. Rows G3 and
//! G8: what becomes of that with more sessions and callers.

mod locked;

use std::{
    error::Error,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use asm_bench::{
    Goal, Options, QUICK, Report, Row, Unit, callers, key, op, rounds, seconds_for_one, stamp,
};
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
/// How many read at a time.
const TASKS: u32 = 16;
const MANY: u32 = 100_000;
/// Making them takes minutes.
const MOST: u32 = 1_000_000;
const TTL: Duration = Duration::from_secs(3600);

type Turn<'a> = Box<dyn FnMut() -> f64 + 'a>;

fn main() -> ExitCode {
    asm_bench::main("file", measure)
}

fn measure(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if let Some(argument) = &options.child {
        return locked::child(argument);
    }
    let place = tempfile::tempdir()?;
    let runtime = runtime()?;
    let levels = [Durability::Atomic, Durability::Data, Durability::Full];
    let roots = levels.map(|level| Root::new(place.path(), level, SESSIONS, &runtime));
    let bare = Bare::new(place.path())?;
    if options.wants("F1") {
        read(options, report, &runtime, &roots[0], &bare);
        for (root, level) in roots.iter().zip(levels) {
            save(options, report, &runtime, root, &bare, level);
        }
    }
    if options.wants("F1") || options.wants("G3") {
        growth(options, report, &runtime, place.path());
    }
    if options.wants("G8") {
        by_callers(options, report, &runtime, &roots[0], &bare);
    }
    if options.wants("F2") {
        parallel(options, report, &runtime, &roots[0], &bare);
    }
    if options.wants("F3") {
        locked::cycle(options, report, &runtime, &roots[0], &bare);
    }
    if options.wants("F4") {
        locked::handoff(options, report, &runtime, place.path())?;
    }
    Ok(())
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
        let row = Row::new("F1", what, Unit::Milliseconds, &figures[0], goal);
        report.add(row.against(theirs));
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
    let row = Row::new("F1", what, Unit::Milliseconds, &figures[0], goal);
    report.add(row.against(&figures[1]));
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
    let what = |size| format!("file: open + save among {size} sessions in one root, against 1000");
    let last = if options.long { MOST } else { MANY };
    let sizes = options.sizes(last, |size| report.leave_out("G3", what(size), QUICK));
    if last < MOST {
        let why = "left out but in a run that takes hours";
        report.leave_out("G3", what(MOST), why);
    }
    let new = |size: &u32| {
        let place = place.join(size.to_string());
        Root::new(&place, Durability::Atomic, *size, runtime)
    };
    let mut roots: Vec<Root> = sizes.iter().map(new).collect();
    let figures = rounds(options.rounds(), &mut roots, |root| cycle(runtime, root));
    let row = |id, what, ours: &[f64], goal| {
        Row::new(id, what, Unit::Milliseconds, ours, goal).against(&figures[0])
    };
    for (size, ours) in sizes.iter().zip(&figures) {
        if options.wants("G3") {
            let row = row("G3", what(*size), ours, Goal::None);
            report.add(row.point("file", "sessions", (*size).into()));
        }
    }
    if let Some(most) = figures.last().filter(|_| options.wants("F1")) {
        let what = "file: open + save among the most sessions of G3, against 1000".to_owned();
        report.add(row("F1", what, most, Goal::RatioAtMost(1.5)));
    }
}

/// Each with sessions of its own.
fn by_callers(options: &Options, report: &mut Report, runtime: &Runtime, root: &Root, bare: &Bare) {
    let what = |callers| {
        format!(
            "file: open + save, {callers} callers, against read, and write + rename, on threads"
        )
    };
    for count in options.callers(|callers| report.leave_out("G8", what(callers), QUICK)) {
        let own = move |caller: u32, turn: u32| caller + turn % (SESSIONS / count) * count;
        let mut turns: [Turn<'_>; 2] = [
            Box::new(|| {
                let root = root.clone();
                let done = callers(count, TURN, move |caller, turn| {
                    let root = root.clone();
                    async move {
                        let session = own(caller, turn);
                        let version = root.read(session).await.version;
                        root.save(session, version).await;
                    }
                });
                runtime.block_on(done).rate()
            }),
            Box::new(|| {
                let bare = bare.clone();
                let done = callers(count, TURN, move |caller, turn| {
                    let bare = bare.clone();
                    async move {
                        let session = own(caller, turn);
                        bare.read(session).await;
                        bare.write(session, Durability::Atomic).await;
                    }
                });
                runtime.block_on(done).rate()
            }),
        ];
        let figures = rounds(options.rounds(), &mut turns, |turn| turn());
        let row = Row::new("G8", what(count), Unit::PerSecond, &figures[0], Goal::None);
        let row = row.against(&figures[1]);
        report.add(row.point("file", "callers", count.into()));
    }
}

fn parallel(options: &Options, report: &mut Report, runtime: &Runtime, root: &Root, bare: &Bare) {
    let mut turns: [Turn<'_>; 2] = [
        Box::new(|| {
            let root = root.clone();
            let done = callers(TASKS, TURN, move |_, _| {
                let root = root.clone();
                async move { drop(root.read(pick(SESSIONS)).await) }
            });
            runtime.block_on(done).rate()
        }),
        Box::new(|| {
            let bare = bare.clone();
            let done = callers(TASKS, TURN, move |_, _| {
                let bare = bare.clone();
                async move { bare.read(pick(SESSIONS)).await }
            });
            runtime.block_on(done).rate()
        }),
    ];
    let figures = rounds(options.rounds(), &mut turns, |turn| turn());
    let what = "read, 16 tasks, against spawn_blocking(fs::read)";
    let goal = Goal::RatioAtLeast(0.9);
    let row = Row::new("F2", what, Unit::PerSecond, &figures[0], goal);
    report.add(row.against(&figures[1]));
}

/// Milliseconds for one, over one turn.
fn each<T>(once: impl FnMut() -> T) -> f64 {
    1e3 * seconds_for_one(TURN, once)
}

fn pick(of: u32) -> u32 {
    fastrand::u32(..of)
}

/// Sessions of 1 KiB in the driver.
#[derive(Clone)]
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
        match self.driver.save(&key(session), new_version(guard)).await {
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

/// The same bytes once more, as a new version.
fn new_version(guard: Guard) -> Save {
    Save {
        op: op(),
        resend: false,
        guard,
        stamp: stamp(),
        data: DATA.to_vec().into(),
        ttl: TTL,
        release: false,
    }
}
