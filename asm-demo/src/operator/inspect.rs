//! `inspect`: what there is to know about sessions, and who holds their locks.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use asm_core::{Key, LockState};
use asm_session::{ClientKind, Sessions, StoredSession};
use clap::Parser;
use serde::Serialize;

use super::{Ended, Failure, Target, bytes, handle, run, spelled};

const EXIT_CODES: &str = "Exit codes:
  0  each session is there, and was shown
  1  one is not there, or its life is over
  2  wrong arguments
  3  a session could not be read";

/// Shows what there is to know about sessions, and who holds and who awaits their locks.
///
/// No entry is shown, and nothing that opens a session. Nothing is changed, and nobody waits.
#[derive(Clone, Debug, Parser)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// The sessions, by their handles, as logs show them.
    #[arg(value_name = "HANDLE", required = true)]
    handles: Vec<String>,
}

/// What is printed as JSON. Times are in seconds.
#[derive(Debug, Serialize)]
struct Answer {
    handle: String,
    found: bool,
    #[serde(flatten)]
    session: Option<Stored>,
    lock: Lock,
}

#[derive(Debug, Serialize)]
struct Stored {
    /// Since the Unix epoch.
    created: f64,
    /// Since the Unix epoch; `null` for a session nobody has logged in to.
    authenticated: Option<f64>,
    id_age: f64,
    bound: bool,
    kind: &'static str,
    saves: u64,
    stored_bytes: usize,
    /// `null` when the store lost it.
    expires_in: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Lock {
    holder: Option<Holder>,
    waiters: Vec<Waiter>,
}

#[derive(Debug, Serialize)]
struct Holder {
    fence: u64,
    label: String,
    left: f64,
    /// `false` between a hand-off and the waiter's next call.
    confirmed: bool,
}

#[derive(Debug, Serialize)]
struct Waiter {
    label: String,
    left: f64,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let handles: Vec<_> = arguments.handles.iter().map(|text| handle(text)).collect();
    run("inspect", &arguments.target, async |sessions| {
        let mut ended = Ended::Well;
        for handle in &handles {
            if !inspect(arguments, sessions, *handle).await? {
                ended = Ended::InPart;
            }
        }
        Ok(ended)
    })
}

/// Answers whether it is there.
async fn inspect(arguments: &Arguments, sessions: &Sessions, handle: Key) -> Result<bool, Failure> {
    let session = sessions.by_handle(handle);
    let stored = session.stored().await?;
    let lock = match stored {
        Some(_) => session.inspect().await?,
        None => LockState::default(),
    };
    let words = words(handle, stored.as_ref(), &lock);
    let answer = Answer {
        handle: handle.to_string(),
        found: stored.is_some(),
        session: stored.as_ref().map(Stored::of),
        lock: Lock::of(&lock),
    };
    arguments.target.answers.print(&answer, &words)?;
    Ok(stored.is_some())
}

impl Stored {
    fn of(stored: &StoredSession) -> Self {
        let info = stored.info();
        Self {
            created: seconds(info.created_at().as_micros()),
            authenticated: info.authenticated_at().map(|at| seconds(at.as_micros())),
            id_age: info.id_age().as_secs_f64(),
            bound: info.is_bound(),
            kind: kind(info.kind()),
            saves: stored.saves(),
            stored_bytes: stored.stored_len(),
            expires_in: stored.expires_in().map(|left| left.as_secs_f64()),
        }
    }
}

impl Lock {
    fn of(state: &LockState) -> Self {
        let holder = state.holder.as_ref().map(|holder| Holder {
            fence: holder.fence.get(),
            label: holder.label.as_str().to_owned(),
            left: holder.left.as_secs_f64(),
            confirmed: holder.confirmed,
        });
        let waiters = state.waiters.iter().map(|waiter| Waiter {
            label: waiter.label.as_str().to_owned(),
            left: waiter.left.as_secs_f64(),
        });
        Self {
            holder,
            waiters: waiters.collect(),
        }
    }
}

fn words(handle: Key, stored: Option<&StoredSession>, lock: &LockState) -> String {
    let Some(stored) = stored else {
        return format!("{handle}: there is no such session");
    };
    let (info, now) = (stored.info(), stored.seen_at());
    let mut text = format!("{handle}\n");
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<14}{value}");
    };
    let ago = |since: Duration| format!("{} ago", spelled(since));
    line("created", ago(now.since(info.created_at())));
    let authenticated = info.authenticated_at();
    line(
        "authenticated",
        authenticated.map_or_else(|| "never".into(), |at| ago(now.since(at))),
    );
    line("id made", ago(info.id_age()));
    let left = stored.expires_in().map(spelled);
    line(
        "expires in",
        left.unwrap_or_else(|| "the store lost it".into()),
    );
    let bound = if info.is_bound() { "yes" } else { "no" };
    line("of a subject", bound.into());
    line("client", kind(info.kind()).into());
    let stored_bytes = bytes(stored.stored_len() as u64);
    line(
        "stored",
        format!("{stored_bytes}, {} saves", stored.saves()),
    );
    match &lock.holder {
        None => line("lock", "free".into()),
        Some(holder) => line(
            "lock",
            format!(
                "{} holds it for {} (fence {}{})",
                named(holder.label.as_str()),
                spelled(holder.left),
                holder.fence,
                if holder.confirmed {
                    ""
                } else {
                    ", not taken up yet"
                }
            ),
        ),
    }
    for waiter in &lock.waiters {
        let label = named(waiter.label.as_str());
        line(
            "",
            format!("{label} waits for {} at most", spelled(waiter.left)),
        );
    }
    text.truncate(text.trim_end().len());
    text
}

fn named(label: &str) -> &str {
    match label {
        "" => "somebody",
        label => label,
    }
}

pub(super) const fn kind(kind: ClientKind) -> &'static str {
    match kind {
        ClientKind::Human => "human",
        ClientKind::Bot => "bot",
        _ => "unknown",
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
