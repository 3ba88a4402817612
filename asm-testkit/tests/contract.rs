//! The list of cases is whole, and `CONTRACT.md` shows it.

#[path = "session_mutants/mutants/mod.rs"]
#[allow(dead_code, reason = "only names are shown here")]
mod mutants;
#[path = "own_tests/mod.rs"]
mod own_tests;

use std::{collections::HashSet, env, fs, path::Path};

use asm_testkit::{CASES, CONTRACT, SENTENCES, contract_table};

use self::mutants::Mutant as SessionMutant;

#[test]
fn every_sentence_is_shown() {
    for (sentence, own_tests) in CONTRACT {
        let is_shown = CASES.iter().any(|case| case.sentence == *sentence);
        assert!(
            is_shown || !own_tests.is_empty(),
            "nothing shows \"{sentence}\""
        );
    }
}

#[test]
fn every_case_shows_a_sentence() {
    for (part, sentence) in SENTENCES {
        assert!(
            CONTRACT.iter().any(|(known, _)| known == sentence),
            "{part}: the contract has no sentence \"{sentence}\""
        );
        assert!(
            CASES.iter().any(|case| case.sentence == *sentence),
            "{part}: no case shows \"{sentence}\""
        );
    }
    let sentences: HashSet<_> = CONTRACT.iter().map(|(sentence, _)| sentence).collect();
    assert_eq!(sentences.len(), CONTRACT.len(), "a sentence is there twice");
}

#[test]
fn every_test_that_shows_a_sentence_is_there() {
    for test in CONTRACT.iter().flat_map(|(_, tests)| *tests) {
        own_tests::is_there(test);
    }
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut seen = HashSet::new();
    for case in CASES {
        assert!(
            seen.insert((case.module, case.name)),
            "{case} is listed twice"
        );
    }
    assert!(
        seen.len() > 100,
        "the list of cases has shrunk to {}",
        seen.len()
    );
}

#[test]
fn the_page_shows_the_list() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONTRACT.md");
    let table = contract_table(|case| {
        let layers = SessionMutant::caught_by(case);
        layers.map(|mutant| mutant.name).collect()
    });
    if env::var_os("ASM_BLESS").is_some() {
        fs::write(&page, &table).expect("a page that can be written");
    }
    let shown = fs::read_to_string(&page).unwrap_or_default();
    assert!(
        shown == table,
        "CONTRACT.md is out of date: ASM_BLESS=1 cargo test -p asm-testkit --test contract"
    );
}
