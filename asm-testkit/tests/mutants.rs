//! The tester, tested: every mutant is caught by the cases that it names, every case on drivers is
//! needed by a mutant, and nothing is caught that is not wrong.

mod parallel;

use std::{collections::HashSet, panic, sync::Once, thread, time::Duration};

use asm_testkit::{CASES, Case, Way, mutants::Mutant};

use self::parallel::in_parallel;

/// How long a case may take when nothing is wrong. Some do much, and machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a case may look. One that races can miss a flaw on a busy machine.
const TRIES: usize = 5;

#[test]
fn every_mutant_is_caught_by_the_cases_it_names() {
    let trials: Vec<(&Mutant, &Case)> = Mutant::all()
        .flat_map(|mutant| mutant.killers().map(move |case| (mutant, case)))
        .collect();
    be_quiet_about_cases();
    let survivors = in_parallel(&trials, |(mutant, case)| {
        let caught = (0..TRIES).any(|_| mutant.suite().check(Way::Direct, case).is_err());
        (!caught).then(|| format!("{} survives {case}", mutant.name))
    });
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
    println!("{} times a mutant was caught", trials.len());
}

#[test]
fn every_mutant_is_caught_by_some_case() {
    for mutant in Mutant::all() {
        assert!(!mutant.kills.is_empty(), "{} names no case", mutant.name);
    }
}

#[test]
fn every_case_is_needed_by_a_mutant() {
    let idle: Vec<String> = CASES
        .iter()
        .filter(|case| Mutant::parts().any(|part| part == case.module))
        .filter(|case| Mutant::caught_by(case).next().is_none())
        .map(ToString::to_string)
        .collect();
    assert!(idle.is_empty(), "no mutant needs {}", idle.join(", "));
}

#[test]
fn every_case_passes_when_nothing_is_wrong() {
    let trials: Vec<(&Mutant, &Case)> = Mutant::healthy()
        .flat_map(|healthy| healthy.cases().map(move |case| (healthy, case)))
        .collect();
    be_quiet_about_cases();
    let failures = in_parallel(&trials, |(healthy, case)| {
        let suite = healthy.suite().patience(PATIENCE);
        let failure = suite.check(Way::Direct, case).err()?;
        Some(format!("{case} fails with {}: {failure}", healthy.name))
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn no_two_mutants_have_one_name() {
    let mut names = HashSet::new();
    for mutant in Mutant::all().chain(Mutant::healthy()) {
        assert!(names.insert(mutant.name), "{} is there twice", mutant.name);
    }
}

/// Cases run on threads of their own, which are named after them; their panics are answers here and
/// no news.
fn be_quiet_about_cases() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let ours = thread::current().name().is_some_and(|name| {
                CASES.iter().any(|case| case.to_string() == name) || name == "tokio-rt-worker"
            });
            if !ours {
                loud(info);
            }
        }));
    });
}
