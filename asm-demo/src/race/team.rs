//! Who runs a race: this process, or several that are told to.
//!
//! Processes talk in lines of JSON. The first one makes the sessions and tells each of the others
//! its part ([`Part`]). Each answers `"ready"` when all its tasks have read, is told `"go"` when all
//! processes have, and answers what it saw ([`Tally`]).

use std::{env, io, process::Stdio};

use fastrand::Rng;
use futures_util::future::try_join_all;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{
    Args, Failure,
    args::{Mode, Write},
    course::{Counter, Course, share},
    raw::{Raw, RawCounter},
    sessions::{SessionCounter, Through},
    tally::Tally,
};
use crate::drivers::{DriverName, Storage};

/// What one process has to do.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    driver: String,
    mode: Mode,
    /// How sessions are changed; none on the raw driver.
    write: Option<Write>,
    tasks: u32,
    requests: u64,
    seed: u64,
    sessions: Vec<String>,
}

/// What a process says when its tasks have read, and is told when all have.
const READY: &str = "ready";
const GO: &str = "go";

/// Races in this mode: makes the sessions, lets the tasks run, and counts what is there.
pub(super) async fn race(
    args: &Args,
    seed: u64,
    mode: Mode,
    write: Option<Write>,
    progress: ProgressBar,
) -> Result<Tally, Failure> {
    let storage = args.driver.storage().await?;
    match write {
        None => {
            let raw = Raw::new(mode)?;
            let judge = raw.counter(&storage, 0, Rng::with_seed(seed));
            referee(args, seed, mode, write, progress, &storage, judge).await
        }
        Some(way) => {
            let judge = Through::new(mode, way).counter(&storage)?;
            referee(args, seed, mode, write, progress, &storage, judge).await
        }
    }
}

async fn referee<C: Counter>(
    args: &Args,
    seed: u64,
    mode: Mode,
    write: Option<Write>,
    progress: ProgressBar,
    storage: &Storage,
    mut judge: C,
) -> Result<Tally, Failure> {
    let mut sessions = Vec::new();
    for _ in 0..args.sessions {
        sessions.push(judge.create().await?);
    }
    let part = |number| Part {
        driver: args.driver.spelled(),
        mode,
        write,
        tasks: share(args.tasks.into(), args.processes, number) as u32,
        requests: share(args.requests, args.processes, number),
        seed: seed.wrapping_add(number.into()),
        sessions: sessions.iter().map(C::show).collect(),
    };
    let mut tally = if args.processes == 1 {
        run(&part(0), storage, progress, async { Ok(()) }).await?
    } else if storage.is_shared() {
        spread((0..args.processes).map(part).collect()).await?
    } else {
        return Err(Failure::NotShared);
    };
    for session in &sessions {
        tally.found += judge.count(session).await?;
    }
    tally.waits.sort_unstable();
    Ok(tally)
}

/// Runs a part in this process.
async fn run(
    part: &Part,
    storage: &Storage,
    progress: ProgressBar,
    gate: impl Future<Output = Result<(), Failure>>,
) -> Result<Tally, Failure> {
    match part.write {
        None => {
            let raw = Raw::new(part.mode)?;
            let made = |number, rng| Ok(raw.counter(storage, number, rng));
            part.course::<RawCounter>()?
                .with_progress(progress)
                .run(made, gate)
                .await
        }
        Some(write) => {
            let through = Through::new(part.mode, write);
            let made = |_, _| through.counter(storage);
            let course = part.course::<SessionCounter>()?.with_progress(progress);
            let tally = course.run(made, gate).await?;
            Ok(Tally {
                longest_queue: through.longest_queue(),
                ..tally
            })
        }
    }
}

impl Part {
    fn course<C: Counter>(&self) -> Result<Course<C::Id>, Failure> {
        let sessions = self.sessions.iter().map(|text| C::parse(text));
        let sessions = sessions.collect::<Option<_>>().ok_or(Failure::Talk)?;
        Ok(Course::new(self.tasks, self.requests, sessions, self.seed))
    }
}

/// Runs each part in a process of its own. All are ended when one fails.
async fn spread(parts: Vec<Part>) -> Result<Tally, Failure> {
    let program = env::current_exe()?;
    let mut members = Vec::new();
    for part in &parts {
        let mut member = Member::start(&program)?;
        say(&mut member.ears, part).await?;
        members.push(member);
    }
    try_join_all(members.iter_mut().map(Member::is_ready)).await?;
    for member in &mut members {
        say(&mut member.ears, GO).await?;
    }
    let mut all = Tally::default();
    for tally in try_join_all(members.iter_mut().map(Member::result)).await? {
        all.join(tally);
    }
    Ok(all)
}

/// Another process of this program.
struct Member {
    process: Child,
    ears: ChildStdin,
    mouth: BufReader<ChildStdout>,
}

impl Member {
    fn start(program: &std::path::Path) -> Result<Self, Failure> {
        let mut process = Command::new(program)
            .arg("race-process")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (ears, mouth) = (process.stdin.take(), process.stdout.take());
        Ok(Self {
            process,
            ears: ears.ok_or(Failure::Talk)?,
            mouth: BufReader::new(mouth.ok_or(Failure::Talk)?),
        })
    }

    async fn is_ready(&mut self) -> Result<(), Failure> {
        let said: String = hear(&mut self.mouth).await?;
        if said == READY {
            Ok(())
        } else {
            Err(Failure::Talk)
        }
    }

    async fn result(&mut self) -> Result<Tally, Failure> {
        let tally = hear(&mut self.mouth).await?;
        self.process.wait().await?;
        Ok(tally)
    }
}

/// What `race-process` does: one part, told on standard input.
pub(super) async fn take_part() -> Result<(), Failure> {
    let (mut ears, mut mouth) = (BufReader::new(tokio::io::stdin()), tokio::io::stdout());
    let part: Part = hear(&mut ears).await?;
    let driver: DriverName = part.driver.parse().map_err(|_| Failure::Talk)?;
    let storage = driver.storage().await?;
    let gate = async {
        say(&mut mouth, READY).await?;
        let said: String = hear(&mut ears).await?;
        if said == GO {
            Ok(())
        } else {
            Err(Failure::Talk)
        }
    };
    let tally = run(&part, &storage, ProgressBar::hidden(), gate).await?;
    say(&mut mouth, &tally).await
}

async fn say(
    to: &mut (impl AsyncWrite + Unpin),
    what: &(impl Serialize + ?Sized),
) -> Result<(), Failure> {
    let mut line = serde_json::to_string(what).map_err(io::Error::from)?;
    line.push('\n');
    to.write_all(line.as_bytes()).await?;
    Ok(to.flush().await?)
}

async fn hear<T: DeserializeOwned>(from: &mut (impl AsyncBufRead + Unpin)) -> Result<T, Failure> {
    let mut line = String::new();
    from.read_line(&mut line).await?;
    serde_json::from_str(&line).map_err(|_| Failure::Talk)
}
