//! Rows R2 to R5: open with the lock, then save and unlock, on opaque bytes of 1 KiB.

use std::{
    error::Error,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use asm_bench::{Goal, Options, Report, Row, Unit, callers, key, op, quantile, rounds, stamp};
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
    let together = ["R3", "R4", "R5"].iter().any(|row| options.wants(row));
    if !together && !options.wants("R2") {
        return Ok(());
    }
    let mut contenders = runtime.block_on(contenders(server))?;
    if options.wants("R2") {
        one_caller(options, report, runtime, &mut contenders);
    }
    if together {
        many_callers(options, report, runtime, server, &mut contenders);
    }
    Ok(())
}

/// Ours; and bare ones, with a lock in two ways and without any.
async fn contenders(server: &Server) -> Result<[Contender; 4], Box<dyn Error>> {
    let driver = RedisDriver::connect(server.url()).await?;
    let mut bare = Bare::new(server).await?;
    for session in 0..SESSIONS {
        create(&driver, session).await;
        bare.store(session, &DATA).await;
    }
    Ok([
        Contender::Ours(driver),
        Contender::Bare(bare.clone(), Way::Scripts),
        Contender::Bare(bare.clone(), Way::Pipeline),
        Contender::Bare(bare, Way::None),
    ])
}

fn one_caller(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    contenders: &mut [Contender; 4],
) {
    let figures = rounds(options.rounds(), &mut contenders[..2], |one| {
        runtime.block_on(median_of_one(one, SESSIONS))
    });
    let what = "locked cycle, 1 caller, p50, against a bare pair of scripts";
    let goal = Goal::RatioAtMost(1.10);
    let row = Row::new("R2", what, Unit::Milliseconds, &figures[0], goal);
    report.add(row.against(&figures[1]));
}

fn many_callers(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    server: &Server,
    contenders: &mut [Contender; 4],
) {
    let turns = rounds(options.rounds(), contenders, |one| {
        let one = one.clone();
        many(runtime, server, CALLERS, move |caller, count| {
            let one = one.clone();
            async move { one.cycle(session(CALLERS, caller, count)).await }
        })
    });
    let of = |place: usize, figure: fn(&Turn) -> f64| -> Vec<f64> {
        turns[place].iter().map(figure).collect()
    };
    let [ours, scripts, pipeline, unlocked] = [0, 1, 2, 3];
    let rate: fn(&Turn) -> f64 = |turn| turn.rate;
    let client: fn(&Turn) -> f64 = |turn| turn.client;
    let served: fn(&Turn) -> f64 = |turn| turn.served;
    let rows = [
        (
            "R3",
            "locked cycle, 64 callers, against a bare pair of scripts",
            (Unit::PerSecond, rate, ours, scripts),
            Goal::RatioAtLeast(0.85),
        ),
        (
            "R4",
            "client CPU for a locked cycle, the same",
            (Unit::Milliseconds, client, ours, scripts),
            Goal::RatioAtMost(1.5),
        ),
        (
            "R5",
            "server CPU for a locked cycle, against a bare pair of scripts",
            (Unit::Milliseconds, served, ours, scripts),
            Goal::RatioAtMost(1.15),
        ),
        (
            "R5",
            "the same, against [SET NX PX, GET] and a scripted save",
            (Unit::Milliseconds, served, ours, pipeline),
            Goal::RatioAtMost(1.15),
        ),
        (
            "R5",
            "GET and SET alone, which check nothing, against a bare pair of scripts",
            (Unit::Milliseconds, served, unlocked, scripts),
            Goal::None,
        ),
    ];
    for (id, what, (unit, figure, whose, yardstick), goal) in rows {
        let row = Row::new(id, what, unit, &of(whose, figure), goal);
        report.add(row.against(&of(yardstick, figure)));
    }
}

/// What one turn of many callers gave: cycles in a second, and CPU for each in milliseconds, here
/// and on the server.
pub(crate) struct Turn {
    pub(crate) rate: f64,
    pub(crate) client: f64,
    pub(crate) served: f64,
}

/// Lets so many callers go round for a while.
pub(crate) fn many<F>(
    runtime: &Runtime,
    server: &Server,
    count: NonZeroU32,
    once: impl Fn(u32, u32) -> F + Clone + Send + 'static,
) -> Turn
where
    F: Future<Output = ()> + Send + 'static,
{
    let served = server_cpu(server);
    let done = runtime.block_on(callers(count.get(), TURN, once));
    Turn {
        rate: done.rate(),
        client: done.cpu_for_one(),
        served: (server_cpu(server) - served) * 1e3 / done.count as f64,
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

/// How much processor time the server has had, in seconds. It is asked once, and for nothing else.
pub(crate) fn server_cpu(server: &Server) -> f64 {
    let info: String = server.call(&["INFO", "cpu"]).expect("INFO");
    let used = |line: &str| {
        let used = line.strip_prefix("used_cpu_user:");
        let used = used.or_else(|| line.strip_prefix("used_cpu_sys:"))?;
        Some(used.trim().parse::<f64>().expect("seconds"))
    };
    info.lines().filter_map(used).sum()
}
