//! Rows R2 to R5: open with the lock, then save and unlock, on opaque bytes of 1 KiB.

use std::{
    error::Error,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use asm_bench::{Goal, Options, Report, Row, Unit, cpu_time, key, op, quantile, rounds, stamp};
use asm_core::{
    Claim, Create, Guard, Label, LockToken, Open, OpenLock, Opened, OpenedLock, Save, SessionStore,
    Snapshot, Written,
};
use asm_redis::RedisDriver;
use asm_servers::Server;
use tokio::runtime::Runtime;

use crate::bare::{Bare, Way};

pub(crate) const DATA: [u8; 1024] = [b'x'; 1024];
/// How long one contender runs at a time.
pub(crate) const TURN: Duration = Duration::from_millis(400);
pub(crate) const SESSIONS: u32 = 10_000;
pub(crate) const CALLERS: NonZeroU32 = NonZeroU32::new(64).unwrap();
const HOLD: Duration = Duration::from_secs(10);
const TTL: Duration = Duration::from_secs(3600);

/// Who does the cycles.
#[derive(Clone)]
pub(crate) enum Contender {
    Ours(RedisDriver),
    Bare(Bare, Way),
}

pub(crate) fn measure(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    server: &Server,
) -> Result<(), Box<dyn Error>> {
    let rows = ["R2", "R3", "R4", "R5"];
    if !rows.iter().any(|row| options.wants(row)) {
        return Ok(());
    }
    let (driver, mut bare) = runtime.block_on(async {
        let driver = RedisDriver::connect(server.url()).await?;
        let bare = Bare::new(server).await?;
        Ok::<_, Box<dyn Error>>((driver, bare))
    })?;
    runtime.block_on(async {
        for session in 0..SESSIONS {
            create(&driver, session).await;
            bare.store(session, &DATA).await;
        }
    });
    let mut contenders = [
        Contender::Ours(driver),
        Contender::Bare(bare.clone(), Way::Scripts),
        Contender::Bare(bare, Way::Pipeline),
    ];
    if options.wants("R2") {
        let figures = rounds(options.rounds(), &mut contenders, |one| {
            runtime.block_on(median_of_one(one, SESSIONS))
        });
        let what = "locked cycle, 1 caller, p50, against a bare pair of scripts";
        report.add(Row::new(
            "R2",
            what,
            Unit::Milliseconds,
            &figures[0],
            &figures[1],
            Goal::RatioAtMost(1.10),
        ));
    }
    if !rows[1..].iter().any(|row| options.wants(row)) {
        return Ok(());
    }
    let (mut client, mut served) = ([vec![], vec![], vec![]], [vec![], vec![], vec![]]);
    let rates = rounds(options.rounds(), &mut contenders, |one| {
        let index = match one {
            Contender::Ours(_) => 0,
            Contender::Bare(_, Way::Scripts) => 1,
            Contender::Bare(_, Way::Pipeline) => 2,
        };
        let turn = turn(runtime, server, one);
        client[index].push(turn.client);
        served[index].push(turn.served);
        turn.rate
    });
    report.add(Row::new(
        "R3",
        "locked cycle, 64 callers, against a bare pair of scripts",
        Unit::PerSecond,
        &rates[0],
        &rates[1],
        Goal::RatioAtLeast(0.85),
    ));
    report.add(Row::new(
        "R4",
        "client CPU for a locked cycle, the same",
        Unit::Milliseconds,
        &client[0],
        &client[1],
        Goal::RatioAtMost(1.5),
    ));
    report.add(Row::new(
        "R5",
        "server CPU for a locked cycle, against a bare pair of scripts",
        Unit::Milliseconds,
        &served[0],
        &served[1],
        Goal::RatioAtMost(1.15),
    ));
    report.add(Row::new(
        "R5",
        "the same, against [SET NX PX, GET] and a scripted save",
        Unit::Milliseconds,
        &served[0],
        &served[2],
        Goal::RatioAtMost(1.15),
    ));
    Ok(())
}

/// What one turn of many callers gave: cycles in a second, and CPU for each in milliseconds, here
/// and on the server.
pub(crate) struct Turn {
    pub(crate) rate: f64,
    pub(crate) client: f64,
    pub(crate) served: f64,
}

fn turn(runtime: &Runtime, server: &Server, contender: &Contender) -> Turn {
    let contender = contender.clone();
    many(runtime, server, CALLERS, move |caller, count| {
        let contender = contender.clone();
        async move { contender.cycle(session(CALLERS, caller, count)).await }
    })
}

/// Lets so many callers go round for a while.
pub(crate) fn many<F>(
    runtime: &Runtime,
    server: &Server,
    callers: NonZeroU32,
    once: impl Fn(u32, u32) -> F + Clone + Send + 'static,
) -> Turn
where
    F: Future<Output = ()> + Send + 'static,
{
    let (cpu, served, began) = (cpu_time(), server_cpu(server), Instant::now());
    let count: u32 = runtime.block_on(async {
        let tasks = (0..callers.get()).map(|number| {
            let once = once.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while began.elapsed() < TURN {
                    once(number, count).await;
                    count += 1;
                }
                count
            })
        });
        let mut count = 0;
        for task in tasks.collect::<Vec<_>>() {
            count += task.await.expect("a task that does not fail");
        }
        count
    });
    let (took, count) = (began.elapsed(), f64::from(count));
    Turn {
        rate: count / took.as_secs_f64(),
        client: (cpu_time() - cpu).as_secs_f64() * 1e3 / count,
        served: (server_cpu(server) - served) * 1e3 / count,
    }
}

