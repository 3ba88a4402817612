//! The command, as its user runs it.

use std::process::{Command, Output};

use serde_json::Value;

fn race(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asm-demo"));
    command
        .arg("race")
        .args(args)
        .output()
        .expect("the command starts")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

/// The rows of a run that must end well.
fn rows(args: &[&str]) -> Vec<Value> {
    let output = race(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "", "no bar where there is no terminal");
    let lines = stdout(&output).lines();
    lines
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect()
}

#[test]
fn the_raw_driver_loses_nothing_but_where_nobody_looks() {
    let rows = rows(&[
        "--raw",
        "--requests",
        "4000",
        "--tasks",
        "16",
        "--sessions",
        "3",
    ]);
    let modes: Vec<_> = rows
        .iter()
        .map(|row| row["mode"].as_str().unwrap())
        .collect();
    assert_eq!(modes, ["locked", "optimistic", "mixed", "lockless", "off"]);
    for row in &rows {
        let figure = |name: &str| {
            row[name]
                .as_u64()
                .unwrap_or_else(|| panic!("{name}: {row}"))
        };
        assert_eq!(row["driver"], "memory", "{row}");
        assert_eq!(figure("requests"), 4000, "{row}");
        assert_eq!(figure("acknowledged"), 4000, "{row}");
        assert_eq!(figure("expected"), 4000, "{row}");
        assert_eq!(
            figure("expected"),
            figure("found") + figure("lost"),
            "{row}"
        );
        assert_eq!(figure("overlap"), 16, "{row}");
        assert_eq!(figure("lost") > 0, row["mode"] == "off", "{row}");
    }
}

/// Checks the rows of a race through sessions, all modes and two ways to write.
fn check_sessions(rows: &[Value], driver: &str, requests: u64, tasks: u64) {
    let modes = ["optimistic", "on-write", "on-open", "manual", "off"];
    let expected: Vec<_> = modes
        .iter()
        .flat_map(|mode| [(*mode, "insert"), (*mode, "add")])
        .collect();
    let named: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["mode"].as_str().unwrap(),
                row["write"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(named, expected);
    for row in rows {
        assert_eq!(row["driver"], driver, "{row}");
        assert_eq!(row["acknowledged"], requests, "{row}");
        assert_eq!(row["overlap"], tasks, "{row}");
        let lost = row["lost"].as_u64().unwrap();
        assert_eq!(lost > 0, row["mode"] == "off", "{row}");
        let found = row["found"].as_u64().unwrap();
        assert_eq!(found + lost, requests, "{row}");
    }
}

#[test]
fn sessions_lose_nothing_but_with_locking_off() {
    let args = [
        "--requests",
        "1000",
        "--write",
        "insert,add",
        "--tasks",
        "16",
    ];
    check_sessions(&rows(&args), "memory", 1000, 16);
}

#[test]
fn processes_that_share_files_lose_nothing_but_with_locking_off() {
    let root = tempfile::tempdir().expect("a directory");
    let driver = format!("file:{}", root.path().display());
    let args = [
        "--driver",
        &driver,
        "--processes",
        "4",
        "--requests",
        "160",
        "--tasks",
        "8",
        "--sessions",
        "2",
        "--write",
        "insert,add",
    ];
    let rows = rows(&args);
    check_sessions(&rows, &driver, 160, 8);
    assert!(rows.iter().all(|row| row["processes"] == 4));
}

#[test]
fn transactions_and_closures_lose_nothing() {
    let args = ["--mode", "optimistic,on-open", "--write", "update,transact"];
    let rows = rows(&[&args[..], &["--requests", "1000"]].concat());
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row["lost"] == 0), "{rows:?}");
}

#[test]
fn each_mode_shows_how_it_settles_a_race() {
    let rows = rows(&[
        "--raw",
        "--requests",
        "2000",
        "--tasks",
        "12",
        "--sessions",
        "1",
    ]);
    for row in &rows {
        let mode = row["mode"].as_str().unwrap();
        let waits = row["longest_queue"].as_u64().unwrap() > 0;
        let conflicts = row["conflicts"].as_u64().unwrap() > 0;
        assert_eq!(waits, ["locked", "mixed"].contains(&mode), "{row}");
        assert_eq!(waits, row["wait_p50_us"].is_u64(), "{row}");
        assert!(waits || row["wait_p99_us"].is_null(), "{row}");
        match mode {
            "optimistic" | "off" => assert!(conflicts, "{row}"),
            "locked" | "lockless" => assert!(!conflicts, "{row}"),
            _ => {}
        }
    }
}

