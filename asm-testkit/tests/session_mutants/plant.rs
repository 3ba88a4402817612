//! Puts the faults of all mutants into a source, so that one build has them all.

use std::{cmp::Reverse, fmt::Write as _, ops::Range};

use crate::mutants::{Mutant, Place};

/// Which mutant is on.
pub(crate) const SWITCH: &str = "ASM_SESSION_MUTANT";

/// The root module of the sources, which tells the others which mutant is on. What is said of their
/// style does not count here.
pub(crate) fn root(source: &str) -> String {
    format!(
        r#"#![allow(warnings, unused_qualifications)]
{source}
pub(crate) fn mutated() -> &'static str {{
    static NAME: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| std::env::var("{SWITCH}").unwrap_or_default());
    &NAME
}}
"#
    )
}

/// This source with the faults of all mutants in it, each of which is on when its mutant is.
///
/// # Errors
/// The places that are not there, not there once, or in the way of each other.
pub(crate) fn planted(file: &str, source: &str) -> Result<String, Vec<String>> {
    let (mut faults, mut wrong) = (Vec::new(), Vec::new());
    for mutant in Mutant::all() {
        for place in mutant.places.iter().filter(|place| place.file == file) {
            match Fault::of(mutant, place, source) {
                Ok(fault) => faults.push(fault),
                Err(why) => wrong.push(why),
            }
        }
    }
    // The outer ones before those that lie in them.
    faults.sort_by_key(|fault| (fault.at.start, Reverse(fault.at.end)));
    let planted = with(&faults, source, 0..source.len());
    match planted {
        Ok(planted) if wrong.is_empty() => Ok(planted),
        Ok(_) => Err(wrong),
        Err(why) => {
            wrong.push(why);
            Err(wrong)
        }
    }
}

/// One fault of a mutant, and the place that was found for it.
struct Fault {
    mutant: &'static str,
    new: &'static str,
    at: Range<usize>,
}

impl Fault {
    fn of(mutant: &Mutant, place: &'static Place, source: &str) -> Result<Self, String> {
        let found: Vec<_> = bodies(source, place.function)
            .flat_map(|body| occurrences(source, body, place.old))
            .collect();
        match &found[..] {
            [at] => Ok(Self {
                mutant: mutant.name,
                new: place.new,
                at: at.clone(),
            }),
            found => Err(format!(
                "{}: in {}, fn {} has not once but {} times: {}",
                mutant.name,
                place.file,
                place.function,
                found.len(),
                place.old
            )),
        }
    }
}

/// This part of a source with these faults in it.
fn with(mut faults: &[Fault], source: &str, part: Range<usize>) -> Result<String, String> {
    let (mut out, mut at) = (String::new(), part.start);
    while let Some(first) = faults.first() {
        let here = |fault: &&Fault| fault.at == first.at;
        let (same, rest) = faults.split_at(faults.iter().take_while(here).count());
        let inside = |fault: &&Fault| fault.at.start < first.at.end;
        let (inner, rest) = rest.split_at(rest.iter().take_while(inside).count());
        if let Some(astride) = inner.iter().find(|inner| inner.at.end > first.at.end) {
            let (one, other) = (first.mutant, astride.mutant);
            return Err(format!("{one} and {other} are in the way of each other"));
        }
        out.push_str(&source[at..first.at.start]);
        out.push_str(&switched(same, &with(inner, source, first.at.clone())?));
        (at, faults) = (first.at.end, rest);
    }
    out.push_str(&source[at..part.end]);
    Ok(out)
}

/// What stands at one place: the code of the mutant that is on, or the old one.
fn switched(faults: &[Fault], old: &str) -> String {
    let mut out = String::from("match crate::mutated() {");
    for Fault { mutant, new, .. } in faults {
        let _ = write!(out, " \"{mutant}\" => {{ {new} }}");
    }
    let _ = write!(out, " _ => {{ {old} }} }}");
    let is_statement = old.trim_end().ends_with([';', '}']);
    if is_statement {
        out
    } else {
        format!("({out})")
    }
}

/// The functions of this name, in code that is not for tests: each from its signature to its end,
/// which stands below its beginning.
fn bodies<'a>(source: &'a str, function: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let starts = ["(", "<"].map(|then| format!("fn {function}{then}"));
    let begins = move |line: &&str| starts.iter().any(|start| line.contains(start));
    let lines = source.split_inclusive('\n').filter(begins);
    lines.filter_map(move |line| {
        let start = line.as_ptr() as usize - source.as_ptr() as usize;
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = source[start..].find(&format!("\n{indent}}}\n"))?;
        Some(start..start + end)
    })
}

/// Where this code stands in that part of a source, however either is spaced.
fn occurrences(source: &str, part: Range<usize>, code: &str) -> Vec<Range<usize>> {
    let dense = |text: &str| -> Vec<(usize, u8)> {
        let bytes = text.bytes().enumerate();
        bytes
            .filter(|(_, byte)| !byte.is_ascii_whitespace())
            .collect()
    };
    let (text, code) = (dense(&source[part.clone()]), dense(code));
    let same = |window: &&[(usize, u8)]| {
        let pairs = window.iter().zip(&code);
        pairs.into_iter().all(|((_, one), (_, other))| one == other)
    };
    text.windows(code.len().max(1))
        .filter(same)
        .map(|found| part.start + found[0].0..part.start + found[found.len() - 1].0 + 1)
        .collect()
}