/// One after another among so many sessions, for a turn; milliseconds.
pub(crate) async fn median_of_one(contender: &Contender, among: u32) -> f64 {
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < TURN {
        let started = Instant::now();
        contender.cycle(fastrand::u32(..among)).await;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    quantile(&times, 0.5)
}

impl Contender {
    pub(crate) async fn cycle(&self, session: u32) {
        match self {
            Self::Ours(driver) => locked(driver, session).await,
            Self::Bare(bare, way) => bare.clone().cycle(session, &DATA, *way).await,
        }
    }
}

async fn locked(driver: &RedisDriver, session: u32) {
    let token = LockToken::from_bytes(fastrand::u128(..).to_be_bytes());
    let claim = Claim {
        token,
        hold: HOLD,
        label: Label::default(),
    };
    let proof = stamp().proofs.current;
    let lock = Some(OpenLock { claim, proof });
    let opened = driver.open(&key(session), Open { lock }).await;
    let Ok(Opened::Found {
        snapshot,
        lock: OpenedLock::Held(_),
    }) = opened
    else {
        panic!("a lock that is free, and the answer was {opened:?}")
    };
    let written = driver.save(&key(session), save(token, &snapshot)).await;
    assert!(matches!(written, Ok(Written::Done { .. })), "{written:?}");
}

fn save(token: LockToken, snapshot: &Snapshot) -> Save {
    Save {
        op: op(),
        resend: false,
        guard: Guard::held(token, snapshot),
        stamp: snapshot.stamp,
        data: snapshot.data.clone(),
        ttl: TTL,
        release: true,
    }
}

pub(crate) async fn create(driver: &RedisDriver, session: u32) {
    let req = Create {
        op: op(),
        resend: false,
        stamp: stamp(),
        data: DATA.to_vec().into(),
        ttl: TTL,
        lock: None,
    };
    driver.create(&key(session), req).await.expect("created");
}

/// No two callers have the same one at the same time.
pub(crate) fn session(callers: NonZeroU32, caller: u32, count: u32) -> u32 {
    let each = SESSIONS / callers;
    caller * each + count % each
}

/// How much processor time the server has had, in seconds.
pub(crate) fn server_cpu(server: &Server) -> f64 {
    ["used_cpu_user", "used_cpu_sys"]
        .iter()
        .map(|field| {
            let used = server.info(field).expect("INFO");
            used.parse::<f64>().expect("seconds")
        })
        .sum()
}
