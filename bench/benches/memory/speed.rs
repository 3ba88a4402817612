//! M1 and M2: reading and writing sessions, on one thread and on two.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use asm_bench::{Goal, Options, Report, Row, Unit, cpu_time, rounds};
use fastrand::Rng;
use tokio::runtime::{Builder, Runtime};

use crate::contenders::{Contender, LockFreeMap, Ours, TowerSessions};

const SESSIONS: usize = 100_000;
pub(crate) const DATA: [u8; 1024] = [b'x'; 1024];
/// How long one contender runs at a time.
const TURN: Duration = Duration::from_millis(300);

/// Adds the rows.
pub(crate) fn rows(options: &Options, report: &mut Report) -> io::Result<()> {
    if !options.wants("M1") && !options.wants("M2") {
        return Ok(());
    }
    let keys: Arc<[u128]> = (0..SESSIONS).map(|_| fastrand::u128(..)).collect();
    let concrete = Ours::new();
    let erased = concrete.erased();
    let (map, tower) = (LockFreeMap::default(), TowerSessions::default());
    let one = runtime(1)?;
    one.block_on(async {
        for key in keys.iter() {
            concrete.create(*key, &DATA).await;
            map.create(*key, &DATA).await;
            tower.create(*key, &DATA).await;
        }
    });
    for threads in [1, 2] {
        let runtime = runtime(threads)?;
        let mut contenders: [Box<dyn FnMut() -> f64>; 4] = [
            Box::new(|| rate(&runtime, threads, &erased, &keys)),
            Box::new(|| rate(&runtime, threads, &concrete, &keys)),
            Box::new(|| rate(&runtime, threads, &map, &keys)),
            Box::new(|| rate(&runtime, threads, &tower, &keys)),
        ];
        let figures = rounds(options.rounds(), &mut contenders, |turn| turn());
        let [erased, concrete, map, tower] = &figures[..] else {
            unreachable!("one column for each contender");
        };
        let what =
            |how, against| format!("get + set, {threads} thread(s), {how}, against {against}");
        for (how, ours) in [("Arc<dyn Driver>", erased), ("by type", concrete)] {
            if options.wants("M1") {
                let (what, goal) = (what(how, "DashMap"), Goal::RatioAtLeast(0.8));
                report.add(Row::new("M1", what, Unit::PerSecond, ours, map, goal));
            }
            if options.wants("M2") {
                let (what, goal) = (what(how, "tower-sessions"), Goal::RatioAtLeast(3.0));
                report.add(Row::new("M2", what, Unit::PerSecond, ours, tower, goal));
            }
        }
    }
    Ok(())
}

/// A runtime of that many threads.
pub(crate) fn runtime(threads: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).build()
}

/// Cycles a second for one turn, all tasks together. One task is billed for the processor time that
/// it had, so that neighbours do not count; several for the time that passed, since they may wait
/// for each other.
pub(crate) fn rate<C: Contender>(
    runtime: &Runtime,
    tasks: usize,
    store: &C,
    keys: &Arc<[u128]>,
) -> f64 {
    runtime.block_on(async {
        let (began, billed) = (Instant::now(), cpu_time());
        let running: Vec<_> = (0..tasks)
            .map(|_| tokio::spawn(turn(store.clone(), Arc::clone(keys), began + TURN)))
            .collect();
        let mut cycles = 0;
        for task in running {
            cycles += task.await.expect("a turn does not fail");
        }
        let took = match tasks {
            1 => cpu_time() - billed,
            _ => began.elapsed(),
        };
        cycles as f64 / took.as_secs_f64()
    })
}

async fn turn<C: Contender>(store: C, keys: Arc<[u128]>, until: Instant) -> u64 {
    let mut rng = Rng::new();
    let mut cycles = 0;
    while Instant::now() < until {
        for _ in 0..32 {
            store
                .cycle(keys[rng.usize(..keys.len())], &DATA, &mut rng)
                .await;
        }
        cycles += 32;
    }
    cycles
}
