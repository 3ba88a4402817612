//! What cases expect of an answer, with a message that tells what came instead.
//!
//! The answers' `Debug` shows no secret, and so no message does.

use std::fmt::Debug;

use asm_core::{
    Acquired, Broken, ChangeStream, Created, Error, ErrorKind, Fence, FieldFound, FieldValue,
    FieldWritten, Opened, OpenedLock, Renewed, Result, Snapshot, Subscribed, Touched, Version,
    Written,
};
use std::time::Duration;

/// The record of a session that should be there, the lock not asked for.
#[track_caller]
pub fn found(opened: Result<Opened>) -> Snapshot {
    match opened {
        Ok(Opened::Found {
            snapshot,
            lock: OpenedLock::NotAsked,
        }) => snapshot,
        other => wrong("a record, no lock asked for", &other),
    }
}

/// The record of a session that should be there, and what became of the wish for its lock.
#[track_caller]
pub fn found_with(opened: Result<Opened>) -> (Snapshot, OpenedLock) {
    match opened {
        Ok(Opened::Found { snapshot, lock }) => (snapshot, lock),
        other => wrong("a record", &other),
    }
}

/// That there is no such session.
#[track_caller]
pub fn missing(opened: Result<Opened>) {
    match opened {
        Ok(Opened::Missing) => {}
        other => wrong("Missing", &other),
    }
}

/// The version of a create that should have worked.
#[track_caller]
pub fn created(created: Result<Created>) -> Version {
    match created {
        Ok(Created::Done { version, .. }) => version,
        other => wrong("a created record", &other),
    }
}

/// The grant of a create that should have worked and been born locked.
#[track_caller]
pub fn born_locked(created: Result<Created>) -> Fence {
    match created {
        Ok(Created::Done {
            fence: Some(fence), ..
        }) => fence,
        other => wrong("a created record with its lock", &other),
    }
}

/// The version of a save that should have worked.
#[track_caller]
pub fn written(written: Result<Written>) -> Version {
    match written {
        Ok(Written::Done { version, .. }) => version,
        other => wrong("a saved record", &other),
    }
}

/// The record that somebody else wrote.
#[track_caller]
pub fn conflict(written: Result<Written>) -> Snapshot {
    match written {
        Ok(Written::Conflict(snapshot)) => snapshot,
        other => wrong("Conflict", &other),
    }
}

/// What is left of a lifetime after a touch that should have worked.
#[track_caller]
pub fn touched(touched: Result<Touched>) -> Duration {
    match touched {
        Ok(Touched::Done { left, .. }) => left,
        other => wrong("a touched record", &other),
    }
}

/// The grant of an acquire that should have worked.
#[track_caller]
pub fn held(acquired: Result<Acquired>) -> Fence {
    held_with(acquired).0
}

/// The grant of an acquire that should have worked, and the record that came with it.
#[track_caller]
pub fn held_with(acquired: Result<Acquired>) -> (Fence, Option<Snapshot>) {
    match acquired {
        Ok(Acquired::Held { fence, snapshot }) => (fence, snapshot),
        other => wrong("the lock", &other),
    }
}

/// What is left of a grant after a renewal that should have worked.
#[track_caller]
pub fn renewed(renewed: Result<Renewed>) -> Duration {
    match renewed {
        Ok(Renewed::Done { left }) => left,
        other => wrong("a renewed grant", &other),
    }
}

/// The grant that a break should have ended.
#[track_caller]
pub fn broken(broken: Result<Broken>) -> Fence {
    match broken {
        Ok(Broken::Done { fence, .. }) => fence,
        other => wrong("a broken grant", &other),
    }
}

/// The value of a field that should be there.
#[track_caller]
pub fn value(found: Result<FieldFound>) -> FieldValue {
    match found {
        Ok(FieldFound::Value(value)) => value,
        other => wrong("a field's value", &other),
    }
}

/// The number that an increment should have made.
#[track_caller]
pub fn number(written: Result<FieldWritten>) -> i64 {
    match written {
        Ok(FieldWritten::Number(number)) => number,
        other => wrong("a number", &other),
    }
}

/// The stream of a subscription that should have worked.
#[track_caller]
pub fn live(subscribed: Result<Subscribed>) -> ChangeStream {
    match subscribed {
        Ok(Subscribed::Live(stream)) => stream,
        other => wrong("a stream of changes", &other),
    }
}

/// This answer and no other.
#[track_caller]
pub fn exactly<T: Debug + PartialEq>(answer: Result<T>, expected: &T) {
    match answer {
        Ok(answer) if answer == *expected => {}
        other => wrong(&format!("{expected:?}"), &other),
    }
}

/// A failure of this kind.
#[track_caller]
pub fn failure<T: Debug>(answer: Result<T>, kind: ErrorKind) -> Error {
    match answer {
        Err(error) if error.kind() == kind => error,
        other => wrong(&format!("the error \"{kind}\""), &other),
    }
}

/// A part of a whole, or nothing if the driver cannot tell.
#[track_caller]
pub fn part(progress: Option<f64>) {
    if progress.is_some_and(|part| !(0.0..=1.0).contains(&part)) {
        wrong("a part from 0 to 1", &progress);
    }
}

#[track_caller]
fn wrong(expected: &str, answer: &impl Debug) -> ! {
    panic!("expected {expected}, and the answer was {answer:?}");
}
