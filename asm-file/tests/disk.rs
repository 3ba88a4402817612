//! A disk that loses what was not synced, and one that fails: at every operation of a history with
//! each kind of change.

mod given;

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    io,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
};

use asm_core::{ErrorKind, Open, Opened, SessionStore};
use asm_file::{Disk, Durability, FileDriver, Fresh};
use futures_util::FutureExt;
use given::{KEY, LOCKS, STEPS, State, observe, play};
use tokio::runtime::{Builder, Runtime};

const LEVELS: [Durability; 3] = [Durability::Atomic, Durability::Data, Durability::Full];

/// How many subsets of the names that were not synced are tried at one crash, when there are more.
const SUBSETS: usize = 48;

#[test]
fn the_end_of_the_machine_leaves_what_the_table_says() {
    fastrand::seed(8);
    let mut crashes = 0;
    for level in LEVELS {
        let history = History::of(level);
        for crash in 0..=history.operations.len() {
            for remains in power_cuts(&history.operations[..crash]) {
                history.check_after_power_cut(crash, &remains);
                crashes += 1;
            }
        }
    }
    println!("{crashes} crashes of the machine: nothing that the table does not allow");
    assert!(crashes > 2000, "only {crashes} crashes");
}

#[test]
fn the_end_of_a_process_leaves_the_state_before_or_after() {
    for level in LEVELS {
        let history = History::of(level);
        for crash in 0..=history.operations.len() {
            let remains = SimDisk::default();
            for operation in &history.operations[..crash] {
                remains.files().apply(operation, &mut Vec::clone);
            }
            let step = history.step_of(crash);
            let (found, foreign) = history.found(&remains);
            let around = [&history.states[step], &history.states[step + 1]];
            assert!(
                around.contains(&&found),
                "{level:?}, operation {crash}, step {step}: {found:?} is neither of {around:?}"
            );
            assert_eq!(foreign, 0, "{level:?}, operation {crash}: a torn file");
            assert!(
                remains.swept(),
                "{level:?}, operation {crash}: a temp file stays"
            );
        }
    }
}

#[test]
fn a_failing_operation_changes_nothing_and_leaves_nothing() {
    let errors = [
        (5, ErrorKind::Other),        // EIO
        (28, ErrorKind::Full),        // ENOSPC
        (24, ErrorKind::Unavailable), // EMFILE
        (13, ErrorKind::Denied),      // EACCES
        (30, ErrorKind::ReadOnly),    // EROFS
        (122, ErrorKind::Full),       // EDQUOT
    ];
    let mut failures = 0;
    for level in LEVELS {
        for (errno, kind) in errors {
            for step in 0..STEPS {
                let mut at = 0;
                while fails_at(level, step, at, errno, kind) {
                    at += 1;
                    failures += 1;
                }
                assert!(at > 2, "step {step} has {at} operations only");
            }
        }
    }
    println!("{failures} failed operations");
}

#[test]
fn each_level_syncs_what_it_says_and_nothing_else() {
    for level in LEVELS {
        let history = History::of(level);
        let (mut done, mut said) = (Vec::new(), Vec::new());
        for operation in &history.operations {
            match operation {
                Operation::SyncFile(_) => done.push("bytes"),
                Operation::SyncDirectory(_) => done.push("names"),
                Operation::Rename(_, _, name) => {
                    done.push(name);
                    let bytes = match level {
                        Durability::Atomic => false,
                        // A lock does not outlive the machine.
                        Durability::Data => !name.ends_with(".l"),
                        Durability::Full => true,
                    };
                    said.extend(bytes.then_some("bytes"));
                    said.push(name);
                    said.extend((level == Durability::Full).then_some("names"));
                }
                Operation::Remove(_, name) => {
                    done.push(name);
                    said.push(name);
                    let ends = name.ends_with(".s") && level != Durability::Atomic;
                    said.extend(ends.then_some("names"));
                }
                Operation::Create(..) | Operation::Bytes(..) => {}
            }
        }
        assert_eq!(done, said, "{level:?}");
    }
}

