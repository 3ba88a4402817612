//! Rows L2 to L5: many requests wait for one lock. Beside them, without a goal, what polling gives. All
//! take turns.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use asm_bench::{
    Burst, Goal, Options, QUICK, Report, Row, Turn, Unit, op, quantile, stamp, try_rounds,
};
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
const CROWDS: [u32; 3] = [8, 32, 128];

/// Whose turn it is.
enum Contender {
    /// So many wait in our queue, on two drivers: to the server those are two processes.
    Queue([RedisDriver; 2], u32),
    /// So many ask again and again.
    Polling(Poller, u32),
    /// Nobody waits; the server is asked for nothing.
    Ping,
}

/// What a turn gave.
enum Given {
    Burst(Burst),
    /// Milliseconds for one.
    Ping(f64),
}

pub(crate) fn measure(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    server: &Server,
) -> Result<(), Box<dyn Error>> {
    if ["L2", "L3", "L4"].iter().any(|row| options.wants(row)) {
        bursts(options, report, runtime, server)?;
    }
    if options.wants("L5") {
        served(options, report, runtime, server)?;
    }
    Ok(())
}

fn bursts(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    server: &Server,
) -> Result<(), Box<dyn Error>> {
    let drivers = runtime.block_on(drivers(server))?;
    let queues = CROWDS.map(|crowd| Contender::Queue(drivers.clone(), crowd));
    let mut contenders = Vec::from(queues);
    contenders.push(Contender::Ping);
    for every in [1, 500] {
        let poller = runtime.block_on(Poller::new(server, Duration::from_millis(every)))?;
        for crowd in &CROWDS[..2] {
            if options.quick && *crowd > 8 {
                leave_out(report, every, *crowd);
            } else {
                contenders.push(Contender::Polling(poller.clone(), *crowd));
            }
        }
    }
    let given = try_rounds(options.rounds(), &mut contenders, |one| {
        runtime.block_on(one.turn(server))
    })?;
    let pings: Vec<f64> = given.iter().flatten().filter_map(Given::ping).collect();
    for (contender, given) in contenders.iter().zip(&given) {
        let bursts: Vec<&Burst> = given.iter().filter_map(Given::burst).collect();
        match contender {
            Contender::Queue(_, crowd) => queued(report, *crowd, &bursts, &pings),
            Contender::Polling(poller, crowd) => polled(report, poller.every(), *crowd, &bursts),
            Contender::Ping => {}
        }
    }
    Ok(())
}

impl Contender {
    async fn turn(&self, server: &Server) -> Result<Given, Box<dyn Error>> {
        Ok(match self {
            Self::Queue(drivers, crowd) => Given::Burst(burst(drivers, *crowd).await?),
            Self::Polling(poller, crowd) => Given::Burst(poller.burst(*crowd).await),
            Self::Ping => Given::Ping(ping(server).await?),
        })
    }
}

impl Given {
    fn burst(&self) -> Option<&Burst> {
        match self {
            Self::Burst(burst) => Some(burst),
            Self::Ping(_) => None,
        }
    }

    fn ping(&self) -> Option<f64> {
        match self {
            Self::Ping(ping) => Some(*ping),
            Self::Burst(_) => None,
        }
    }
}

fn figures(bursts: &[&Burst], figure: impl Fn(&Burst) -> f64) -> Vec<f64> {
    bursts.iter().map(|burst| figure(burst)).collect()
}

fn queued(report: &mut Report, crowd: u32, bursts: &[&Burst], pings: &[f64]) {
    let what = format!("burst of {crowd} on two drivers, 5 ms hold: wall by the sum of holds");
    let (walls, goal) = (figures(bursts, Burst::wall), Goal::AtMost(1.08));
    report.add(Row::new("L2", what, Unit::Times, &walls, goal));
    for (part, name, goal) in [
        (0.5, "p50", Goal::RatioAtMost(3.0)),
        (0.99, "p99", Goal::AtMost(1.0)),
    ] {
        let gaps = figures(bursts, |burst| quantile(&burst.gaps(), part));
        let what =
            format!("hand-off between two drivers, {crowd} waiters, {name}, against a PING, p50");
        let row = Row::new("L3", what, Unit::Milliseconds, &gaps, goal).against(pings);
        report.add(row.point(name, "waiters", crowd.into()));
    }
    let what = format!("{crowd} waiters: the longest wait, by the holds of those who came before");
    let (waits, goal) = (figures(bursts, Burst::unfairness), Goal::AtMost(1.2));
    report.add(Row::new("L4", what, Unit::Times, &waits, goal));
    let what = format!("{crowd} waiters: grants out of turn");
    let (late, goal) = (figures(bursts, Burst::out_of_turn), Goal::AtMost(0.0));
    report.add(Row::new("L4", what, Unit::Count, &late, goal));
}

/// An id, words, and what is to be measured of a burst.
type Part = (&'static str, &'static str, Unit, fn(&Burst) -> f64);

