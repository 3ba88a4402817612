//! G1 and G4: more sessions, more callers.

use std::{error::Error, sync::Arc};

use asm_bench::QUICK;
use asm_bench::{Goal, Options, Report, Row, Unit, rounds};
use tokio::runtime::Runtime;

use crate::{
    contenders::{Contender, LockFreeMap, Ours},
    speed::{DATA, rate, runtime},
};

/// How many sessions among which each caller picks.
const AMONG: u32 = 100_000;

/// Adds the rows.
pub(crate) fn rows(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if options.wants("G1") {
        by_sessions(options, report)?;
    }
    if options.wants("G4") {
        by_callers(options, report)?;
    }
    Ok(())
}

fn by_sessions(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let one = runtime(1)?;
    let what = |size| format!("memory: open + save among {size} sessions, against 1000");
    let sizes = options.sizes(1_000_000, |size| report.leave_out("G1", what(size), QUICK));
    let mut stores: Vec<_> = sizes
        .iter()
        .map(|size| filled(&one, Ours::new(), *size))
        .collect();
    let figures = rounds(options.rounds(), &mut stores, |(store, keys)| {
        1e3 / rate(&one, 1, store, keys)
    });
    for (size, ours) in sizes.iter().zip(&figures) {
        let row = Row::new("G1", what(*size), Unit::Milliseconds, ours, Goal::None);
        let row = row.against(&figures[0]);
        report.add(row.point("memory", "sessions", (*size).into()));
    }
    Ok(())
}

fn by_callers(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let two = runtime(2)?;
    let (ours, keys) = filled(&two, Ours::new(), AMONG);
    let (map, _) = filled(&two, LockFreeMap::default(), 0);
    two.block_on(async {
        for key in keys.iter() {
            map.create(*key, &DATA).await;
        }
    });
    let what =
        |callers| format!("memory: open + save, {callers} callers on 2 threads, against DashMap");
    for callers in options.callers(|callers| report.leave_out("G4", what(callers), QUICK)) {
        let mut turns: [Box<dyn FnMut() -> f64>; 2] = [
            Box::new(|| rate(&two, callers, &ours, &keys)),
            Box::new(|| rate(&two, callers, &map, &keys)),
        ];
        let figures = rounds(options.rounds(), &mut turns, |turn| turn());
        let row = Row::new(
            "G4",
            what(callers),
            Unit::PerSecond,
            &figures[0],
            Goal::None,
        );
        let row = row.against(&figures[1]);
        report.add(row.point("memory", "callers", callers.into()));
    }
    Ok(())
}

fn filled<C: Contender>(runtime: &Runtime, store: C, size: u32) -> (C, Arc<[u128]>) {
    let keys: Arc<[u128]> = (0..size).map(|_| fastrand::u128(..)).collect();
    runtime.block_on(async {
        for key in keys.iter() {
            store.create(*key, &DATA).await;
        }
    });
    (store, keys)
}
