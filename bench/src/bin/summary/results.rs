//! Tables for readers.

use std::error::Error;

use asm_bench::{HEADS, Row};
use time::{Date, OffsetDateTime};

use crate::{Kind, figures, run::Run};

/// A chapter of the page: its title, what is to be said, and the letters of its rows.
struct Chapter {
    title: &'static str,
    words: &'static str,
    letters: &'static str,
    plots: &'static [&'static str],
}

const CHAPTERS: [Chapter; 8] = [
    Chapter {
        title: "Redis",
        words: "R2 to R5 are against the least code that locks, reads, writes and unlocks over one shared \
                connection; R6 to R8 against stores of others, which take no lock; L2 to L5 are about many \
                who wait for one lock, on two drivers in one process, which are as two processes to the \
                server. L4: whoever came first waits for nobody, so the longest wait is that of all others; \
                a grant is out of turn when somebody still waits who came before.",
        letters: "RL",
        plots: &["waiters"],
    },
    Chapter {
        title: "Web",
        words: "H1 to H4: `wrk` over 32 connections; sessions of about 1 KiB under a few keys. actix-session runs \
                on actix-web. P1 to P7: 512 requests that each count one up in the same session, over HTTP \
                and redis, from 8 and from 32 clients at once; a request that is told of a conflict is made \
                again, and as many may wait as want to.",
        letters: "HP",
        plots: &["lost"],
    },
    Chapter {
        title: "Memory",
        words: "The yardsticks keep no version, lock or lifetime with a record. In M2 the driver is given bytes as \
                the store of tower-sessions is given a value; sessions of values are on top of it.",
        letters: "M",
        plots: &[],
    },
    Chapter {
        title: "Files",
        words: "The yardsticks are the same calls of the standard library. F4: two processes want one lock, hold it \
                for 2 ms and ask again 1 ms later, so that one waits whenever the other one releases.",
        letters: "F",
        plots: &[],
    },
    Chapter {
        title: "Codecs and values",
        words: "C1 to C3: how often a second of processor time lets each be done, and how large what is written \
                is. Both sides read the same bytes.",
        letters: "CS",
        plots: &[],
    },
    Chapter {
        title: "Ids and sealing",
        words: "How often a second of processor time lets each be done. An id has 40 bytes of the operating \
                system, which tower-sessions asks for a seed only; a session is begun without being \
                stored. K1 and K2: a record has a key of its own, derived each time, and is bound to its \
                session and place; the cipher alone has one key for all. K3: ours is bound to its purpose \
                and to a time, too, and has a nonce of the operating system.",
        letters: "IK",
        plots: &[],
    },
    Chapter {
        title: "What must not happen",
        words: "How often it did, and in how many tries `n`. A row is met when it never did in as many tries as \
                are asked for. What was tried more often before, by `bench/run zeros`, stands with its date and \
                commit. Z6: a fuzzer gave each target but one 10^7 inputs more, see fuzz/README.md.",
        letters: "Z",
        plots: &[],
    },
    Chapter {
        title: "Growth",
        words: "With the number of sessions: against a thousand of them. With the number of callers: \
                against the yardstick with as many.",
        letters: "G",
        plots: &["sessions", "callers"],
    },
];

/// The page of results.
pub(crate) fn page(run: &Run, kind: Kind, machine: &[String]) -> Result<String, Box<dyn Error>> {
    let (rows, date) = (&run.rows, today());
    let (command, how) = match kind {
        Kind::Full => ("bench/run", "as often as is asked for"),
        Kind::Bounded => (
            "bench/run --bounded",
            "as often as in `./test`, which is less often than is asked for",
        ),
        Kind::Quick => return Err("a quick run is not kept".into()),
    };
    let mut page = format!(
        "# Results\n\n\
         Written by `{command}` on {date}; nothing here is typed by hand. Each figure is the median of `n` \
         rounds in which it and its yardstick took turns, with the least and the greatest in brackets; a \
         ratio is taken within each round. Where something is counted, `n` is the number of tries; what \
         must not happen was tried {how}.\n\n\
         {}.\n\n![Each row against its goal](plots/goals.svg)\n\n## Machine and versions\n\n",
        figures::verdict(run)
    );
    for line in machine.iter().chain(&run.notes) {
        page += &format!("- {line}\n");
    }
    for chapter in &CHAPTERS {
        let (title, words) = (chapter.title, chapter.words);
        page += &format!("\n## {title}\n\n{words}\n\n");
        let mine = |row: &&Row| {
            row.id
                .starts_with(|letter| chapter.letters.contains(letter))
        };
        page += &table(rows.iter().filter(mine));
        for plot in chapter.plots {
            page += &format!("\n![{title}: {plot}](plots/{plot}.svg)\n");
        }
    }
    if !run.gaps.is_empty() {
        page += "\n## What this run left out\n\n";
    }
    for gap in &run.gaps {
        page += &format!("- {}, {}: {}\n", gap.id, gap.what, gap.why);
    }
    Ok(page)
}

const BEGIN: &str = "<!-- figures: ";
const END: &str = "<!-- end of figures -->\n";

/// A text in which each part between `<!-- figures: R2 R3 -->` and `<!-- end of figures -->` is the
/// table of those rows, with a line on how they came about.
pub(crate) fn quoted(text: &str, rows: &[Row]) -> Result<String, Box<dyn Error>> {
    let mut parts = text.split(BEGIN);
    let mut quoted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (ids, rest) = part
            .split_once(" -->\n")
            .ok_or("figures without their ids")?;
        let (_, rest) = rest.split_once(END).ok_or("figures without an end")?;
        let mine = rows
            .iter()
            .filter(|row| ids.split(' ').any(|id| id == row.id));
        let (table, came) = (
            table(mine),
            format!("(Medians of `n` interleaved rounds, {}.)", today()),
        );
        quoted += &format!("{BEGIN}{ids} -->\n{table}\n{came}\n{END}{rest}");
    }
    Ok(quoted)
}

fn today() -> Date {
    OffsetDateTime::now_utc().date()
}

fn table<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut table = String::new();
    for line in [HEADS.join(" | "), ["---"; HEADS.len()].join(" | ")] {
        table += &format!("| {line} |\n");
    }
    for row in rows {
        table += &format!("| {} |\n", row.cells().join(" | "));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_in_a_text_are_replaced() {
        let rows = [Row::zero("Z1", "lost", 0, 7), Row::zero("Z2", "back", 0, 8)];
        let text = format!("before\n{BEGIN}Z2 -->\nold\n{END}after\n");
        let new = quoted(&text, &rows).expect("sound marks");
        assert!(new.starts_with("before\n") && new.ends_with(&format!("{END}after\n")));
        assert!(new.contains("| Z2 | back | 0 | - | - | <= 0 | yes | 8 |"));
        assert!(!new.contains("Z1") && !new.contains("old"));
        assert_eq!(quoted(&new, &rows).expect("sound marks"), new);
        assert!(quoted("<!-- figures: Z1 -->\nno end", &rows).is_err());
    }
}
