//! G1 and G4: more sessions, more callers.

use std::{io, sync::Arc};

use asm_bench::{Goal, Options, Report, Row, Unit, rounds};
use tokio::runtime::Runtime;

use crate::{
    contenders::{Contender, LockFreeMap, Ours},
    speed::{DATA, rate, runtime},
};

/// How many sessions among which each caller picks.
const AMONG: u32 = 100_000;

/// Adds the rows.
pub(crate) fn rows(options: &Options, report: &mut Report) -> io::Result<()> {
    if options.wants("G1") {
        by_sessions(options, report)?;
    }
    if options.wants("G4") {
        by_callers(options, report)?;
    }
    Ok(())
}

fn by_sessions(options: &Options, report: &mut Report) -> io::Result<()> {
    let one = runtime(1)?;
    let sizes = options.sizes(1_000_000);
    let mut stores: Vec<_> = sizes
        .iter()
        .map(|size| filled(&one, Ours::new(), *size))
        .collect();
    let figures = rounds(options.rounds(), &mut stores, |(store, keys)| {
        1e3 / rate(&one, 1, store, keys)
    });
    for (size, ours) in sizes.iter().zip(&figures) {
        let what = format!("memory: open + save among {size} sessions, against 1000");
        let (unit, goal) = (Unit::Milliseconds, Goal::None);
        let row = Row::new("G1", what, unit, ours, &figures[0], goal);
        report.add(row.point("memory", "sessions", (*size).into()));
    }
    Ok(())
}

fn by_callers(options: &Options, report: &mut Report) -> io::Result<()> {
    let two = runtime(2)?;
    let (ours, keys) = filled(&two, Ours::new(), AMONG);
    let (map, _) = filled(&two, LockFreeMap::default(), 0);
    two.block_on(async {
        for key in keys.iter() {
            map.create(*key, &DATA).await;
        }
    });
    for callers in options.callers() {
        let tasks = callers as usize;
        let mut turns: [Box<dyn FnMut() -> f64>; 2] = [
            Box::new(|| rate(&two, tasks, &ours, &keys)),
            Box::new(|| rate(&two, tasks, &map, &keys)),
        ];
        let figures = rounds(options.rounds(), &mut turns, |turn| turn());
        let what = format!("memory: open + save, {callers} callers on 2 threads, against DashMap");
        let (unit, goal) = (Unit::PerSecond, Goal::None);
        let row = Row::new("G4", what, unit, &figures[0], &figures[1], goal);
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
