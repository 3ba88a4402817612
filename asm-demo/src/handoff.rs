//! `handoff`: many requests wait for one lock. How long does it take from one to the next?

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use asm_core::{
    Acquired, Claim, Create, Created, Driver, Epoch, Guard, Key, Label, LockToken, LockWish, OpId,
    Open, Proof, Proofs, Save, Snapshot, Stamp, Written,
};
use clap::Parser;
use futures_util::future::try_join_all;
use tokio::{sync::oneshot, time::sleep};

use crate::drivers::{DriverName, Storage};

/// Lets requests wait for one lock, in a known order, and measures each hand-off: from the moment in
/// which a holder saves and releases to the moment in which the next one has the lock and the record
/// in hand.
///
/// Requests on one handle wake each other without the network, if the driver can; those on several
/// handles are as in several processes.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    /// Where the sessions are, as for `race`.
    #[arg(long, value_name = "DRIVER", default_value_t = DriverName::Memory)]
    driver: DriverName,

    /// How many requests wait at the same time; several numbers are measured one after another.
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "8,32,128",
        value_parser = clap::value_parser!(u32).range(2..=1000)
    )]
    waiters: Vec<u32>,

    /// How long each holds the lock, such as 500us, 1ms or 2s.
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = duration)]
    hold: Duration,

    /// How many hand-offs to measure at least.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    handoffs: u32,

    /// How many handles the requests are spread over, each as another process would have it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    handles: u32,

    /// How large the record is, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    record: usize,
}

/// Why it could not be measured.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Driver(#[from] asm_core::Error),
    #[error("the lock or the session was lost on the way: {0}")]
    Lost(&'static str),
    #[error(transparent)]
    Runtime(#[from] std::io::Error),
}

/// Measures on a runtime of its own.
pub(crate) fn main(args: &Args) -> ExitCode {
    match run(args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(violations) => {
            eprintln!("handoff: {violations} were served before others who came earlier");
            ExitCode::from(1)
        }
        Err(failure) => {
            eprintln!("handoff: {failure}");
            ExitCode::from(3)
        }
    }
}

fn run(args: &Args) -> Result<usize, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(measure(args))
}

