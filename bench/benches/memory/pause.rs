//! M4: what those who open sessions notice of a sweep. G7: how long it takes.

use std::{
    error::Error,
    num::NonZeroUsize,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use asm_bench::{Goal, Options, Report, Row, Unit, thread_cpu_time};
use asm_core::{Driver, Key, Open, Opened, SessionStore, SweepStep};
use asm_memory::MemoryDriver;
use fastrand::Rng;

use crate::{
    contenders::{TTL, create},
    speed::runtime,
};

const SESSIONS: u64 = 1_000_000;
const DATA: [u8; 200] = [b'x'; 200];
/// How many records a sweep looks at in one step, about.
const BATCH: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

/// Adds the row.
pub(crate) fn row(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if !options.wants("M4") {
        return Ok(());
    }
    let (mut steps, mut swept, mut calm) = (Vec::new(), Vec::new(), Vec::new());
    let mut sweeps = Vec::new();
    for _ in 0..options.rounds() {
        let driver = half_over()?;
        let (mut took, mut step) = (Duration::ZERO, Duration::ZERO);
        swept.push(longest_open(&driver, || {
            let began = Instant::now();
            step = sweep(&driver);
            took = began.elapsed();
        }));
        steps.push(step.as_secs_f64() * 1e3);
        sweeps.push(took.as_secs_f64() * 1e3);
        // For as long as that took, with nothing going on.
        #[expect(
            clippy::disallowed_methods,
            reason = "nothing else is to happen meanwhile"
        )]
        calm.push(longest_open(&driver, || thread::sleep(took)));
    }
    let row = |id, what: &str, figures: &[f64], goal| {
        let what = format!("{what}, 10^6 sessions, half of them over");
        Row::new(id, what, Unit::Milliseconds, figures, goal)
    };
    let most = Goal::AtMost(2.0);
    // No open can wait longer for it than it is at work.
    report.add(row("M4", "longest step of a sweep, CPU time", &steps, most));
    let what = "longest open during it, against no sweep";
    report.add(row("M4", what, &swept, most).against(&calm));
    let what = "memory: a whole sweep while others open";
    report.add(row("G7", what, &sweeps, Goal::None));
    Ok(())
}

/// Sessions of which every other one's life is over.
fn half_over() -> Result<MemoryDriver, Box<dyn Error>> {
    let builder = MemoryDriver::builder().max_sessions(2_000_000);
    let driver = builder.max_bytes(4 << 30).build();
    runtime(1)?.block_on(async {
        for number in 0..SESSIONS {
            let ttl = if lives(number) { TTL } else { Duration::ZERO };
            create(&driver, name(number), &DATA, ttl).await;
        }
    });
    Ok(driver)
}

fn lives(number: u64) -> bool {
    number.is_multiple_of(2)
}

fn name(number: u64) -> u128 {
    Rng::with_seed(number).u128(..)
}

/// Sweeps all; answers how long the longest step was at work.
fn sweep(driver: &MemoryDriver) -> Duration {
    let sweeper = driver.sweeper().expect("the memory driver sweeps");
    let (mut from, mut removed, mut longest) = (None, 0, Duration::ZERO);
    block_on(async {
        loop {
            let step = SweepStep { from, batch: BATCH };
            let began = thread_cpu_time();
            let swept = sweeper.sweep(step).await.expect("a sweep of memory");
            longest = longest.max(thread_cpu_time() - began);
            removed += swept.removed;
            from = swept.next;
            if from.is_none() {
                break;
            }
        }
    });
    assert_eq!(removed, SESSIONS / 2);
    longest
}

/// The longest that opening a live session took while something was done, in milliseconds.
fn longest_open(driver: &MemoryDriver, done: impl FnOnce()) -> f64 {
    let (start, over) = (Barrier::new(2), AtomicBool::new(false));
    let longest = thread::scope(|scope| {
        let opener = scope.spawn(|| {
            start.wait();
            block_on(open_until(driver, &over))
        });
        start.wait();
        done();
        over.store(true, Ordering::Relaxed);
        opener.join().expect("an opener does not fail")
    });
    longest.as_secs_f64() * 1e3
}

async fn open_until(driver: &MemoryDriver, over: &AtomicBool) -> Duration {
    let mut rng = Rng::new();
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let key = Key::from_bytes(name(rng.u64(..SESSIONS / 2) * 2).to_ne_bytes());
        let began = Instant::now();
        let opened = driver.open(&key, Open { lock: None }).await;
        longest = longest.max(began.elapsed());
        assert!(matches!(opened, Ok(Opened::Found { .. })));
    }
    longest
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime of this thread").block_on(future)
}
