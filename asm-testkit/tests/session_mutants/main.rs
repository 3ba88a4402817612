//! Broken session layers: the cases on sessions, tested.
//!
//! A session layer cannot be broken from outside, as a driver can by a layer around it, and a crate
//! that is published has no switches for faults. So a copy of the workspace gets them, all in one
//! build: in the copy every place of the table asks an environment variable which mutant is on. The
//! suite of the driver in memory is built once over that copy, passes with no mutant on, and fails
//! each mutant's cases with that one on.
//!
//! `./test session-mutants` runs it. A place that is not found any more, a fault that does not
//! compile, and a mutant that survives fail it.

mod table;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use asm_testkit::Case;

use self::table::{EDITS, MUTANTS};

#[test]
fn every_mutant_names_cases_that_exist_and_is_put_somewhere() {
    for mutant in MUTANTS {
        assert!(!mutant.kills.is_empty(), "{} is not caught", mutant.name);
        for (module, case) in mutant.kills {
            let known = Case::named(module, case);
            assert!(known.is_some(), "{} names {module}::{case}", mutant.name);
        }
        let switch = format!("mutated(\"{}\")", mutant.name);
        let placed = EDITS.iter().any(|edit| edit.new.contains(&switch));
        assert!(placed, "{} is nowhere", mutant.name);
    }
}

#[test]
fn every_place_is_found_once() {
    for edit in EDITS {
        let source = fs::read_to_string(workspace().join(SOURCES).join(edit.file));
        let found = source.expect("a source").matches(edit.old).count();
        assert_eq!(found, 1, "{}: {}", edit.file, edit.old);
    }
}

#[test]
#[ignore = "builds the session layer, the kit and a suite once more: ./test session-mutants"]
fn every_mutant_is_caught() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("session-mutants");
    let copy = scratch.join("workspace");
    copy_workspace(&copy);
    for edit in EDITS {
        plant(&copy, edit);
    }
    let suite = build(&copy, &scratch.join("target"));

    let mut wrong = Vec::new();
    for mutant in MUTANTS {
        for (module, case) in mutant.kills {
            let case = format!("direct::{module}::{case}");
            if !passes(&suite, &case, None) {
                wrong.push(format!("{case} fails with no mutant on"));
            } else if passes(&suite, &case, Some(mutant.name)) {
                wrong.push(format!("{case} passes with {}", mutant.name));
            }
        }
        println!("{}: {} cases", mutant.name, mutant.kills.len());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Where the places of the table are.
const SOURCES: &str = "asm-session/src";

/// Which mutant is on.
const SWITCH: &str = "ASM_SESSION_MUTANT";

fn workspace() -> &'static Path {
    let crate_of_the_kit = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_of_the_kit.parent().expect("a workspace around it")
}

/// What is the same already is not written again, so that it is not built again.
fn copy_workspace(to: &Path) {
    for entry in fs::read_dir(workspace()).expect("the workspace") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        let is_crate = name.to_string_lossy().starts_with("asm-");
        let is_manifest = ["Cargo.toml", "Cargo.lock"].iter().any(|it| name == *it);
        if is_crate || is_manifest {
            copy(&entry.path(), &to.join(name)).expect("a copy");
        }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_name() != "target" {
                copy(&entry.path(), &to.join(entry.file_name()))?;
            }
        }
        return Ok(());
    }
    let planted = EDITS
        .iter()
        .any(|edit| from.ends_with(Path::new(SOURCES).join(edit.file)));
    let content = fs::read(from)?;
    if planted || from.ends_with(Path::new(SOURCES).join("lib.rs")) {
        let source = String::from_utf8_lossy(&content);
        return fs::write(to, with_switch(&source, from.ends_with("lib.rs")));
    }
    match fs::read(to) {
        Ok(old) if old == content => Ok(()),
        _ => fs::write(to, content),
    }
}

/// A source in which places may ask which mutant is on. Behind everything else, because the head of
/// a file is for its documentation.
fn with_switch(source: &str, is_root: bool) -> String {
    let switch = if is_root {
        format!(
            "\npub(crate) fn mutated(name: &str) -> bool {{\n    \
             std::env::var(\"{SWITCH}\").is_ok_and(|on| on == name)\n}}\n"
        )
    } else {
        "\nuse crate::mutated;\n".to_owned()
    };
    format!("{source}{switch}")
}

fn plant(copy: &Path, edit: &table::Edit) {
    let path = copy.join(SOURCES).join(edit.file);
    let source = fs::read_to_string(&path).expect("a source");
    assert_eq!(source.matches(edit.old).count(), 1, "{}", edit.old);
    fs::write(&path, source.replace(edit.old, edit.new)).expect("a place to write to");
}

/// The suite of the driver in memory over the copy.
fn build(copy: &Path, target: &Path) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["test", "--package", "asm-memory", "--test", "conformance"])
        .args(["--no-run", "--locked", "--message-format", "json"])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_PROFILE_TEST_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo");
    assert!(built.status.success(), "a mutant does not compile");
    let messages = String::from_utf8_lossy(&built.stdout);
    let path = messages
        .lines()
        .filter(|line| line.contains("\"kind\":[\"test\"]"))
        .find_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next())
        .expect("the suite");
    PathBuf::from(path)
}

fn passes(suite: &Path, case: &str, mutant: Option<&str>) -> bool {
    let mut run = Command::new(suite);
    run.args([case, "--exact"]).env_remove(SWITCH);
    if let Some(name) = mutant {
        run.env(SWITCH, name);
    }
    let run = run.env("RUST_BACKTRACE", "0").output().expect("the suite");
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(told.contains("running 1 test"), "{case} is not there");
    run.status.success()
}
