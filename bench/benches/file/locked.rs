//! Row F3, what a lock costs that nobody else wants; row F4, how long it is on its way from one process
//! to another: against the least code on flock.

use std::{
    env,
    error::Error,
    fs::{self, File, TryLockError},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use asm_bench::{Goal, Options, Report, Row, Unit, key, quantile, rounds, stamp, try_rounds};
use asm_core::{
    Acquired, Claim, Guard, Label, LockStore, LockToken, LockWish, Open, OpenLock, Opened,
    OpenedLock, Proof, Save, SessionStore, Written,
};
use asm_file::{Durability, FileDriver};
use rustix::time::{ClockId, clock_gettime};
use tokio::{runtime::Runtime, task::spawn_blocking};

use crate::{Bare, DATA, Root, SESSIONS, Turn, each, new_version, pick, runtime, write};

const LEVEL: Durability = Durability::Atomic;

/// How often each of two processes takes the lock, how long it holds it, and how long it waits before
/// it asks again: short enough for the other one to be waiting by then.
const TURNS: u32 = 100;
const HOLD: Duration = Duration::from_millis(2);
const PAUSE: Duration = Duration::from_millis(1);
const POLL: Duration = Duration::from_millis(1);

/// A read-modify-write cycle of one caller, in two steps with the request between them.
pub(crate) fn cycle(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    root: &Root,
    bare: &Bare,
) {
    let mut turns: [Turn<'_>; 2] = [
        Box::new(|| each(|| runtime.block_on(root.locked_cycle(pick(SESSIONS))))),
        Box::new(|| each(|| runtime.block_on(bare.locked_cycle(pick(SESSIONS))))),
    ];
    let figures = rounds(options.rounds(), &mut turns, |turn| turn());
    let what = "locked cycle, 1 caller, against flock + read, write + rename + unlock on a thread";
    let row = Row::new("F3", what, Unit::Milliseconds, &figures[0], Goal::None);
    report.add(row.against(&figures[1]));
}

impl Root {
    async fn locked_cycle(&self, session: u32) {
        let (key, claim) = (key(session), claim());
        let token = claim.token;
        let lock = Some(OpenLock {
            claim,
            proof: Proof::from_bytes([1; 16]),
        });
        let version = match self.driver.open(&key, Open { lock }).await {
            Ok(Opened::Found {
                snapshot,
                lock: OpenedLock::Held(_),
            }) => snapshot.version,
            other => panic!("nobody else wants it, and the answer was {other:?}"),
        };
        let guard = Guard {
            epoch: stamp().epoch,
            version,
            held: Some(token),
        };
        let req = Save {
            release: true,
            ..new_version(guard)
        };
        let saved = self.driver.save(&key, req).await;
        assert!(matches!(saved, Ok(Written::Done { .. })));
    }
}

impl Bare {
    async fn locked_cycle(&self, session: u32) {
        let path = self.path(session);
        let taken = spawn_blocking(move || {
            let lock = Lock::blocking(&path)?;
            fs::read(&path).map(|data| (path, lock, data))
        });
        let taken = taken.await.expect("no panic");
        let (path, lock, data) = taken.expect("a file");
        let written = spawn_blocking(move || {
            write(&path, &data, LEVEL)?;
            drop(lock);
            Ok::<_, io::Error>(())
        });
        let written = written.await.expect("no panic");
        written.expect("a file");
    }
}

/// From one's release to the other's record in hand.
pub(crate) fn handoff(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    place: &Path,
) -> Result<(), Box<dyn Error>> {
    let place = place.join("handoff");
    drop(Root::new(&place, LEVEL, 1, runtime));
    fs::write(place.join(BARE), DATA)?;
    let mut pairs = KINDS.map(|kind| Pair {
        argument: format!("{kind} {}", place.display()),
        rare: Vec::new(),
    });
    let median = try_rounds(options.rounds(), &mut pairs, Pair::median)?;
    let rare = pairs.map(|pair| pair.rare);
    let yardsticks = ["a blocking flock", "a flock that is asked for every 1 ms"];
    for (place, yardstick) in yardsticks.into_iter().enumerate() {
        for (part, figures) in [("p50", &median[..]), ("p99", &rare[..])] {
            let what = format!("hand-off between two processes, {part}, against {yardstick}");
            let (ours, theirs) = (&figures[0], &figures[place + 1]);
            let row = Row::new("F4", what, Unit::Milliseconds, ours, Goal::None);
            report.add(row.against(theirs));
        }
    }
    Ok(())
}

/// What a child process is told to do, and with what: ours first, as the yardsticks are named.
const KINDS: [&str; 3] = ["ours", "blocking", "polled"];
const BARE: &str = "bare";

/// Two processes that take turns.
struct Pair {
    /// What both are told.
    argument: String,
    /// What one of a hundred hand-offs takes longer than, round by round.
    rare: Vec<f64>,
}

impl Pair {
    fn median(&mut self) -> Result<f64, Box<dyn Error>> {
        let gaps = self.gaps()?;
        self.rare.push(quantile(&gaps, 0.99));
        Ok(quantile(&gaps, 0.5))
    }

    /// In milliseconds, of each time that the one waited while the other one released.
    fn gaps(&self) -> Result<Vec<f64>, Box<dyn Error>> {
        let mut runners = [Runner::new(&self.argument)?, Runner::new(&self.argument)?];
        for runner in &mut runners {
            runner.begin();
        }
        let mut turns = Vec::new();
        for (who, runner) in runners.into_iter().enumerate() {
            let of_one = runner.end()?;
            turns.extend(of_one.into_iter().map(|times| (times, who)));
        }
        turns.sort_by_key(|(times, _)| times.held);
        let mut gaps = Vec::new();
        for pair in turns.windows(2) {
            let ((last, giver), (next, taker)) = (&pair[0], &pair[1]);
            if giver != taker && next.asked < last.released {
                let gap = next.held.saturating_sub(last.released);
                gaps.push(gap.as_secs_f64() * 1e3);
            }
        }
        if gaps.len() < TURNS as usize {
            return Err(format!("they met {} times only", gaps.len()).into());
        }
        Ok(gaps)
    }
}

/// A child process.
struct Runner {
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Runner {
    /// One that is ready.
    fn new(argument: &str) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(env::current_exe()?)
            .args(["--child", argument])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = process.stdout.take().ok_or("its output is piped")?;
        let mut said = BufReader::new(said);
        said.read_line(&mut String::new())?;
        Ok(Self { process, said })
    }

    /// The end of its input is the sign.
    fn begin(&mut self) {
        drop(self.process.stdin.take());
    }

    fn end(mut self) -> Result<Vec<Times>, Box<dyn Error>> {
        let mut text = String::new();
        self.said.read_to_string(&mut text)?;
        if !self.process.wait()?.success() {
            return Err("a process failed".into());
        }
        text.lines().map(Times::parse).collect()
    }
}

/// What a child process does.
pub(crate) fn child(argument: &str) -> Result<(), Box<dyn Error>> {
    let (kind, place) = argument.split_once(' ').ok_or("no kind")?;
    let place = Path::new(place);
    let (runtime, bare) = (runtime()?, place.join(BARE));
    let driver = FileDriver::builder(place.join(format!("{LEVEL:?}")));
    let mut side = match kind {
        "ours" => Side::Ours(&runtime, driver.durability(LEVEL).build()?),
        "blocking" => Side::Blocking(bare),
        "polled" => Side::Polled(bare),
        _ => return Err("no such kind".into()),
    };
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    for times in (0..TURNS).map(|_| side.turn()).collect::<Vec<_>>() {
        let Times {
            asked,
            held,
            released,
        } = times?;
        let [asked, held, released] = [asked, held, released].map(|time| time.as_nanos());
        println!("{asked} {held} {released}");
    }
    Ok(())
}

/// One of two who want the lock.
enum Side<'a> {
    Ours(&'a Runtime, FileDriver),
    Blocking(PathBuf),
    Polled(PathBuf),
}

impl Side<'_> {
    fn turn(&mut self) -> Result<Times, Box<dyn Error>> {
        let asked = now();
        let (held, released) = match self {
            Self::Ours(runtime, driver) => {
                let claim = claim();
                let token = claim.token;
                let wish = LockWish {
                    claim,
                    epoch: stamp().epoch,
                    wait: Duration::from_secs(60),
                    queue: None,
                    known: None,
                };
                let acquired = runtime.block_on(driver.acquire(&key(0), wish))?;
                let Acquired::Held {
                    snapshot: Some(_), ..
                } = acquired
                else {
                    return Err(format!("it comes in its turn, and was {acquired:?}").into());
                };
                let times = hold();
                runtime.block_on(driver.release(&key(0), &token))?;
                times
            }
            Self::Blocking(path) => {
                let _lock = Lock::blocking(path)?;
                fs::read(path)?;
                hold()
            }
            Self::Polled(path) => {
                let _lock = Lock::polled(path)?;
                fs::read(path)?;
                hold()
            }
        };
        pause(PAUSE);
        Ok(Times {
            asked,
            held,
            released,
        })
    }
}

