//! The table of the contract: sentence, cases, and what each case catches.

use std::fmt::Write as _;

use crate::{
    CASES, CONTRACT, Case, SENTENCES,
    codecs::{CODEC_CASES, CODEC_SENTENCES},
    mutants::{Mutant, codecs::CodecMutant},
};

/// The contract as a page of Markdown: each sentence once, under it the cases that show it, and
/// beside each case the names of the mutants that it catches: broken drivers, and the broken session
/// layers that `layers` tells of.
///
/// ```
/// let page = asm_testkit::contract_table(|_| Vec::new());
/// assert!(page.contains("newcomers_pass_no_queue"));
/// assert!(page.contains("takes_no_memory_for_a_bomb"));
/// ```
#[must_use]
pub fn contract_table(layers: impl Fn(&Case) -> Vec<&'static str>) -> String {
    let mut page = String::from(HEAD);
    let cases = CASES.iter().map(|case| {
        let drivers = Mutant::caught_by(case).map(|mutant| mutant.name);
        let caught = drivers.chain(layers(case)).collect();
        (case.sentence, case.to_string(), caught)
    });
    chapters(&mut page, sentences(), &cases.collect::<Vec<_>>());
    own_tests(&mut page);
    page.push_str(CODECS);
    let cases = CODEC_CASES.iter().map(|case| {
        let caught = CodecMutant::caught_by(case).map(|mutant| mutant.name);
        (case.sentence, case.to_string(), caught.collect())
    });
    let sentences = CODEC_SENTENCES.iter().copied();
    chapters(&mut page, sentences, &cases.collect::<Vec<_>>());
    page
}

/// A case: its sentence, its name, and whom it catches.
type Shown = (&'static str, String, Vec<&'static str>);

/// A chapter for each part, in which each sentence has a table of its cases.
fn chapters(
    page: &mut String,
    sentences: impl Iterator<Item = (&'static str, &'static str)>,
    cases: &[Shown],
) {
    let mut part = "";
    for (module, sentence) in sentences {
        if module != part {
            part = module;
            let _ = write!(page, "\n## {part}\n");
        }
        let _ = write!(page, "\n**{sentence}**\n\n| case | catches |\n|---|---|\n");
        for (_, case, caught) in cases.iter().filter(|(of, ..)| *of == sentence) {
            let caught: Vec<_> = caught.iter().map(|name| format!("`{name}`")).collect();
            let _ = writeln!(page, "| `{case}` | {} |", caught.join(", "));
        }
    }
}

/// The sentences that tests of single crates show.
fn own_tests(page: &mut String) {
    page.push_str(OWN_TESTS);
    for (sentence, tests) in CONTRACT.iter().filter(|(_, tests)| !tests.is_empty()) {
        let _ = write!(page, "\n**{sentence}**\n\n");
        for test in *tests {
            let _ = writeln!(page, "- `{test}`");
        }
    }
}

const HEAD: &str = "\
# The contract

The sentences that every driver and the session layer keep, the cases that show each of them, and
the mutants (broken drivers, and broken session layers) that each case must catch. *Store time*
decides, never the client's. R1 and R2 are two requests, on two handles of one storage. A→B: the id
was regenerated.

With `ASM_CANARIES=1` every case is searched besides: it fails when a secret of a session, a token, an
op id, a proof or 16 bytes of data that passed its drivers show in what its thread logs (TRACE, events
and spans), in an error of a driver with its causes, or in the text with which the case fails.

This page is generated: `ASM_BLESS=1 cargo test -p asm-testkit --test contract`.
";

const OWN_TESTS: &str = "
## beside the cases

What these sentences say is shown, as far as it needs a real server, a killed process or a web layer,
by tests of the crates that have one.
";

const CODECS: &str = "
# Codecs

The sentences that every codec keeps, compressor or seal, with the cases and the broken codecs in the
same way.
";

/// Each sentence once, where it stands first.
fn sentences() -> impl Iterator<Item = (&'static str, &'static str)> {
    let earlier = |place: usize, sentence: &str| {
        SENTENCES[..place]
            .iter()
            .any(|(_, other)| *other == sentence)
    };
    SENTENCES
        .iter()
        .enumerate()
        .filter(move |(place, (_, sentence))| !earlier(*place, sentence))
        .map(|(_, entry)| *entry)
}
