//! Rows I1 to I3, what ids cost, and K1 to K3, what sealing costs: against the bare primitives, and
//! against what other session libraries take.

mod cookies;
mod ids;
mod records;

use std::{error::Error, hint::black_box, process::ExitCode, time::Duration};

use asm_bench::{Goal, Options, Report, Row, Unit, cpu_seconds_for_one, rounds};

fn main() -> ExitCode {
    asm_bench::main("secrets", measure)
}

fn measure(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    ids::rows(options, report)?;
    records::rows(options, report)?;
    cookies::rows(options, report)
}

/// How long one contender runs at a time: short, so that a neighbour disturbs few.
const TURN: Duration = Duration::from_millis(20);

/// Something that is done again and again.
type Work<'a> = Box<dyn FnMut() + 'a>;

fn work<'a, T>(mut once: impl FnMut() -> T + 'a) -> Work<'a> {
    Box::new(move || {
        black_box(once());
    })
}

/// A row for each yardstick: how often each can be done in a second of processor time. Nothing is to
/// be reached.
fn compare(
    options: &Options,
    report: &mut Report,
    id: &str,
    what: &str,
    ours: Work<'_>,
    yardsticks: Vec<(&str, Work<'_>)>,
) {
    let (names, theirs): (Vec<_>, Vec<_>) = yardsticks.into_iter().unzip();
    let mut contenders: Vec<Work<'_>> = [ours].into_iter().chain(theirs).collect();
    let figures = rounds(options.rounds(), &mut contenders, |work| {
        1.0 / cpu_seconds_for_one(TURN, work)
    });
    for (name, theirs) in names.into_iter().zip(&figures[1..]) {
        let what = format!("{what}, to {name}");
        let row = Row::new(id, what, Unit::PerSecond, &figures[0], Goal::None);
        report.add(row.against(theirs));
    }
}
