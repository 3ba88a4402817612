//! M1 and M2: reading and writing sessions, on one thread and on two.

use std::{error::Error, io, sync::Arc, time::Duration};

use asm_bench::{Goal, Options, Report, Row, Unit, callers, rounds};
use fastrand::Rng;
use tokio::runtime::{Builder, Runtime};

use crate::contenders::{Contender, LockFreeMap, OfSessions, Ours, TowerSessions};

const SESSIONS: usize = 100_000;
pub(crate) const DATA: [u8; 1024] = [b'x'; 1024];
/// How long one contender runs at a time.
const TURN: Duration = Duration::from_millis(300);

/// Adds the rows.
pub(crate) fn rows(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if !options.wants("M1") && !options.wants("M2") {
        return Ok(());
    }
    let keys: Arc<[u128]> = (0..SESSIONS).map(|_| fastrand::u128(..)).collect();
    let concrete = Ours::new();
    let erased = concrete.erased();
    let (map, tower) = (LockFreeMap::default(), TowerSessions::new(&DATA));
    let one = runtime(1)?;
    let sessions = one.block_on(OfSessions::new(SESSIONS, &DATA))?;
    one.block_on(async {
        for key in keys.iter() {
            concrete.create(*key, &DATA).await;
            map.create(*key, &DATA).await;
            tower.create(*key, &DATA).await;
        }
    });
    for threads in [1, 2] {
        let runtime = runtime(threads)?;
        let mut contenders: [Box<dyn FnMut() -> f64>; 5] = [
            Box::new(|| rate(&runtime, threads, &erased, &keys)),
            Box::new(|| rate(&runtime, threads, &concrete, &keys)),
            Box::new(|| rate(&runtime, threads, &sessions, &keys)),
            Box::new(|| rate(&runtime, threads, &map, &keys)),
            Box::new(|| rate(&runtime, threads, &tower, &keys)),
        ];
        let figures = rounds(options.rounds(), &mut contenders, |turn| turn());
        let [erased, concrete, sessions, map, tower] = &figures[..] else {
            unreachable!("one column for each contender");
        };
        let what =
            |how, against| format!("get + set, {threads} thread(s), {how}, against {against}");
        let drivers = [("Arc<dyn Driver>", erased), ("by type", concrete)];
        let least = Goal::RatioAtLeast(0.8);
        for (how, ours) in drivers.into_iter().filter(|_| options.wants("M1")) {
            let row = Row::new("M1", what(how, "DashMap"), Unit::PerSecond, ours, least);
            report.add(row.against(map));
        }
        // The driver has bytes as the store of tower-sessions has values; what holds values of ours,
        // and looks at the id besides, is the session on top of it.
        let goal = Goal::RatioAtLeast(3.0);
        let drivers = drivers.map(|(how, ours)| (how, ours, goal));
        let typed = [("sessions of values", sessions, Goal::None)];
        for (how, ours, goal) in drivers.into_iter().chain(typed) {
            if options.wants("M2") {
                let what = what(how, "tower-sessions");
                let row = Row::new("M2", what, Unit::PerSecond, ours, goal);
                report.add(row.against(tower));
            }
        }
    }
    Ok(())
}

/// A runtime of that many threads.
pub(crate) fn runtime(threads: u32) -> io::Result<Runtime> {
    let threads = threads as usize;
    Builder::new_multi_thread().worker_threads(threads).build()
}

/// Cycles a second for one turn, all tasks together. One task is billed for the processor time that
/// it had, so that neighbours do not count; several for the time that passed, since they may wait
/// for each other.
pub(crate) fn rate<C: Contender>(
    runtime: &Runtime,
    tasks: u32,
    store: &C,
    keys: &Arc<[u128]>,
) -> f64 {
    /// How many are done between two looks at the clock.
    const BATCH: u64 = 32;
    let (store, keys) = (store.clone(), Arc::clone(keys));
    let done = runtime.block_on(callers(tasks, TURN, move |_, _| {
        let (store, keys) = (store.clone(), Arc::clone(&keys));
        async move {
            let mut rng = Rng::new();
            for _ in 0..BATCH {
                let key = keys[rng.usize(..keys.len())];
                store.cycle(key, &DATA, &mut rng).await;
            }
        }
    }));
    let took = if tasks == 1 { done.cpu } else { done.took };
    (done.count * BATCH) as f64 / took.as_secs_f64()
}
