//! The command, as its user runs it.

use std::process::{Command, Output};

use serde_json::Value;

fn race(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asm-demo"));
    command.args(args).output().expect("the command starts")
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
fn nothing_is_lost_but_by_the_mode_that_does_not_look() {
    let rows = rows(&[
        "race",
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

#[test]
fn each_mode_shows_how_it_settles_a_race() {
    let rows = rows(&["--requests", "2000", "--tasks", "12", "--sessions", "1"]);
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
    let (locked, others) = (&rows[0], 11);
    assert!(
        locked["longest_queue"].as_u64() >= Some(others),
        "all but the holder: {locked}"
    );
}

#[test]
fn the_table_has_a_line_for_each_mode() {
    let output = race(&["--requests", "500", "--seed", "7"]);
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
        "race",
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
    let rows = rows(&["--overlap", "9", "--requests", "90", "--mode", "optimistic"]);
    assert_eq!(rows[0]["tasks"], 9);
    assert_eq!(rows[0]["overlap"], 9);
}

#[test]
fn wrong_arguments_are_refused_with_a_reason() {
    let wrong: [(&[&str], &str); 10] = [
        (
            &["race", "--tasks", "4", "--sessions", "4"],
            "--tasks (4) must be more than --sessions (4)",
        ),
        (
            &["--requests", "5", "--tasks", "6"],
            "--requests (5) must be at least --tasks (6)",
        ),
        (&["race", "--tasks", "0"], "--tasks"),
        (&["race", "--tasks", "4000000000"], "100000"),
        (&["race", "--sessions", "-1"], "-1"),
        (&["race", "--requests", "many"], "--requests"),
        (&["race", "--driver", "stone"], "stone"),
        (&["race", "--mode", "hopeful"], "hopeful"),
        (&["race", "--seed", "18446744073709551616"], "--seed"),
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
    for args in [&["race", "--help"] as &[&str], &["--help"]] {
        let output = race(args);
        assert_eq!(output.status.code(), Some(0));
        for word in [
            "--driver",
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
            "off",
        ] {
            assert!(
                stdout(&output).contains(word),
                "{word}: {}",
                stdout(&output)
            );
        }
    }
}