#[test]
fn the_table_has_a_line_for_each_mode() {
    let output = race(&["--raw", "--requests", "500", "--seed", "7"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.starts_with("driver memory, 32 tasks in 4 sessions, seed 7\n"),
        "{text}"
    );
    for title in [
        "mode",
        "requests",
        "acknowledged",
        "expected",
        "found",
        "lost",
        "conflicts",
    ] {
        assert!(text.contains(&format!("| {title} ")), "{title}: {text}");
    }
    for mode in ["locked", "optimistic", "mixed", "lockless", "off"] {
        assert_eq!(
            text.matches(&format!("\n| {mode} ")).count(),
            1,
            "{mode}: {text}"
        );
    }
}

#[test]
fn modes_can_be_chosen_and_run_once_in_their_order() {
    let rows = rows(&[
        "--raw",
        "--requests",
        "100",
        "--mode",
        "mixed,locked",
        "--mode=mixed",
    ]);
    let modes: Vec<_> = rows
        .iter()
        .map(|row| row["mode"].as_str().unwrap())
        .collect();
    assert_eq!(modes, ["locked", "mixed"]);
}

#[test]
fn overlap_is_another_word_for_tasks() {
    let rows = rows(&[
        "--overlap",
        "9",
        "--requests",
        "90",
        "--mode",
        "optimistic",
        "--write",
        "add",
    ]);
    assert_eq!(rows[0]["tasks"], 9);
    assert_eq!(rows[0]["overlap"], 9);
}

#[test]
fn wrong_arguments_are_refused_with_a_reason() {
    let wrong: [(&[&str], &str); 16] = [
        (
            &["--tasks", "4", "--sessions", "4"],
            "--tasks (4) must be more than --sessions (4)",
        ),
        (
            &["--requests", "5", "--tasks", "6"],
            "--requests (5) must be at least --tasks (6)",
        ),
        (
            &["--mode", "locked"],
            "--mode locked is there only with --raw",
        ),
        (
            &["--raw", "--mode", "on-open"],
            "--mode on-open is there only without --raw",
        ),
        (&["--raw", "--write", "add"], "--write"),
        (
            &["--processes", "2"],
            "--processes (2) cannot share the memory of one",
        ),
        (
            &["--driver", "file:x", "--processes", "33"],
            "--processes (33) must be at most --tasks (32)",
        ),
        (&["--driver", "file:"], "file:PATH"),
        (&["--tasks", "0"], "--tasks"),
        (&["--tasks", "4000000000"], "100000"),
        (&["--sessions", "-1"], "-1"),
        (&["--requests", "many"], "--requests"),
        (
            &["--driver", "stone"],
            "--driver <DRIVER>: a driver is `memory`",
        ),
        (&["--mode", "hopeful"], "hopeful"),
        (&["--seed", "18446744073709551616"], "--seed"),
        (&["walk"], "walk"),
    ];
    for (args, reason) in wrong {
        let output = race(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
        assert!(
            stderr(&output).contains(reason),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("--help"),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn help_names_all_there_is_to_choose() {
    for args in [&["--help"] as &[&str], &["--help"]] {
        let output = race(args);
        assert_eq!(output.status.code(), Some(0));
        for word in [
            "--driver",
            "--processes",
            "--raw",
            "--write",
            "--mode",
            "--requests",
            "--sessions",
            "--tasks",
            "--overlap",
            "--json",
            "--seed",
            "Exit codes",
            "memory",
            "locked",
            "optimistic",
            "mixed",
            "lockless",
            "on-write",
            "on-open",
            "manual",
            "off",
            "file:PATH",
        ] {
            assert!(
                stdout(&output).contains(word),
                "{word}: {}",
                stdout(&output)
            );
        }
    }
}
