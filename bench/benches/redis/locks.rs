//! Rows L2 to L5: many requests wait for one lock. Beside them, without a goal, what polling gives.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use asm_bench::{Goal, Options, Report, Row, Unit, op, quantile, stamp};
use asm_core::{
    Acquired, Claim, Create, Epoch, Key, Label, LockStore, LockToken, LockWish, SessionStore, Stamp,
};
use asm_redis::RedisDriver;
use asm_servers::Server;
use tokio::{runtime::Runtime, task::yield_now};

use crate::{
    cycles::{DATA, server_cpu},
    polling::Poller,
};

pub(crate) const HOLD: Duration = Duration::from_millis(5);
const TTL: Duration = Duration::from_secs(600);

/// What one burst gave.
pub(crate) struct Burst {
    /// From the first release to the last, by the sum of the holds.
    wall: f64,
    /// The times from a release to the next grant in hand, in milliseconds.
    gaps: Vec<f64>,
    /// The longest wait, by the holds of all others.
    longest: f64,
    /// Server CPU for each acquisition, in milliseconds.
    served: f64,
}

pub(crate) fn measure(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    server: &Server,
) -> Result<(), Box<dyn Error>> {
    if !["L2", "L3", "L4", "L5"]
        .iter()
        .any(|row| options.wants(row))
    {
        return Ok(());
    }
    // Two drivers are two processes to the server.
    let drivers = runtime.block_on(async {
        let one = RedisDriver::connect(server.url()).await?;
        let other = RedisDriver::connect(server.url()).await?;
        Ok::<_, asm_core::Error>([one, other])
    })?;
    let mut all = Vec::new();
    for waiters in [8, 32, 128] {
        let mut bursts = Vec::new();
        for _ in 0..options.rounds() {
            bursts.push(runtime.block_on(burst(&drivers, server, waiters))?);
        }
        all.push((waiters, bursts));
    }
    let figures = |bursts: &[Burst], figure: fn(&Burst) -> f64| -> Vec<f64> {
        bursts.iter().map(figure).collect()
    };
    for (waiters, bursts) in &all {
        report.add(Row::new(
            "L2",
            format!("burst of {waiters} on two processes, 5 ms hold: wall by the sum of holds"),
            Unit::Times,
            &figures(bursts, |burst| burst.wall),
            &[],
            Goal::AtMost(1.08),
        ));
    }
    let pings = runtime.block_on(pings(server, options.rounds()))?;
    for (waiters, bursts) in &all {
        for (part, name) in [(0.5, "p50"), (0.99, "p99")] {
            let gaps: Vec<f64> = bursts
                .iter()
                .map(|burst| quantile(&burst.gaps, part))
                .collect();
            let goal = if part < 0.9 {
                Goal::RatioAtMost(3.0)
            } else {
                Goal::AtMost(1.0)
            };
            let what = format!(
                "hand-off across processes, {waiters} waiters, {name}, against a PING, p50"
            );
            let row = Row::new("L3", what, Unit::Milliseconds, &gaps, &pings, goal);
            report.add(row.point(name, "waiters", (*waiters).into()));
        }
    }
    for (waiters, bursts) in &all {
        report.add(Row::new(
            "L4",
            format!("longest wait of {waiters} by a fair one"),
            Unit::Times,
            &figures(bursts, |burst| burst.longest),
            &[],
            Goal::AtMost(1.2),
        ));
    }
    report.add(Row::new(
        "L5",
        "server CPU for an acquisition, 128 waiters against 8",
        Unit::Milliseconds,
        &figures(&all[2].1, |burst| burst.served),
        &figures(&all[0].1, |burst| burst.served),
        Goal::RatioAtMost(1.3),
    ));
    polled(options, report, runtime, server)
}

