//! What a run came to: its rows, those of longer runs, and what is missing.

use std::{fs, io, path::Path};

use asm_bench::{Gap, Measured, Row, Verdict};

use crate::figures;

/// What a run came to.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) rows: Vec<Row>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) notes: Vec<String>,
    /// Why it is no sound one.
    pub(crate) wrong: Vec<String>,
}

impl Run {
    /// Of what was measured; of what longer runs counted, in the order in which they were made; of the
    /// parts that there are, each an id and its words; and of the names of the benches that failed.
    pub(crate) fn of(
        measured: Measured,
        longer: &[Row],
        parts: &[(String, String)],
        failed: &[String],
    ) -> Self {
        let Measured { rows, gaps, notes } = measured;
        let mut run = Self {
            rows: rows.into_iter().map(|row| outdone(row, longer)).collect(),
            notes,
            ..Self::default()
        };
        for gap in gaps {
            match counted(&gap.id, &gap.what, longer) {
                Some(row) => run.rows.push(row),
                None => run.gaps.push(gap),
            }
        }
        run.look_for(parts, failed);
        run.wrong
            .extend(failed.iter().map(|name| format!("{name} failed")));
        for row in run.rows.iter().filter(|row| row.is_broken()) {
            run.wrong
                .push(format!("it happened: {}, {}", row.id, row.what));
        }
        // What a row of the table of figures is measured by stays in the order in which it was measured.
        run.rows
            .sort_by(|a, b| figures::place(&a.id).cmp(&figures::place(&b.id)));
        run.gaps
            .sort_by(|a, b| figures::place(&a.id).cmp(&figures::place(&b.id)));
        run
    }

    /// What is neither there nor left out on purpose.
    fn look_for(&mut self, parts: &[(String, String)], failed: &[String]) {
        let why = match failed {
            [] => "not measured".to_owned(),
            _ => format!("not measured; what failed: {}", failed.join(", ")),
        };
        let known: Vec<(String, String)> = self.parts();
        for (id, what) in parts.iter().filter(|part| !known.contains(part)) {
            self.wrong.push(format!("not measured: {id}, {what}"));
            self.gaps.push(Gap {
                id: id.clone(),
                what: what.clone(),
                why: why.clone(),
            });
        }
    }

    /// Each part: an id and its words.
    pub(crate) fn parts(&self) -> Vec<(String, String)> {
        let rows = self.rows.iter().map(|row| (&row.id, &row.what));
        let gaps = self.gaps.iter().map(|gap| (&gap.id, &gap.what));
        let parts = rows.chain(gaps);
        parts.map(|(id, what)| (id.clone(), what.clone())).collect()
    }
}

/// The parts that a run owes, each a line: an id and its words.
pub(crate) fn read_parts(path: &Path) -> io::Result<Vec<(String, String)>> {
    let part = |line: &str| {
        let (id, what) = line.split_once(' ')?;
        Some((id.to_owned(), what.to_owned()))
    };
    Ok(fs::read_to_string(path)?.lines().filter_map(part).collect())
}

/// Writes them.
pub(crate) fn write_parts(path: &Path, parts: &[(String, String)]) -> io::Result<()> {
    let lines: String = parts
        .iter()
        .map(|(id, what)| format!("{id} {what}\n"))
        .collect();
    fs::write(path, lines)
}

/// What is to be shown of this row and of earlier runs of the same, the largest: but what happened
/// is outdone by nothing but a later run in which it did not, and which was no smaller.
fn outdone(row: Row, longer: &[Row]) -> Row {
    match counted(&row.id, &row.what, longer) {
        // What is asked for is what is asked for now.
        Some(earlier) if !row.is_broken() && row.n < earlier.n => earlier.wanted(row.wanted),
        _ => row,
    }
}