/// Its caller has begun a save, and has not waited for it.
#[test]
fn a_look_sees_what_was_begun_before_it() {
    let disk = SimDisk::default();
    let builder = FileDriver::on(Arc::new(disk.clone())).threads(2);
    let driver = builder.build().expect("a driver");
    runtime().block_on(async {
        play(&driver, 0, false).await.expect("a session");
        let ((begin, begun), (open, opened)) = (channel(), channel());
        disk.files().gate = Some((begin, opened));
        let mut save = pin!(play(&driver, 1, false));
        while begun.try_recv().is_err() {
            assert!(save.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        let mut look = pin!(driver.open(&KEY, Open { lock: None }));
        assert!(look.as_mut().now_or_never().is_none());
        // There is a thread that has nothing else to do.
        while driver.counters().under_way > 1 {
            tokio::task::yield_now().await;
        }
        open.send(()).expect("it waits");
        let found = look.await.expect("a look");
        let Opened::Found { snapshot, .. } = found else {
            panic!("{found:?}");
        };
        assert_eq!(snapshot.data, "two".into());
        save.await.expect("saved");
    });
}

/// Plays up to a step, and fails its n-th operation; `false` when it has fewer.
fn fails_at(level: Durability, step: usize, at: usize, errno: i32, kind: ErrorKind) -> bool {
    let disk = SimDisk::default();
    let driver = disk.driver(level);
    let run = runtime();
    for step in 0..step {
        run.block_on(play(&driver, step, false)).expect("played");
    }
    let before = run.block_on(observe(&driver)).expect("observed");
    disk.files().fail = Some((at, errno));
    let outcome = run.block_on(play(&driver, step, false));
    let failed = disk
        .files()
        .fail
        .take()
        .is_none_or(|(left, _)| left == usize::MAX);
    if !failed {
        outcome.expect("nothing failed");
        return false;
    }
    // An attempt to lock that failed is undone, behind the caller's back.
    while driver.counters().under_way > 0 {
        std::thread::yield_now();
    }
    let locks = LOCKS.contains(&step);
    let mut now = run.block_on(observe(&driver)).expect("observed");
    match outcome {
        Err(error) if locks && error.kind() == ErrorKind::Unknown => {
            assert_eq!(now.held, None, "an attempt that failed has left its lock");
        }
        Err(error) if error.kind() == ErrorKind::Unknown => {
            assert_ne!(before, now, "unknown, and it has not happened");
        }
        Err(error) => {
            assert_eq!(error.kind(), kind, "step {step}, operation {at}: {error}");
            assert_eq!(before, now, "step {step}, operation {at}: half done");
        }
        // A failure that costs nothing but a file that nobody reads.
        Ok(()) => {
            let failed = disk.files().failed;
            assert_eq!(failed, "remove", "step {step}, operation {at}");
            assert_ne!(before, now);
        }
    }
    assert!(
        !disk.files().has_temp(),
        "step {step}, operation {at}: a temp file stays"
    );
    // Sent again it has the effect of once.
    run.block_on(play(&driver, step, true)).expect("the resend");
    now = run.block_on(observe(&driver)).expect("observed");
    let smooth = SimDisk::default().driver(level);
    for step in 0..=step {
        run.block_on(play(&smooth, step, false)).expect("played");
    }
    let mut expected = run.block_on(observe(&smooth)).expect("observed");
    if locks {
        (now.held, expected.held) = (None, None);
    }
    assert_eq!(now, expected, "step {step}, operation {at}");
    assert_eq!(driver.counters().foreign, 0);
    true
}

/// Everything that was done to the disk, and what it meant.
struct History {
    level: Durability,
    operations: Vec<Operation>,
    /// How many operations there were after each step.
    ends: Vec<usize>,
    /// What there was before the first step, and after each.
    states: Vec<State>,
}

impl History {
    fn of(level: Durability) -> Self {
        let disk = SimDisk::default();
        let driver = disk.driver(level);
        let run = runtime();
        let mut history = Self {
            level,
            operations: Vec::new(),
            ends: Vec::new(),
            states: vec![State::default()],
        };
        for step in 0..STEPS {
            run.block_on(play(&driver, step, false)).expect("played");
            history.ends.push(disk.files().log.len());
            let state = run.block_on(observe(&driver)).expect("observed");
            assert_eq!(disk.files().log.len(), history.ends[step], "a look wrote");
            history.states.push(state);
        }
        history.operations = disk.files().log.clone();
        history
    }

    /// The step that the next operation belongs to.
    fn step_of(&self, crash: usize) -> usize {
        let done = self.ends.iter().filter(|end| **end <= crash).count();
        done.min(STEPS - 1)
    }

    fn found(&self, remains: &SimDisk) -> (State, u64) {
        let driver = remains.driver(self.level);
        let found = runtime().block_on(observe(&driver)).expect("observed");
        (found, driver.counters().foreign)
    }

    fn check_after_power_cut(&self, crash: usize, remains: &SimDisk) {
        let acknowledged = self.ends.iter().filter(|end| **end <= crash).count();
        let begun = (acknowledged + 1).min(STEPS);
        let (found, foreign) = self.found(remains);
        let place = format!("{:?}, operation {crash}: {found:?}", self.level);
        // A deletion that was acknowledged starts a new history, where deletions are synced.
        let deleted = (1..=acknowledged)
            .rev()
            .find(|step| self.states[*step].record.is_none());
        let since = match self.level {
            Durability::Atomic => 0,
            Durability::Data => deleted.unwrap_or(0),
            Durability::Full => acknowledged,
        };
        let allowed = &self.states[since..=begun];
        let torn = self.level == Durability::Atomic && found.record.is_none();
        let record = torn || allowed.iter().any(|state| state.record == found.record);
        assert!(record, "{place}: the record is of no allowed moment");
        if self.level == Durability::Full {
            assert!(
                allowed.contains(&found),
                "{place}: not of one allowed moment"
            );
            assert_eq!(foreign, 0, "{place}: a torn file");
        } else {
            let field = found.field.is_none()
                || self.states[..=begun]
                    .iter()
                    .any(|state| state.field == found.field);
            assert!(field, "{place}: the field is of no moment");
        }
        // Whatever is left can be gone on with.
        let driver = remains.driver(self.level);
        runtime().block_on(given::use_it(&driver)).expect("usable");
    }
}

/// One change of the disk.
#[derive(Clone, Debug)]
enum Operation {
    Create(u8, String, usize),
    SyncFile(usize),
    Rename(u8, String, String),
    Remove(u8, String),
    SyncDirectory(u8),
    /// What a file was created with.
    Bytes(usize, Vec<u8>),
}

/// The states that a power cut after these operations may leave.
fn power_cuts(operations: &[Operation]) -> Vec<SimDisk> {
    // By operation, whether its change of a name is certain.
    let mut certain = vec![false; operations.len()];
    let mut synced = HashMap::new();
    for (at, operation) in operations.iter().enumerate() {
        match operation {
            Operation::SyncDirectory(shard) => {
                for before in 0..at {
                    certain[before] |= operations[before].shard() == Some(*shard);
                }
            }
            Operation::SyncFile(file) => drop(synced.insert(*file, ())),
            _ => {}
        }
    }
    let open: Vec<usize> = (0..operations.len())
        .filter(|at| !certain[*at] && operations[*at].shard().is_some())
        .collect();
    let subsets: Vec<Vec<bool>> = if open.len() < 6 {
        (0..1 << open.len())
            .map(|bits: u32| (0..open.len()).map(|at| bits >> at & 1 == 1).collect())
            .collect()
    } else {
        let random = || open.iter().map(|_| fastrand::bool()).collect();
        let prefix = |length| (0..open.len()).map(|at| at < length).collect();
        (0..SUBSETS)
            .map(|_| random())
            .chain((0..=open.len()).rev().take(4).map(prefix))
            .collect()
    };
    let remains = subsets.iter().flat_map(|subset| {
        ["whole", "empty", "half", "zeros"].map(|tear| {
            let disk = SimDisk::default();
            for (at, operation) in operations.iter().enumerate() {
                let kept = open.iter().position(|open| *open == at);
                if kept.is_none_or(|kept| subset[kept]) {
                    let safe = |file: &usize| synced.contains_key(file);
                    disk.files().apply_torn(operation, safe, tear);
                }
            }
            disk
        })
    });
    remains.collect()
}

impl Operation {
    /// Where it changes a name.
    fn shard(&self) -> Option<u8> {
        match self {
            Self::Create(shard, ..) | Self::Rename(shard, ..) | Self::Remove(shard, _) => {
                Some(*shard)
            }
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct SimDisk(Arc<Mutex<SimFiles>>);

#[derive(Debug, Default)]
struct SimFiles {
    names: BTreeMap<(u8, String), usize>,
    bytes: HashMap<usize, Vec<u8>>,
    log: Vec<Operation>,
    /// How many operations from now on one fails, and how. `usize::MAX` when it has.
    fail: Option<(usize, i32)>,
    /// Which it was.
    failed: &'static str,
    /// Whoever writes next says so here, and waits for a word.
    gate: Option<(Sender<()>, Receiver<()>)>,
}

impl SimDisk {
    fn driver(&self, level: Durability) -> FileDriver {
        FileDriver::on(Arc::new(self.clone()))
            .durability(level)
            .threads(1)
            .build()
            .expect("a driver")
    }

    fn files(&self) -> MutexGuard<'_, SimFiles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a sweep leaves no temp file.
    fn swept(&self) -> bool {
        let driver = self.driver(Durability::Atomic);
        runtime().block_on(given::sweep(&driver));
        !self.files().has_temp()
    }
}

impl SimFiles {
    fn has_temp(&self) -> bool {
        self.names.keys().any(|(_, name)| name == "new")
    }

    /// Counts down to the failure.
    fn may(&mut self, operation: &'static str) -> io::Result<()> {
        match &mut self.fail {
            Some((left, errno)) if *left == 0 => {
                *left = usize::MAX;
                self.failed = operation;
                Err(io::Error::from_raw_os_error(*errno))
            }
            Some((usize::MAX, _)) | None => Ok(()),
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn does(&mut self, operation: Operation) {
        self.apply(&operation, &mut Vec::clone);
        self.log.push(operation);
    }

    fn apply(&mut self, operation: &Operation, bytes: &mut dyn FnMut(&Vec<u8>) -> Vec<u8>) {
        match operation {
            Operation::Create(shard, name, file) => {
                self.names.insert((*shard, name.clone()), *file);
            }
            Operation::Rename(shard, from, to) => {
                // The file keeps its place in the order of creation when the name it had is lost.
                if let Some(file) = self.names.remove(&(*shard, from.clone())) {
                    self.names.insert((*shard, to.clone()), file);
                }
            }
            Operation::Remove(shard, name) => {
                self.names.remove(&(*shard, name.clone()));
            }
            Operation::Bytes(file, content) => {
                self.bytes.insert(*file, bytes(content));
            }
            Operation::SyncFile(_) | Operation::SyncDirectory(_) => {}
        }
    }

    fn apply_torn(&mut self, operation: &Operation, safe: impl Fn(&usize) -> bool, tear: &str) {
        let whole = matches!(operation, Operation::Bytes(file, _) if safe(file));
        let mut torn = |bytes: &Vec<u8>| match tear {
            _ if whole => bytes.clone(),
            "empty" => Vec::new(),
            "half" => bytes[..bytes.len() / 2].to_vec(),
            "zeros" => vec![0; bytes.len()],
            _ => bytes.clone(),
        };
        self.apply(operation, &mut torn);
    }
}

impl Disk for SimDisk {
    fn lock(&self, _: u8) -> io::Result<Box<dyn Any>> {
        self.files().may("lock")?;
        Ok(Box::new(()))
    }

    fn read(&self, shard: u8, name: &str, _: usize) -> io::Result<Option<Vec<u8>>> {
        let mut files = self.files();
        files.may("read")?;
        let file = files.names.get(&(shard, name.to_owned()));
        Ok(file.map(|file| files.bytes.get(file).cloned().unwrap_or_default()))
    }

    fn create(&self, shard: u8, name: &str, bytes: &[u8]) -> io::Result<Box<dyn Fresh>> {
        let gate = self.files().gate.take();
        if let Some((begun, open)) = gate {
            begun.send(()).expect("the test listens");
            open.recv().expect("a word");
        }
        let mut files = self.files();
        if files.names.contains_key(&(shard, name.to_owned())) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        files.may("create")?;
        let file = files.log.len();
        files.does(Operation::Create(shard, name.to_owned(), file));
        if let Err(error) = files.may("create") {
            files.does(Operation::Bytes(file, bytes[..bytes.len() / 2].to_vec()));
            return Err(error);
        }
        files.does(Operation::Bytes(file, bytes.to_vec()));
        Ok(Box::new(SimFile(self.clone(), file)))
    }

    fn rename(&self, shard: u8, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        files.may("rename")?;
        files.does(Operation::Rename(shard, from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, shard: u8, name: &str) -> io::Result<bool> {
        let mut files = self.files();
        if !files.names.contains_key(&(shard, name.to_owned())) {
            return Ok(false);
        }
        files.may("remove")?;
        files.does(Operation::Remove(shard, name.to_owned()));
        Ok(true)
    }

    fn sync(&self, shard: u8) -> io::Result<()> {
        let mut files = self.files();
        files.may("sync of names")?;
        files.does(Operation::SyncDirectory(shard));
        Ok(())
    }

    fn names(&self, shard: u8, each: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut files = self.files();
        files.may("names")?;
        let names = files.names.keys().filter(|(of, _)| *of == shard);
        names.for_each(|(_, name)| each(name));
        Ok(())
    }
}

struct SimFile(SimDisk, usize);

impl Fresh for SimFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut files = self.0.files();
        files.may("sync of bytes")?;
        files.does(Operation::SyncFile(self.1));
        Ok(())
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}
