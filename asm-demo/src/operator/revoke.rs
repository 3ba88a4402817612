//! `revoke`: ends sessions, for everybody and at once.

use std::{fs, path::PathBuf, process::ExitCode};

use asm_core::Key;
use asm_session::{Sessions, SessionsBuilder};
use clap::{ArgGroup, Parser};
use serde::Serialize;

use super::{Consent, Ended, Failure, NOTHING_DONE, Target, handle, run_with, wrong};

const EXIT_CODES: &str = "Exit codes:
  0  all of them are over
  1  one of them was over before, or there was none; or you did not want it
  2  wrong arguments
  3  the store failed; some may live";

/// Ends sessions, for everybody and at once: their users are logged out, and no request that still
/// runs brings them back.
#[derive(Clone, Debug, Parser)]
#[command(after_help = EXIT_CODES)]
#[command(group = ArgGroup::new("whose").required(true).args(["handles", "subject"]))]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    consent: Consent,

    /// The sessions, by their handles.
    #[arg(value_name = "HANDLE")]
    handles: Vec<String>,

    /// All sessions of this subject, as the application names it: `user:42`, say.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,

    /// All but this one.
    #[arg(long, value_name = "HANDLE", requires = "subject")]
    keep: Option<String>,

    /// The file with the application's key for the names of subjects: 64 hex digits.
    #[arg(long, value_name = "FILE", requires = "subject")]
    subject_key: Option<PathBuf>,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Answer {
    /// One session; `null` when those of a subject were meant.
    handle: Option<String>,
    /// Sessions that are over by this.
    revoked: usize,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let named: Vec<Key> = arguments.handles.iter().map(|text| handle(text)).collect();
    let keep = arguments.keep.as_deref().map(handle);
    let key = arguments.subject_key.as_deref().map(subject_key);
    let keyed = |builder: SessionsBuilder| match &key {
        Some(key) => builder.subject_key(key),
        None => builder,
    };
    run_with(
        "revoke",
        &arguments.target,
        keyed,
        async |sessions: &Sessions| {
            let question = match &arguments.subject {
                Some(_) if keep.is_some() => "End all sessions of the subject but one".to_owned(),
                Some(_) => "End all sessions of the subject".to_owned(),
                None => format!("End {} sessions", named.len()),
            };
            if !arguments.consent.to(&question)? {
                let nothing = Answer {
                    handle: None,
                    revoked: 0,
                };
                arguments.target.answers.print(&nothing, NOTHING_DONE)?;
                return Ok(Ended::InPart);
            }
            match &arguments.subject {
                Some(name) => of_subject(arguments, sessions, name, keep).await,
                None => each(arguments, sessions, &named).await,
            }
        },
    )
}

async fn each(arguments: &Arguments, sessions: &Sessions, named: &[Key]) -> Result<Ended, Failure> {
    let mut ended = Ended::Well;
    for handle in named {
        let revoked = sessions.by_handle(*handle).delete().await?;
        let words = match revoked {
            true => format!("{handle} is over"),
            false => format!("{handle}: there is no such session"),
        };
        let answer = Answer {
            handle: Some(handle.to_string()),
            revoked: usize::from(revoked),
        };
        arguments.target.answers.print(&answer, &words)?;
        if !revoked {
            ended = Ended::InPart;
        }
    }
    Ok(ended)
}

async fn of_subject(
    arguments: &Arguments,
    sessions: &Sessions,
    name: &str,
    keep: Option<Key>,
) -> Result<Ended, Failure> {
    let subject = sessions.subject(name);
    let revoked = match keep {
        Some(keep) => subject.revoke_others(keep).await?,
        None => subject.revoke_all().await?,
    };
    let answer = Answer {
        handle: None,
        revoked,
    };
    let words = format!("{revoked} sessions of the subject are over");
    arguments.target.answers.print(&answer, &words)?;
    Ok(if revoked > 0 {
        Ended::Well
    } else {
        Ended::InPart
    })
}

/// Ends the process when the file holds no key.
fn subject_key(file: &std::path::Path) -> [u8; 32] {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => wrong(&format!("{}: {error}", file.display())),
    };
    let halves = text
        .trim()
        .split_at_checked(32)
        .and_then(|(first, second)| {
            let halves = (Key::from_hex(first)?, Key::from_hex(second)?);
            Some(halves)
        });
    let Some((first, second)) = halves else {
        wrong(&format!(
            "{}: this is no key of 64 hex digits",
            file.display()
        ))
    };
    let mut key = [0; 32];
    key[..16].copy_from_slice(first.as_bytes());
    key[16..].copy_from_slice(second.as_bytes());
    key
}