async fn measure(args: &Args) -> Result<usize, Failure> {
    let mut handles = vec![args.driver.storage().await?];
    for _ in 1..args.handles {
        handles.push(if handles[0].is_shared() {
            args.driver.storage().await?
        } else {
            handles[0].clone()
        });
    }
    println!(
        "driver {}, {} handles, hold {:?}, record {} B",
        args.driver, args.handles, args.hold, args.record
    );
    println!(
        "| waiters | hand-offs | p50 | p99 | one read, p50 | calls per hand-off | order violations |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut violations = 0;
    for &waiters in &args.waiters {
        let mut seen = Seen::default();
        while seen.gaps.len() < args.handoffs as usize {
            round(args, &handles, waiters, &mut seen).await?;
        }
        seen.gaps.sort_unstable();
        seen.reads.sort_unstable();
        violations += seen.violations;
        let calls = match seen.calls {
            Some(calls) => format!("{:.2}", calls as f64 / seen.gaps.len() as f64),
            None => "-".to_owned(),
        };
        println!(
            "| {waiters} | {} | {} | {} | {} | {calls} | {} |",
            seen.gaps.len(),
            millis(part(&seen.gaps, 0.5)),
            millis(part(&seen.gaps, 0.99)),
            millis(part(&seen.reads, 0.5)),
            seen.violations,
        );
    }
    Ok(violations)
}

/// What was measured.
#[derive(Default)]
struct Seen {
    gaps: Vec<Duration>,
    reads: Vec<Duration>,
    violations: usize,
    calls: Option<u64>,
}

/// One holder, and a queue behind it.
async fn round(
    args: &Args,
    handles: &[Storage],
    waiters: u32,
    seen: &mut Seen,
) -> Result<(), Failure> {
    let drivers: Vec<_> = handles.iter().map(Storage::connect).collect();
    let driver = &drivers[0];
    let key = Key::from_bytes(random());
    let snapshot = create(driver, &key, args.record).await?;
    for _ in 0..16 {
        let began = Instant::now();
        driver.open(&key, Open { lock: None }).await?;
        seen.reads.push(began.elapsed());
    }
    let first = acquire(driver, &key, &snapshot, 0).await?;
    let mut tasks = Vec::new();
    for place in 1..=waiters {
        let (driver, snapshot) = (
            Arc::clone(&drivers[place as usize % drivers.len()]),
            snapshot.clone(),
        );
        let hold = args.hold;
        let (done, held) = oneshot::channel();
        tokio::spawn(async move {
            let turn = turn(&driver, &key, &snapshot, place, hold).await;
            let _ = done.send(turn);
        });
        tasks.push(held);
        while driver_waiters(&drivers[0], &key).await? < place as usize {
            tokio::task::yield_now().await;
        }
    }
    let before = calls(handles);
    let released = Instant::now();
    release(driver, &key, &first).await?;
    let turns = tasks.into_iter().map(|task| async {
        task.await
            .unwrap_or(Err(Failure::Lost("a task ended early")))
    });
    let mut turns: Vec<Turn> = try_join_all(turns).await?;
    if let (Some(before), Some(after)) = (before, calls(handles)) {
        *seen.calls.get_or_insert(0) += after - before;
    }
    turns.sort_by_key(|turn| turn.held);
    let mut last = released;
    for pair in turns.windows(2) {
        seen.violations += usize::from(pair[0].place > pair[1].place);
    }
    for turn in turns {
        seen.gaps.push(turn.held.duration_since(last));
        last = turn.released;
    }
    driver
        .delete(&key, asm_core::Delete { only_if: None })
        .await?;
    Ok(())
}

/// One request's time with the lock.
struct Turn {
    place: u32,
    held: Instant,
    released: Instant,
}

#[expect(clippy::disallowed_methods, reason = "a lock is held for real time")]
async fn turn(
    driver: &Arc<dyn Driver>,
    key: &Key,
    snapshot: &Snapshot,
    place: u32,
    hold: Duration,
) -> Result<Turn, Failure> {
    let grant = acquire(driver, key, snapshot, place).await?;
    let held = Instant::now();
    sleep(hold).await;
    let released = Instant::now();
    release(driver, key, &grant).await?;
    Ok(Turn {
        place,
        held,
        released,
    })
}

/// The lock, and the record under it.
struct Grant {
    token: LockToken,
    snapshot: Snapshot,
}

async fn acquire(
    driver: &Arc<dyn Driver>,
    key: &Key,
    snapshot: &Snapshot,
    place: u32,
) -> Result<Grant, Failure> {
    let token = LockToken::from_bytes(random());
    let wish = LockWish {
        claim: Claim {
            token,
            hold: Duration::from_secs(10),
            label: Label::new(&format!("request {place}")),
        },
        epoch: snapshot.stamp.epoch,
        wait: Duration::from_secs(60),
        queue: None,
        known: None,
    };
    match driver.acquire(key, wish).await? {
        Acquired::Held {
            snapshot: Some(snapshot),
            ..
        } => Ok(Grant { token, snapshot }),
        _ => Err(Failure::Lost("the lock was not granted")),
    }
}

async fn release(driver: &Arc<dyn Driver>, key: &Key, grant: &Grant) -> Result<(), Failure> {
    let save = Save {
        op: OpId::from_bytes(random()),
        resend: false,
        guard: Guard::held(grant.token, &grant.snapshot),
        stamp: grant.snapshot.stamp,
        data: grant.snapshot.data.clone(),
        ttl: Duration::from_secs(600),
        release: true,
    };
    match driver.save(key, save).await? {
        Written::Done { .. } => Ok(()),
        _ => Err(Failure::Lost("a save under the lock was refused")),
    }
}

async fn create(driver: &Arc<dyn Driver>, key: &Key, size: usize) -> Result<Snapshot, Failure> {
    let create = Create {
        op: OpId::from_bytes(random()),
        resend: false,
        stamp: Stamp {
            epoch: Epoch::new(fastrand::u64(..)),
            proofs: Proofs {
                current: Proof::from_bytes(random()),
                pending: None,
            },
        },
        data: vec![b'x'; size].into(),
        ttl: Duration::from_secs(600),
        lock: None,
    };
    match driver.create(key, create).await? {
        Created::Done { .. } => {}
        _ => return Err(Failure::Lost("the key is taken")),
    }
    match driver.open(key, Open { lock: None }).await? {
        asm_core::Opened::Found { snapshot, .. } => Ok(snapshot),
        _ => Err(Failure::Lost("the session is not there")),
    }
}

async fn driver_waiters(driver: &Arc<dyn Driver>, key: &Key) -> Result<usize, Failure> {
    Ok(driver.inspect(key).await?.waiters.len())
}

/// How often the server was asked by all handles, if the driver tells.
fn calls(handles: &[Storage]) -> Option<u64> {
    handles.iter().map(Storage::calls).sum()
}

fn part(sorted: &[Duration], part: f64) -> Duration {
    let place = (sorted.len() as f64 * part) as usize;
    sorted
        .get(place.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

fn millis(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}

fn random<const N: usize>() -> [u8; N] {
    std::array::from_fn(|_| fastrand::u8(..))
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a number and us, ms or s".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..end].parse().map_err(|_| wrong())?;
    match &text[end..] {
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(duration("500us"), Ok(Duration::from_micros(500)));
        assert_eq!(duration("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        for wrong in ["", "1", "ms", "1h", "-1ms"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parts_of_few_are_there() {
        let ms = Duration::from_millis;
        assert_eq!(part(&[ms(1), ms(2), ms(3)], 0.5), ms(2));
        assert_eq!(part(&[ms(1)], 0.99), ms(1));
        assert_eq!(part(&[], 0.5), Duration::ZERO);
    }
}