/// The same of earlier runs alone.
fn counted(id: &str, what: &str, longer: &[Row]) -> Option<Row> {
    let mut runs = longer.iter().filter(|row| row.id == id && row.what == what);
    let first = runs.next()?;
    let shown = runs.fold(first, |shown, run| {
        match run.verdict() == Verdict::Missed || run.n >= shown.n {
            true => run,
            false => shown,
        }
    });
    Some(shown.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zero(violations: u64, tries: u64) -> Row {
        Row::zero("Z1", "lost", violations, tries).wanted(Some(1000))
    }

    fn measured(rows: Vec<Row>) -> Measured {
        Measured {
            rows,
            ..Measured::default()
        }
    }

    fn part(id: &str, what: &str) -> (String, String) {
        (id.into(), what.into())
    }

    #[test]
    fn the_largest_run_is_shown_and_what_happened_is_not_forgotten() {
        for (longer, now, shown) in [
            (vec![], (0, 10), (0.0, 10)),
            (vec![(0, 1000)], (0, 10), (0.0, 1000)),
            (vec![(0, 1000), (0, 100)], (0, 10), (0.0, 1000)),
            (vec![(0, 1000)], (0, 2000), (0.0, 2000)),
            // A later violation always wins.
            (vec![(0, 1000), (1, 5)], (0, 1), (1.0, 5)),
            (vec![(0, 1000)], (2, 10), (2.0, 10)),
            // A later run of the same size clears an earlier one, a smaller one does not.
            (vec![(3, 1000), (0, 1000)], (0, 10), (0.0, 1000)),
            (vec![(3, 1000), (0, 999)], (0, 10), (3.0, 1000)),
            (vec![(3, 1000)], (0, 1000), (0.0, 1000)),
        ] {
            let rows: Vec<Row> = longer.iter().map(|(bad, n)| zero(*bad, *n)).collect();
            let run = Run::of(measured(vec![zero(now.0, now.1)]), &rows, &[], &[]);
            let row = &run.rows[0];
            assert_eq!((row.value.median, row.n), shown, "{longer:?}, then {now:?}");
            assert_eq!(run.wrong.is_empty(), shown.0 == 0.0);
        }
    }

    #[test]
    fn a_longer_run_of_something_else_counts_for_nothing() {
        let other = Row::zero("Z1", "lost in files", 0, 1000);
        let run = Run::of(measured(vec![zero(0, 10)]), &[other], &[], &[]);
        assert_eq!(run.rows[0].n, 10);
        assert_eq!(run.rows[0].verdict(), Verdict::TooFew);
    }

    #[test]
    fn what_is_asked_for_is_what_is_asked_for_today() {
        let longer = [zero(0, 1000)];
        let row = zero(0, 10).wanted(Some(2000));
        let run = Run::of(measured(vec![row]), &longer, &[], &[]);
        assert_eq!((run.rows[0].n, run.rows[0].wanted), (1000, Some(2000)));
        assert_eq!(run.rows[0].verdict(), Verdict::TooFew);
    }

    #[test]
    fn a_part_that_is_left_out_is_none_that_is_missing() {
        let parts = [part("Z1", "lost"), part("Z2", "back"), part("R2", "cycle")];
        let gap = Gap {
            id: "Z2".into(),
            what: "back".into(),
            why: "left out of a quick run".into(),
        };
        let given = |rows| Measured {
            rows,
            gaps: vec![gap.clone()],
            ..Measured::default()
        };
        let run = Run::of(given(vec![zero(0, 10)]), &[], &parts, &[]);
        assert_eq!(run.wrong, ["not measured: R2, cycle"]);
        let whys: Vec<&str> = run.gaps.iter().map(|gap| &*gap.why).collect();
        assert_eq!(whys, ["not measured", "left out of a quick run"]);

        // Unless a longer run has it.
        let back = Row::zero("Z2", "back", 0, 5);
        let run = Run::of(given(vec![]), &[back], &parts[1..2], &[]);
        assert_eq!((run.rows.len(), run.gaps.len(), run.wrong.len()), (1, 0, 0));
    }

    #[test]
    fn a_bench_that_failed_is_told_even_if_all_its_parts_are_there() {
        let parts = [part("Z1", "lost"), part("R2", "cycle")];
        let failed = ["redis".to_owned()];
        let run = Run::of(measured(vec![zero(0, 10)]), &[], &parts[..1], &failed);
        assert_eq!(run.wrong, ["redis failed"]);
        let run = Run::of(measured(vec![zero(0, 10)]), &[], &parts, &failed);
        assert_eq!(run.gaps[0].why, "not measured; what failed: redis");
        assert_eq!(run.wrong.len(), 2);
    }

    #[test]
    fn a_missed_goal_of_speed_is_no_failure() {
        use asm_bench::{Goal, Unit};
        let goal = Goal::RatioAtLeast(0.85);
        let row = Row::new("R3", "cycles", Unit::PerSecond, &[1.0], goal).against(&[2.0]);
        let run = Run::of(measured(vec![row]), &[], &[part("R3", "cycles")], &[]);
        assert!(run.wrong.is_empty());
    }

    #[test]
    fn parts_are_read_as_they_were_written() {
        let path = std::env::temp_dir().join(format!("asm-parts-{}", std::process::id()));
        let parts = [part("Z1", "lost, in files"), part("R2", "a cycle")];
        write_parts(&path, &parts).expect("written");
        assert_eq!(read_parts(&path).expect("read"), parts);
        fs::remove_file(&path).expect("removed");
    }
}
