//! The table, the JSON, and the verdict.

use std::{io::Write, time::Duration};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{
    Args, Failure,
    args::{Mode, Write as Way},
    tally::Tally,
};

/// One mode's figures, as they are printed.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    driver: String,
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    write: Option<Way>,
    tasks: u32,
    processes: u32,
    sessions: u32,
    seed: u64,
    requests: u64,
    acknowledged: u64,
    expected: u64,
    found: u64,
    lost: u64,
    conflicts: u64,
    merges: u64,
    wait_p50_us: Option<u64>,
    wait_p99_us: Option<u64>,
    longest_queue: usize,
    overlap: usize,
}

impl Row {
    pub(super) fn new(
        args: &Args,
        seed: u64,
        mode: Mode,
        write: Option<Way>,
        tally: &Tally,
    ) -> Self {
        let wait = |percent| tally.wait(percent).map(micros);
        // Each acknowledged request counted one higher.
        let expected = tally.acknowledged;
        Self {
            driver: args.driver.to_string(),
            mode,
            write,
            tasks: args.tasks,
            processes: args.processes,
            sessions: args.sessions,
            seed,
            requests: args.requests,
            acknowledged: tally.acknowledged,
            expected,
            found: tally.found,
            lost: expected.saturating_sub(tally.found),
            conflicts: tally.conflicts,
            merges: tally.merges,
            wait_p50_us: wait(50),
            wait_p99_us: wait(99),
            longest_queue: tally.longest_queue,
            overlap: tally.overlap,
        }
    }

    /// What is wrong with it.
    fn complaints(&self) -> Vec<String> {
        let mode = self.name();
        let mut complaints = Vec::new();
        let mut complain = |wrong: bool, what: String| {
            if wrong {
                complaints.push(format!("{mode}: {what}"));
            }
        };
        if self.mode.is_safe() {
            let (lost, of) = (self.lost, self.expected);
            complain(
                lost > 0,
                format!("lost {lost} of {of} acknowledged increments"),
            );
        }
        let made_up = self.found.saturating_sub(self.expected);
        complain(made_up > 0, format!("{made_up} increments too many"));
        let refused = self.requests - self.acknowledged;
        complain(
            refused > 0,
            format!("{refused} of {} requests were refused", self.requests),
        );
        let (overlap, tasks) = (self.overlap, self.tasks);
        let apart = overlap * 2 < tasks as usize;
        complain(
            apart,
            format!("only {overlap} of {tasks} tasks were ever under way together"),
        );
        complaints
    }

    /// What raced: the mode, and how the counter was changed.
    fn name(&self) -> String {
        let mode = self.mode.name();
        self.write
            .map_or_else(|| mode.into(), |write| format!("{mode}, {}", write.name()))
    }

    fn cells(&self) -> [String; 12] {
        [
            self.name(),
            self.requests.to_string(),
            self.acknowledged.to_string(),
            self.expected.to_string(),
            self.found.to_string(),
            self.lost.to_string(),
            self.conflicts.to_string(),
            self.merges.to_string(),
            show(self.wait_p50_us),
            show(self.wait_p99_us),
            self.longest_queue.to_string(),
            self.overlap.to_string(),
        ]
    }
}

const HEADER: [&str; 12] = [
    "mode",
    "requests",
    "acknowledged",
    "expected",
    "found",
    "lost",
    "conflicts",
    "merges",
    "lock wait p50",
    "p99",
    "longest queue",
    "greatest overlap",
];

/// Rows on their way to their reader: as JSON each at once, as a table all together.
pub(super) struct Report<W> {
    out: W,
    table: Option<Table>,
    complaints: Vec<String>,
    /// What the mode that looks at nothing has lost so far, if it ran.
    off: Option<u64>,
}

