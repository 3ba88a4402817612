//! The tester of codecs, tested: every broken codec is caught by the cases that it names, every case
//! on codecs is needed by one, and nothing is caught that is not wrong.

use std::{collections::HashSet, panic, sync::Once, thread};

use asm_testkit::{
    codecs::{CODEC_CASES, CODEC_SENTENCES, CodecCase},
    mutants::codecs::CodecMutant,
};

/// How often a case may look. One that races can miss a flaw on a busy machine.
const TRIES: usize = 5;

#[test]
fn every_codec_mutant_is_caught_by_the_cases_it_names() {
    be_quiet_about_cases();
    let mut caught = 0;
    for mutant in CodecMutant::all() {
        assert!(!mutant.kills.is_empty(), "{} names no case", mutant.name);
        for (module, name) in mutant.kills {
            let dies = (0..TRIES).any(|_| mutant.suite(peak).check(module, name).is_err());
            assert!(dies, "{} survives {module}::{name}", mutant.name);
            caught += 1;
        }
    }
    println!("{caught} times a mutant was caught");
}

#[test]
fn every_case_on_codecs_is_needed_by_a_mutant() {
    let idle: Vec<&CodecCase> = CODEC_CASES
        .iter()
        .filter(|case| CodecMutant::caught_by(case).next().is_none())
        .collect();
    assert!(idle.is_empty(), "no mutant needs {idle:?}");
}

#[test]
fn every_case_on_codecs_passes_when_nothing_is_wrong() {
    for healthy in CodecMutant::healthy() {
        for case in healthy.cases(peak) {
            if let Err(failure) = healthy.suite(peak).check(case.module, case.name) {
                panic!("{case} fails with {}: {failure}", healthy.name);
            }
        }
    }
}

#[test]
fn names_and_sentences_are_whole() {
    let mut names = HashSet::new();
    for mutant in CodecMutant::all().chain(CodecMutant::healthy()) {
        assert!(names.insert(mutant.name), "{} is there twice", mutant.name);
    }
    let mut cases = HashSet::new();
    for case in CODEC_CASES {
        assert!(
            cases.insert((case.module, case.name)),
            "{case} is listed twice"
        );
    }
    for (part, sentence) in CODEC_SENTENCES {
        let has_case = CODEC_CASES.iter().any(|case| case.sentence == *sentence);
        assert!(has_case, "{part}: no case shows \"{sentence}\"");
    }
}

fn peak(run: &mut dyn FnMut()) -> u64 {
    allocation_counter::measure(run).bytes_max
}

/// Cases run on threads of their own, which are named after them; their panics are answers here and
/// no news.
fn be_quiet_about_cases() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let thread = thread::current();
            let of_a_case = |name| CODEC_CASES.iter().any(|case| case.to_string() == name);
            if thread.name().is_some_and(|name| !of_a_case(name)) {
                loud(info);
            }
        }));
    });
}
