//! `stats`: how many sessions there are, of what kind, and how large.

use std::{num::NonZeroUsize, process::ExitCode, time::Duration};

use asm_core::{Cursor, Key, ListStep, LockState};
use asm_session::{ClientKind, SessionError, Sessions, StoredSession};
use clap::Parser;
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::{
    Ended, Failure, Target, bytes,
    progress::{Interrupt, Progress},
    run, spelled,
};

const EXIT_CODES: &str = "Exit codes:
  0  all sessions were counted
  1  some could not be read; the rest was counted
  2  wrong arguments
  3  the sessions could not be listed
  4  it was ended early, by an interrupt (Ctrl-C); the answer is of those counted so far";

/// Counts the sessions that are there: of what kind they are, how large, and how long they live.
///
/// Each is read, none is changed, and nobody waits.
#[derive(Clone, Debug, Parser)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// Look at the lock of each session, too.
    #[arg(long)]
    locks: bool,

    /// How many records to look at in one go, about.
    #[arg(long, value_name = "N", default_value = "1000")]
    batch: NonZeroUsize,
}

/// What is printed as JSON.
#[derive(Debug, Default, Serialize)]
struct Answer {
    driver: &'static str,
    sessions: u64,
    /// Those whose user logged in.
    authenticated: u64,
    /// Those of a subject.
    bound: u64,
    humans: u64,
    bots: u64,
    unknown: u64,
    /// Stored once, and never again.
    saved_once: u64,
    stored_bytes: u64,
    largest_bytes: u64,
    /// If they are not used again.
    ending_within_an_hour: u64,
    ending_within_a_day: u64,
    /// In seconds; `null` without any session.
    oldest: Option<f64>,
    /// Both `null` unless they were asked for.
    locked: Option<u64>,
    waiting: Option<u64>,
    failed: u64,
}

/// How many are read at once.
const AT_ONCE: usize = 32;

const HOUR: Duration = Duration::from_secs(3600);

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    run("stats", &arguments.target, async |sessions: &Sessions| {
        stats(arguments, sessions).await
    })
}

async fn stats(arguments: &Arguments, sessions: &Sessions) -> Result<Ended, Failure> {
    let inventory = sessions.driver().inventory();
    let inventory = inventory.ok_or(SessionError::Unsupported("list of all sessions"))?;
    let (bar, interrupt) = (Progress::begin(), Interrupt::listen());
    let mut answer = Answer::of(sessions.driver().info().name, arguments.locks);
    let (mut from, batch): (Option<Cursor>, _) = (None, arguments.batch);
    let early = loop {
        let listed = inventory.list_sessions(ListStep { from, batch }).await?;
        answer.failed += listed.failed;
        let looks = listed.keys.into_iter();
        let looks = looks.map(|key| look(sessions, key, arguments.locks));
        let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some(looked) = looks.next().await {
            answer.count(looked);
        }
        let Some(next) = listed.next else { break false };
        let counted = format!("{} sessions", answer.sessions);
        bar.show(inventory.progress(&next), counted);
        if interrupt.came() {
            break true;
        }
        from = Some(next);
    };
    bar.end();
    arguments.target.answers.print(&answer, &answer.words())?;
    Ok(match (early, answer.failed) {
        (true, _) => Ended::Early,
        (false, 0) => Ended::Well,
        (false, _) => Ended::InPart,
    })
}

type Looked = Result<Option<(StoredSession, LockState)>, SessionError>;

/// `None`: it has ended since it was listed.
async fn look(sessions: &Sessions, key: Key, locks: bool) -> Looked {
    let session = sessions.by_handle(key);
    let Some(stored) = session.stored().await? else {
        return Ok(None);
    };
    let lock = match locks {
        true => session.inspect().await?,
        false => LockState::default(),
    };
    Ok(Some((stored, lock)))
}

impl Answer {
    fn of(driver: &'static str, locks: bool) -> Self {
        Self {
            driver,
            locked: locks.then_some(0),
            waiting: locks.then_some(0),
            ..Self::default()
        }
    }

    fn count(&mut self, looked: Looked) {
        let (stored, lock) = match looked {
            Ok(Some(looked)) => looked,
            Ok(None) => return,
            Err(_) => {
                self.failed += 1;
                return;
            }
        };
        let info = stored.info();
        self.sessions += 1;
        self.authenticated += u64::from(info.authenticated_at().is_some());
        self.bound += u64::from(info.is_bound());
        *match info.kind() {
            ClientKind::Human => &mut self.humans,
            ClientKind::Bot => &mut self.bots,
            _ => &mut self.unknown,
        } += 1;
        self.saved_once += u64::from(stored.saves() == 1);
        let len = stored.stored_len() as u64;
        self.stored_bytes += len;
        self.largest_bytes = self.largest_bytes.max(len);
        let within = |time| u64::from(stored.expires_in().is_some_and(|left| left <= time));
        self.ending_within_an_hour += within(HOUR);
        self.ending_within_a_day += within(24 * HOUR);
        let age = stored.seen_at().since(info.created_at()).as_secs_f64();
        self.oldest = Some(self.oldest.map_or(age, |oldest| oldest.max(age)));
        if let Some(locked) = &mut self.locked {
            *locked += u64::from(lock.holder.is_some());
        }
        if let Some(waiting) = &mut self.waiting {
            *waiting += lock.waiters.len() as u64;
        }
    }

    fn words(&self) -> String {
        let Self {
            driver, sessions, ..
        } = self;
        let mean = self.stored_bytes.checked_div(*sessions).unwrap_or(0);
        let mut lines = vec![
            format!("{driver}: {sessions} sessions, {} failed", self.failed),
            format!(
                "  of users      {} authenticated, {} of a subject",
                self.authenticated, self.bound
            ),
            format!(
                "  of clients    {} humans, {} bots, {} unknown",
                self.humans, self.bots, self.unknown
            ),
            format!(
                "  stored        {}, {} each, {} the largest; {} stored once only",
                bytes(self.stored_bytes),
                bytes(mean),
                bytes(self.largest_bytes),
                self.saved_once
            ),
            format!(
                "  ending        {} within an hour, {} within a day, if not used again",
                self.ending_within_an_hour, self.ending_within_a_day
            ),
        ];
        if let Some(oldest) = self.oldest {
            let oldest = spelled(Duration::from_secs_f64(oldest));
            lines.push(format!("  oldest        created {oldest} ago"));
        }
        if let (Some(locked), Some(waiting)) = (self.locked, self.waiting) {
            lines.push(format!("  locks         {locked} held, {waiting} wait"));
        }
        lines.join("\n")
    }
}
