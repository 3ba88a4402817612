//! G2, G5 and G6: more sessions, more callers, and what a session takes on the server.

use std::{error::Error, num::NonZeroU32};

use asm_bench::{Goal, Options, QUICK, Report, Row, Unit, rounds};
use asm_redis::RedisDriver;
use asm_servers::Server;
use tokio::runtime::Runtime;

use crate::{
    bare::{Bare, Way},
    cycles::{Contender, DATA, SESSIONS, create, many, median_of_one, session},
};

/// How many are made at a time.
const AT_ONCE: u32 = 64;

pub(crate) fn measure(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
) -> Result<(), Box<dyn Error>> {
    if options.wants("G2") || options.wants("G6") {
        by_sessions(options, report, runtime)?;
    }
    if options.wants("G5") {
        by_callers(options, report, runtime)?;
    }
    Ok(())
}

/// A server of its own for each number of sessions.
fn by_sessions(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
) -> Result<(), Box<dyn Error>> {
    let what = |size| format!("redis: locked cycle, p50, among {size} sessions, against 1000");
    let sizes = options.sizes(1_000_000, |size| report.leave_out("G2", what(size), QUICK));
    let mut stores = Vec::new();
    for size in &sizes {
        let store = Store::start(runtime)?;
        let empty = store.used()?;
        let contender = store.ours.clone();
        runtime.block_on(fill(&contender, *size));
        let taken = (store.used()? - empty) / f64::from(*size);
        stores.push((store, contender, *size, taken));
    }
    let figures = rounds(options.rounds(), &mut stores, |(_, ours, size, _)| {
        runtime.block_on(median_of_one(ours, *size))
    });
    for (size, ours) in sizes.iter().zip(&figures) {
        let row = Row::new("G2", what(*size), Unit::Milliseconds, ours, Goal::None);
        let row = row.against(&figures[0]);
        report.add(row.point("redis", "sessions", (*size).into()));
    }
    let Some((_, _, size, taken)) = stores.last() else {
        return Ok(());
    };
    let bare = Store::start(runtime)?;
    let empty = bare.used()?;
    runtime.block_on(fill(&bare.bare, *size));
    let theirs = (bare.used()? - empty) / f64::from(*size);
    let what = "redis: a stored session of 1 KiB, of n, against SET of its bytes";
    let row = Row::new("G6", what, Unit::Bytes, &[*taken], Goal::None);
    report.add(row.against(&[theirs]).tries((*size).into()));
    Ok(())
}

fn by_callers(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
) -> Result<(), Box<dyn Error>> {
    let store = Store::start(runtime)?;
    runtime.block_on(fill(&store.ours, SESSIONS));
    runtime.block_on(fill(&store.bare, SESSIONS));
    let mut contenders = [store.ours, store.bare];
    let what =
        |callers| format!("redis: locked cycle, {callers} callers, against a bare pair of scripts");
    let all = options.callers(|callers| report.leave_out("G5", what(callers), QUICK));
    for callers in all.into_iter().filter_map(NonZeroU32::new) {
        let figures = rounds(options.rounds(), &mut contenders, |one| {
            let one = one.clone();
            let cycle = move |caller, count| {
                let one = one.clone();
                async move { one.cycle(session(callers, caller, count)).await }
            };
            many(runtime, &store.server, callers, cycle).rate
        });
        let callers = callers.get();
        let row = Row::new(
            "G5",
            what(callers),
            Unit::PerSecond,
            &figures[0],
            Goal::None,
        );
        let row = row.against(&figures[1]);
        report.add(row.point("redis", "callers", callers.into()));
    }
    Ok(())
}

/// A server, and two who use it.
struct Store {
    server: Server,
    ours: Contender,
    bare: Contender,
}

impl Store {
    fn start(runtime: &Runtime) -> Result<Self, Box<dyn Error>> {
        let server = Server::start()?;
        let driver = runtime.block_on(RedisDriver::connect(server.url()))?;
        let bare = runtime.block_on(Bare::new(&server))?;
        Ok(Self {
            server,
            ours: Contender::Ours(driver),
            bare: Contender::Bare(bare, Way::Scripts),
        })
    }

    /// Bytes that the server has in use.
    fn used(&self) -> Result<f64, Box<dyn Error>> {
        Ok(self.server.info("used_memory")?.parse()?)
    }
}

async fn fill(contender: &Contender, sessions: u32) {
    let tasks = (0..AT_ONCE).map(|task| {
        let mut contender = contender.clone();
        tokio::spawn(async move {
            for session in (task..sessions).step_by(AT_ONCE as usize) {
                match &mut contender {
                    Contender::Ours(driver) => create(driver, session).await,
                    Contender::Bare(bare, _) => bare.store(session, &DATA).await,
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("a task that does not fail");
    }
}
