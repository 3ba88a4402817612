//! The table of the contract: sentence, cases, and what each case catches.

use std::fmt::Write as _;

use crate::{CASES, Case, SENTENCES};

/// The contract as a page of Markdown: each sentence once, under it the cases that show it, and
/// beside each case the names that `caught_by` tells: the mutants that it catches.
///
/// ```
/// let page = asm_testkit::contract_table(|_| Vec::new());
/// assert!(page.contains("newcomers_pass_no_queue"));
/// ```
#[must_use]
pub fn contract_table(caught_by: impl Fn(&Case) -> Vec<&'static str>) -> String {
    let mut page = String::from(HEAD);
    let mut part = "";
    for (module, sentence) in sentences() {
        if module != part {
            part = module;
            let _ = write!(page, "\n## {part}\n");
        }
        let _ = write!(page, "\n**{sentence}**\n\n| case | catches |\n|---|---|\n");
        for case in CASES.iter().filter(|case| case.sentence == sentence) {
            let caught: Vec<_> = caught_by(case)
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            let _ = writeln!(page, "| `{case}` | {} |", caught.join(", "));
        }
    }
    page
}

const HEAD: &str = "\
# The contract

The sentences that every driver keeps, the cases that show each of them, and the mutants (broken
drivers of this kit) that each case must catch. *Store time* decides, never the client's. R1 and R2
are two requests, on two handles of one storage. Where a sentence also speaks of the session layer,
the cases here show the driver's part.

This page is generated: `ASM_BLESS=1 cargo test -p asm-testkit --test contract`.
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
