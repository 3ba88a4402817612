//! `sweep`, as its user runs it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use asm_core::{Create, Epoch, Key, OpId, Open, Opened, Proof, Proofs, SessionStore, Stamp};
use asm_file::{Durability, FileDriver};
use serde_json::Value;

const OVER: u32 = 300;
const ALIVE: u32 = 5;

fn sweep(root: &Path, args: &[&str]) -> Output {
    let driver = format!("file:{}", root.display());
    sweep_on(&driver, args)
}

fn sweep_on(driver: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asm-demo"));
    command.args(["sweep", "--driver", driver]).args(args);
    command.output().expect("the command starts")
}

/// What it answers as JSON, and its exit code.
fn answer(root: &Path, args: &[&str]) -> (Value, i32) {
    let output = sweep(root, &[args, &["--json"]].concat());
    assert_eq!(stderr(&output), "", "no bar where there is no terminal");
    let answer = serde_json::from_slice(&output.stdout).expect("one object");
    (answer, output.status.code().expect("an exit code"))
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

fn key(session: u32) -> Key {
    Key::from_bytes(
        [(session * 7) as u8, session as u8, (session >> 8) as u8].repeat(6)[..16]
            .try_into()
            .expect("16 bytes"),
    )
}

#[tokio::main(flavor = "current_thread")]
async fn fill(root: &Path) {
    let driver = FileDriver::builder(root)
        .durability(Durability::Atomic)
        .build();
    let driver = driver.expect("a root");
    for session in 0..OVER + ALIVE {
        let req = Create {
            op: OpId::from_bytes([1; 8]),
            resend: false,
            stamp: Stamp {
                epoch: Epoch::new(1),
                proofs: Proofs {
                    current: Proof::from_bytes([1; 16]),
                    pending: None,
                },
            },
            data: "data".into(),
            // Nothing is left of it when it is made.
            ttl: Duration::from_secs(if session < OVER { 0 } else { 3600 }),
            lock: None,
        };
        driver.create(&key(session), req).await.expect("a session");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn alive(root: &Path) -> u32 {
    let driver = FileDriver::open(root).expect("a root");
    let mut alive = 0;
    for session in 0..OVER + ALIVE {
        let opened = driver.open(&key(session), Open { lock: None }).await;
        alive += u32::from(matches!(opened, Ok(Opened::Found { .. })));
    }
    alive
}

#[test]
fn what_is_over_goes_and_the_rest_stays() {
    let root = tempfile::tempdir().expect("a directory");
    fill(root.path());
    let (first, code) = answer(root.path(), &[]);
    assert_eq!(code, 0, "{first}");
    assert_eq!(first["examined"], OVER + ALIVE);
    assert_eq!(first["removed"], OVER);
    assert_eq!(first["failed"], 0);
    assert_eq!(first["next"], Value::Null);
    assert!(
        first["seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
    assert_eq!(alive(root.path()), ALIVE);

    let again = sweep(root.path(), &[]);
    assert_eq!(again.status.code(), Some(0));
    let words = String::from_utf8(again.stdout).expect("UTF-8");
    let expected = format!("{ALIVE} records looked at, 0 sessions removed, 0 failed, in ");
    assert!(words.starts_with(&expected), "{words}");
}

#[test]
fn a_sweep_that_was_ended_early_is_gone_on_with() {
    let root = tempfile::tempdir().expect("a directory");
    fill(root.path());
    let step = ["--batch", "50", "--batches", "1"];
    let (first, code) = answer(root.path(), &step);
    assert_eq!(code, 4, "{first}");
    let mut removed = first["removed"].as_u64().expect("a number");
    assert!(removed > 0 && removed < u64::from(OVER), "{first}");
    let mut next = first["next"].clone();
    let mut steps = 1;
    while let Some(from) = next.as_str() {
        let (more, code) = answer(root.path(), &[&step[..], &["--from", from]].concat());
        assert_eq!(code, if more["next"].is_null() { 0 } else { 4 }, "{more}");
        removed += more["removed"].as_u64().expect("a number");
        next = more["next"].clone();
        steps += 1;
    }
    assert_eq!(removed, u64::from(OVER));
    assert!(steps >= (OVER + ALIVE) / 50, "only {steps} steps");
}

#[test]
fn what_cannot_be_read_is_counted_and_told_by_the_exit_code() {
    let root = tempfile::tempdir().expect("a directory");
    fill(root.path());
    let record = root
        .path()
        .join("ab")
        .join(format!("{}.s", "ab".repeat(16)));
    fs::write(&record, "garbage").expect("written");
    let (swept, code) = answer(root.path(), &[]);
    assert_eq!(code, 1, "{swept}");
    assert_eq!(
        (&swept["removed"], &swept["failed"]),
        (&OVER.into(), &1.into())
    );
    assert!(record.exists(), "what is not ours was removed");
}

#[test]
fn wrong_arguments_are_told_from_what_cannot_be_done() {
    let place = tempfile::tempdir().expect("a directory");
    let nowhere = place.path().join("nowhere");
    let output = sweep(&nowhere, &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("no root"), "{}", stderr(&output));
    assert!(!nowhere.exists(), "it was made");

    let root = place.path().join("root");
    drop(FileDriver::open(&root).expect("a root"));
    let foreign = sweep(&root, &["--from", "00"]);
    assert_eq!(foreign.status.code(), Some(3), "{}", stderr(&foreign));
    for wrong in [["--from", "zz"], ["--batch", "0"], ["--batches", "0"]] {
        assert_eq!(sweep(&root, &wrong).status.code(), Some(2), "{wrong:?}");
    }
    for driver in ["memory", "file:", "nothing"] {
        assert_eq!(sweep_on(driver, &[]).status.code(), Some(2), "{driver}");
    }
}