/// Since when it is held, and until when.
fn hold() -> (Duration, Duration) {
    let held = now();
    pause(HOLD);
    (held, now())
}

/// A lock on a file beside the one that is written: that one is another file after each write. It ends
/// when it is dropped.
struct Lock(#[expect(dead_code, reason = "it is closed, no more")] File);

impl Lock {
    fn blocking(path: &Path) -> io::Result<Self> {
        let file = Self::file(path)?;
        file.lock()?;
        Ok(Self(file))
    }

    fn polled(path: &Path) -> io::Result<Self> {
        let file = Self::file(path)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => pause(POLL),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn file(path: &Path) -> io::Result<File> {
        let path = path.with_extension("lock");
        File::options().append(true).create(true).open(path)
    }
}

/// When one asked for the lock, had it, and gave it away, on the clock of the machine.
struct Times {
    asked: Duration,
    held: Duration,
    released: Duration,
}

impl Times {
    fn parse(line: &str) -> Result<Self, Box<dyn Error>> {
        let mut times = line
            .split(' ')
            .map(|nanos| nanos.parse().map(Duration::from_nanos));
        let mut next = || times.next().ok_or("three times");
        Ok(Self {
            asked: next()??,
            held: next()??,
            released: next()??,
        })
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn claim() -> Claim {
    Claim {
        token: LockToken::from_bytes(fastrand::u128(..).to_be_bytes()),
        hold: Duration::from_secs(10),
        label: Label::default(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a hold takes its time")]
fn pause(time: Duration) {
    thread::sleep(time);
}