/// The parts of those who ask again after a while.
const POLLED: [Part; 4] = [
    ("L2", "wall by the sum of holds", Unit::Times, Burst::wall),
    ("L3", "hand-off, p50", Unit::Milliseconds, |burst| {
        quantile(&burst.gaps(), 0.5)
    }),
    (
        "L4",
        "the longest wait, by the holds of those who came before",
        Unit::Times,
        Burst::unfairness,
    ),
    ("L4", "grants out of turn", Unit::Count, Burst::out_of_turn),
];

fn polled(report: &mut Report, every: Duration, crowd: u32, bursts: &[&Burst]) {
    let name = format!("polled every {} ms", every.as_millis());
    for (id, what, unit, figure) in POLLED {
        let what = format!("{name}, {crowd} waiters: {what}");
        let row = Row::new(id, what, unit, &figures(bursts, figure), Goal::None);
        report.add(match id {
            "L3" => row.point(&name, "waiters", crowd.into()),
            _ => row,
        });
    }
}

fn leave_out(report: &mut Report, every: u64, crowd: u32) {
    for (id, what, ..) in POLLED {
        let what = format!("polled every {every} ms, {crowd} waiters: {what}");
        report.leave_out(id, what, QUICK);
    }
}

/// As many acquisitions in small crowds as in a large one, with all that a wait takes: the ticket, the
/// grant and the release.
fn served(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    server: &Server,
) -> Result<(), Box<dyn Error>> {
    let drivers = runtime.block_on(drivers(server))?;
    let [few, _, many] = CROWDS;
    let figures = try_rounds(options.rounds(), &mut [many, few], |crowd| {
        let before = server_cpu(server);
        for _ in 0..many / *crowd {
            runtime.block_on(crowded(&drivers, *crowd))?;
        }
        Ok::<_, Box<dyn Error>>((server_cpu(server) - before) * 1e3 / f64::from(many))
    })?;
    let what = "server CPU for an acquisition, 128 waiters against 8";
    let goal = Goal::RatioAtMost(1.3);
    let row = Row::new("L5", what, Unit::Milliseconds, &figures[0], goal);
    report.add(row.against(&figures[1]));
    Ok(())
}

async fn drivers(server: &Server) -> Result<[RedisDriver; 2], Box<dyn Error>> {
    let one = RedisDriver::connect(server.url()).await?;
    Ok([one, RedisDriver::connect(server.url()).await?])
}

/// A session whose lock is held.
struct Held {
    key: Key,
    epoch: Epoch,
    first: LockToken,
}

impl Held {
    async fn new(driver: &RedisDriver) -> Result<Self, Box<dyn Error>> {
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
        driver.create(&key, create).await?;
        let first = take(driver, key, epoch).await;
        Ok(Self { key, epoch, first })
    }

    async fn waiters(&self, driver: &RedisDriver) -> Result<u32, Box<dyn Error>> {
        Ok(driver.inspect(&self.key).await?.waiters.len() as u32)
    }
}

/// So many wait, each behind the one before; then the lock is released.
async fn burst(drivers: &[RedisDriver; 2], crowd: u32) -> Result<Burst, Box<dyn Error>> {
    let held = Held::new(&drivers[0]).await?;
    let mut tasks = Vec::new();
    for place in 0..crowd {
        tasks.push(tokio::spawn(turn(
            drivers[place as usize % 2].clone(),
            held.key,
            held.epoch,
        )));
        while held.waiters(&drivers[0]).await? <= place {
            yield_now().await;
        }
    }
    let began = Instant::now();
    drivers[0].release(&held.key, &held.first).await?;
    let mut turns = Vec::new();
    for task in tasks {
        turns.push(task.await?);
    }
    Ok(Burst { began, turns })
}

/// The same of those who come at once, in any order, and nobody looks who is there but now and then.
async fn crowded(drivers: &[RedisDriver; 2], crowd: u32) -> Result<(), Box<dyn Error>> {
    let held = Held::new(&drivers[0]).await?;
    let tasks: Vec<_> = (0..crowd)
        .map(|place| {
            tokio::spawn(turn(
                drivers[place as usize % 2].clone(),
                held.key,
                held.epoch,
            ))
        })
        .collect();
    while held.waiters(&drivers[0]).await? < crowd {
        pause(HOLD).await;
    }
    drivers[0].release(&held.key, &held.first).await?;
    for task in tasks {
        task.await?;
    }
    Ok(())
}

async fn turn(driver: RedisDriver, key: Key, epoch: Epoch) -> Turn {
    let token = take(&driver, key, epoch).await;
    let held = Instant::now();
    pause(HOLD).await;
    let released = Instant::now();
    driver.release(&key, &token).await.expect("released");
    Turn { held, released }
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

/// The median of many, in milliseconds.
async fn ping(server: &Server) -> Result<f64, Box<dyn Error>> {
    let mut connection = asm_servers::connection(server.url()).await?;
    let mut times = Vec::new();
    for _ in 0..500 {
        let began = Instant::now();
        redis::cmd("PING").exec_async(&mut connection).await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(quantile(&times, 0.5))
}

#[expect(clippy::disallowed_methods, reason = "a hold takes its time")]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