impl<W: Write> Report<W> {
    pub(super) fn begin(args: &Args, seed: u64, mut out: W) -> Result<Self, Failure> {
        let table = (!args.json).then(empty_table);
        if table.is_some() {
            let (driver, tasks, sessions) = (&args.driver, args.tasks, args.sessions);
            let processes = match args.processes {
                1 => String::new(),
                several => format!(" of {several} processes"),
            };
            writeln!(
                out,
                "driver {driver}, {tasks} tasks{processes} in {sessions} sessions, seed {seed}\n"
            )?;
        }
        Ok(Self {
            out,
            table,
            complaints: Vec::new(),
            off: None,
        })
    }

    pub(super) fn row(&mut self, row: &Row) -> Result<(), Failure> {
        self.complaints.extend(row.complaints());
        if !row.mode.is_safe() {
            *self.off.get_or_insert(0) += row.lost;
        }
        match &mut self.table {
            Some(table) => drop(table.add_row(row.cells())),
            None => {
                let line = serde_json::to_string(row).map_err(std::io::Error::from)?;
                writeln!(self.out, "{line}")?;
            }
        }
        Ok(())
    }

    /// Prints the rest; answers what was wrong.
    pub(super) fn end(mut self) -> Result<Vec<String>, Failure> {
        if let Some(table) = &self.table {
            writeln!(self.out, "{table}")?;
        }
        self.out.flush()?;
        if self.off == Some(0) {
            let what = "off: lost nothing, so this race shows nothing about the other modes";
            self.complaints.push(what.into());
        }
        Ok(self.complaints)
    }
}

fn empty_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(HEADER);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn show(micros: Option<u64>) -> String {
    micros.map_or_else(
        || "-".into(),
        |micros| format!("{:.1?}", Duration::from_micros(micros)),
    )
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn row(mode: Mode, change: impl FnOnce(&mut Tally)) -> Row {
        let args = Args::parse_from(["race", "--requests", "100", "--tasks", "10"]);
        let mut tally = Tally {
            acknowledged: 100,
            found: if mode.is_safe() { 100 } else { 60 },
            overlap: 10,
            ..Tally::default()
        };
        change(&mut tally);
        Row::new(&args, 1, mode, None, &tally)
    }

    #[test]
    fn a_good_race_is_not_complained_about() {
        for mode in [Mode::Locked, Mode::Off] {
            assert_eq!(row(mode, |_| {}).complaints(), [""; 0]);
            assert_eq!(row(mode, |tally| tally.overlap = 5).complaints(), [""; 0]);
        }
    }

    #[test]
    fn off_has_to_lose() {
        let args = Args::parse_from(["race", "--json"]);
        let complaints = |found: &[u64]| {
            let mut report = Report::begin(&args, 1, Vec::new()).expect("memory");
            for found in found {
                let off = row(Mode::Off, |tally| tally.found = *found);
                report.row(&off).expect("memory");
            }
            report.end().expect("memory")
        };
        assert_eq!(complaints(&[100, 60]), [""; 0]);
        assert_eq!(complaints(&[]), [""; 0]);
        let what = "off: lost nothing, so this race shows nothing about the other modes";
        assert_eq!(complaints(&[100, 100]), [what]);
    }

    #[test]
    fn whatever_is_wrong_is_said() {
        let cases = [
            (
                row(Mode::Locked, |tally| tally.found = 97),
                "locked: lost 3 of 100 acknowledged increments",
            ),
            (
                row(Mode::Mixed, |tally| tally.found = 101),
                "mixed: 1 increments too many",
            ),
            (
                row(Mode::Optimistic, |tally| {
                    (tally.acknowledged, tally.found) = (98, 98);
                }),
                "optimistic: 2 of 100 requests were refused",
            ),
            (
                row(Mode::Lockless, |tally| tally.overlap = 4),
                "lockless: only 4 of 10 tasks were ever under way together",
            ),
        ];
        for (row, complaint) in cases {
            assert_eq!(row.complaints(), [complaint]);
        }
    }
}
