//! `unlock`: ends a grant of a session's lock by force.

use std::process::ExitCode;

use asm_core::{Broken, Fence};
use asm_session::Sessions;
use clap::Parser;
use serde::Serialize;

use super::{Consent, Ended, Failure, NOTHING_DONE, Target, handle, run};

const EXIT_CODES: &str = "Exit codes:
  0  the lock is free, or the next one's who waited
  1  nobody held it, or not by that grant; or you did not want it
  2  wrong arguments
  3  the store failed";

/// Ends a grant of a session's lock by force.
///
/// Its holder writes nothing any more: the next save answers that the lock was lost. Whoever waits
/// first gets it.
#[derive(Clone, Debug, Parser)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    consent: Consent,

    /// The session, by its handle.
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// End this grant alone, as `inspect` numbers it, and none that came after it. [default:
    /// whichever there is]
    #[arg(long, value_name = "NUMBER")]
    fence: Option<u64>,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Answer {
    handle: String,
    broken: bool,
    fence: Option<u64>,
    label: Option<String>,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let handle = handle(&arguments.handle);
    run("unlock", &arguments.target, async |sessions: &Sessions| {
        let question = format!("End the lock of {handle} by force");
        let broken = match arguments.consent.to(&question)? {
            true => {
                let fence = arguments.fence.map(Fence::new);
                sessions.by_handle(handle).break_lock(fence).await?
            }
            false => return refused(arguments, handle.to_string()),
        };
        let (answer, words) = match broken {
            Broken::Done { fence, label } => {
                let words = format!("the grant {fence} of {:?} is over", label.as_str());
                let answer = Answer {
                    handle: handle.to_string(),
                    broken: true,
                    fence: Some(fence.get()),
                    label: Some(label.as_str().to_owned()),
                };
                (answer, words)
            }
            _ => (
                Answer::none(handle.to_string()),
                "there is no such grant".into(),
            ),
        };
        arguments.target.answers.print(&answer, &words)?;
        Ok(if answer.broken {
            Ended::Well
        } else {
            Ended::InPart
        })
    })
}

fn refused(arguments: &Arguments, handle: String) -> Result<Ended, Failure> {
    let answer = Answer::none(handle);
    arguments.target.answers.print(&answer, NOTHING_DONE)?;
    Ok(Ended::InPart)
}

impl Answer {
    const fn none(handle: String) -> Self {
        Self {
            handle,
            broken: false,
            fence: None,
            label: None,
        }
    }
}