/// The same bursts, of those who ask again after a while.
fn polled(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    server: &Server,
) -> Result<(), Box<dyn Error>> {
    let crowds: &[u32] = if options.quick { &[8] } else { &[8, 32] };
    for every in [1, 500] {
        let poller = runtime.block_on(Poller::new(server, Duration::from_millis(every)))?;
        let name = format!("polled every {every} ms");
        for waiters in crowds {
            let bursts: Vec<Burst> = (0..options.rounds())
                .map(|_| runtime.block_on(poller.burst(server, *waiters)))
                .collect();
            let figures =
                |figure: fn(&Burst) -> f64| -> Vec<f64> { bursts.iter().map(figure).collect() };
            let row = |id, what: &str, unit, ours: &[f64]| {
                let what = format!("{name}, {waiters} waiters: {what}");
                Row::new(id, what, unit, ours, &[], Goal::None)
            };
            let what = "wall by the sum of holds";
            report.add(row("L2", what, Unit::Times, &figures(|burst| burst.wall)));
            let gaps = figures(|burst| quantile(&burst.gaps, 0.5));
            let gap = row("L3", "hand-off, p50", Unit::Milliseconds, &gaps);
            report.add(gap.point(&name, "waiters", (*waiters).into()));
            let what = "longest wait by a fair one";
            report.add(row(
                "L4",
                what,
                Unit::Times,
                &figures(|burst| burst.longest),
            ));
        }
    }
    Ok(())
}

async fn burst(
    drivers: &[RedisDriver; 2],
    server: &Server,
    waiters: u32,
) -> Result<Burst, Box<dyn Error>> {
    let key = Key::from_bytes(fastrand::u128(..).to_be_bytes());
    let epoch = Epoch::new(fastrand::u64(..));
    let create = Create {
        op: op(),
        resend: false,
        stamp: Stamp { epoch, ..stamp() },
        data: DATA.to_vec().into(),
        ttl: TTL,
        lock: None,
    };
    drivers[0].create(&key, create).await?;
    let first = take(&drivers[0], key, epoch).await;
    let mut tasks = Vec::new();
    for place in 1..=waiters {
        let driver = drivers[place as usize % 2].clone();
        tasks.push(tokio::spawn(async move {
            let token = take(&driver, key, epoch).await;
            let held = Instant::now();
            pause(HOLD).await;
            let released = Instant::now();
            driver.release(&key, &token).await.expect("released");
            (held, released)
        }));
        while drivers[0].inspect(&key).await?.waiters.len() < place as usize {
            yield_now().await;
        }
    }
    let (cpu, began) = (server_cpu(server), Instant::now());
    drivers[0].release(&key, &first).await?;
    let mut turns = Vec::new();
    for task in tasks {
        turns.push(task.await?);
    }
    Ok(Burst::of(began, turns, server_cpu(server) - cpu))
}

impl Burst {
    /// Of when the first release was, of each one's grant and release, and of seconds of server CPU.
    pub(crate) fn of(began: Instant, mut turns: Vec<(Instant, Instant)>, served: f64) -> Self {
        turns.sort_by_key(|(held, _)| *held);
        let (mut last, mut gaps) = (began, vec![]);
        for (held, released) in &turns {
            gaps.push((*held - last).as_secs_f64() * 1e3);
            last = *released;
        }
        let waiters = turns.len() as u32;
        let holds: Duration = turns.iter().map(|(held, released)| *released - *held).sum();
        // Nobody would wait longer in its turn than for the holds of all others.
        let others = holds - holds / waiters;
        let longest = turns
            .last()
            .map_or(Duration::ZERO, |(held, _)| *held - began);
        Self {
            wall: (last - began).as_secs_f64() / holds.as_secs_f64(),
            gaps,
            longest: longest.as_secs_f64() / others.as_secs_f64(),
            served: served * 1e3 / f64::from(waiters),
        }
    }
}

async fn take(driver: &RedisDriver, key: Key, epoch: Epoch) -> LockToken {
    let token = LockToken::from_bytes(fastrand::u128(..).to_be_bytes());
    let wish = LockWish {
        claim: Claim {
            token,
            hold: Duration::from_secs(10),
            label: Label::default(),
        },
        epoch,
        wait: Duration::from_secs(60),
        queue: None,
        known: None,
    };
    match driver.acquire(&key, wish).await {
        Ok(Acquired::Held {
            snapshot: Some(_), ..
        }) => token,
        other => panic!("the lock comes in its turn, and the answer was {other:?}"),
    }
}

/// The median of many, in milliseconds, round by round.
async fn pings(server: &Server, rounds: u32) -> Result<Vec<f64>, Box<dyn Error>> {
    let connection = asm_servers::connection(server.url()).await?;
    let mut medians = Vec::new();
    for _ in 0..rounds {
        let mut times = Vec::new();
        for _ in 0..500 {
            let mut connection = connection.clone();
            let began = Instant::now();
            redis::cmd("PING").exec_async(&mut connection).await?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        medians.push(quantile(&times, 0.5));
    }
    Ok(medians)
}

#[expect(clippy::disallowed_methods, reason = "a hold takes its time")]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
