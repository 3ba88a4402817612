//! Broken session layers: the cases on sessions, tested.
//!
//! A session layer cannot be broken from outside, as a driver can by a layer around it, and a crate
//! that is published has no switches for faults. So a copy of the workspace gets them, all in one
//! build: in the copy every place of the list asks an environment variable which mutant is on. The
//! suite of the driver in memory is built once over that copy, passes with no mutant on, and fails
//! each mutant's cases with that one on.
//!
//! `./test session-mutants` runs it. A case on sessions that no mutant needs, a place that is not
//! found any more, a fault that does not compile, and a mutant that survives fail it.
//!
//! To add a mutant: put it into the table of its part in `mutants`, and look at it with
//! `ASM_SESSION_MUTANT=name` before the suite that the first run has built.

mod mutants;
#[path = "../parallel/mod.rs"]
mod parallel;
mod plant;

use std::{
    collections::HashSet,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use asm_testkit::{CASES, Case, mutants::Mutant as DriverMutant};

use self::{
    mutants::Mutant,
    parallel::in_parallel,
    plant::{SWITCH, planted, root},
};

#[test]
fn every_case_on_sessions_is_needed_by_a_mutant() {
    let idle: Vec<String> = CASES
        .iter()
        .filter(|case| DriverMutant::parts().all(|part| part != case.module))
        .filter(|case| Mutant::caught_by(case).next().is_none())
        .map(ToString::to_string)
        .collect();
    assert!(idle.is_empty(), "no mutant needs {}", idle.join(", "));
}

#[test]
fn every_mutant_names_cases_that_exist() {
    for mutant in Mutant::all() {
        assert!(!mutant.kills.is_empty(), "{} is not caught", mutant.name);
        for (module, case) in mutant.kills {
            let known = Case::named(module, case);
            assert!(known.is_some(), "{} names {module}::{case}", mutant.name);
        }
    }
}

#[test]
fn no_two_mutants_have_one_name() {
    let mut names = HashSet::new();
    let drivers = DriverMutant::all().map(|mutant| mutant.name);
    for name in drivers.chain(Mutant::all().map(|mutant| mutant.name)) {
        assert!(names.insert(name), "{name} is there twice");
    }
}

#[test]
fn every_place_is_found_once() {
    let mut wrong = Vec::new();
    for file in files_with_faults() {
        let path = workspace().join(SOURCES).join(file);
        match fs::read_to_string(path) {
            Ok(source) => wrong.extend(planted(file, &source).err().unwrap_or_default()),
            Err(error) => wrong.push(format!("{file}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "builds the session layer, the kit and a suite once more: ./test session-mutants"]
fn every_mutant_is_caught_by_the_cases_it_names() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("session-mutants");
    let copy = scratch.join("workspace");
    copy_workspace(&copy);
    let suite = build(&copy, &scratch.join("target"));

    let trials: Vec<(&Mutant, String)> = Mutant::all()
        .flat_map(|mutant| {
            let cases = mutant.kills.iter();
            cases.map(move |(module, case)| (mutant, format!("direct::{module}::{case}")))
        })
        .collect();
    let named: HashSet<&str> = trials.iter().map(|(_, case)| case.as_str()).collect();
    let named: Vec<&str> = named.into_iter().collect();
    let sick = in_parallel(&named, |case| {
        let fails = !passes(&suite, case, None);
        fails.then(|| format!("{case} fails with no mutant on"))
    });
    assert!(sick.is_empty(), "{}", sick.join("\n"));

    let survivors = in_parallel(&trials, |(mutant, case)| {
        let survives = (0..TRIES).all(|_| passes(&suite, case, Some(mutant.name)));
        survives.then(|| format!("{} survives {case}: {}", mutant.name, mutant.flaw.trim()))
    });
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
    let mutants = Mutant::all().count();
    println!("{mutants} mutants, {} times one was caught", trials.len());
}

/// How often a case may look. One that races can miss a flaw on a busy machine.
const TRIES: usize = 5;

/// Where the places of the list are.
const SOURCES: &str = "asm-session/src";

fn workspace() -> &'static Path {
    let crate_of_the_kit = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_of_the_kit.parent().expect("a workspace around it")
}

fn files_with_faults() -> HashSet<&'static str> {
    let places = Mutant::all().flat_map(|mutant| mutant.places);
    places.map(|place| place.file).collect()
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
    let content = with_faults(from, fs::read(from)?);
    match fs::read(to) {
        Ok(old) if old == content => Ok(()),
        _ => fs::write(to, content),
    }
}

fn with_faults(path: &Path, content: Vec<u8>) -> Vec<u8> {
    let Ok(file) = path.strip_prefix(workspace().join(SOURCES)) else {
        return content;
    };
    let file = file.to_string_lossy();
    let source = String::from_utf8(content).expect("a source");
    let planted = planted(&file, &source).unwrap_or_else(|wrong| panic!("{}", wrong.join("\n")));
    match &*file {
        "lib.rs" => root(&planted).into_bytes(),
        _ => planted.into_bytes(),
    }
}

/// The suite of the driver in memory over the copy.
fn build(copy: &Path, target: &Path) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["test", "--package", "asm-memory", "--test", "conformance"])
        .args([
            "--no-run",
            "--locked",
            "--message-format",
            "json-render-diagnostics",
        ])
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
