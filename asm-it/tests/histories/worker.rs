//! A process that makes requests, and says of each that it begins and how it ended, in lines.

use std::{
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use asm_session::Sessions;
use asm_testkit::history::{Outcome, Prefix, Request, append, push, transact, update};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::place;

/// Requests that a process makes at once.
const TASKS: u64 = 4;

/// Of so many requests one is dropped before it is done.
const DROPPED: u64 = 40;

/// How long who was refused lets the others go first, at most.
const RESPITE: Duration = Duration::from_millis(10);

pub(crate) const PLACE: &str = "ASM_IT_PLACE";
pub(crate) const SESSIONS: &str = "ASM_IT_SESSIONS";
pub(crate) const NUMBER: &str = "ASM_IT_NUMBER";

/// One line: a request to this list begins, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) list: List,
    pub(crate) request: Request,
}

/// Each session, by its number, has two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum List {
    /// In the record: read, changed and saved.
    Entry(usize),
    /// A lockless field: pushed to.
    Field(usize),
}

/// Nanoseconds of a clock that all processes of the machine share.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[test]
#[ignore = "is started by the others"]
fn worker() {
    let Ok(place) = std::env::var(PLACE) else {
        return;
    };
    let setting = |name| std::env::var(name).expect("a setting");
    let ids: Vec<_> = setting(SESSIONS).split(' ').map(str::to_owned).collect();
    let number: u64 = setting(NUMBER).parse().expect("a number");
    // What the test harness began is another line.
    println!();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let driver = place::driver(&place).await;
        work(place::modes(&driver), ids, number, told_to_end(), say).await;
    });
}

/// Makes requests to these sessions, one behind the other in each of some tasks, until it is over.
pub(crate) async fn work(
    modes: [Sessions; 2],
    ids: Vec<String>,
    number: u64,
    over: Arc<AtomicBool>,
    say: impl Fn(Line) + Clone + Send + 'static,
) {
    let ids = Arc::new(ids);
    let counted = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (ids, counted) = (Arc::clone(&ids), Arc::clone(&counted));
        let (modes, over, say) = (modes.clone(), Arc::clone(&over), say.clone());
        tasks.push(tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(number << 8 | task);
            while !over.load(Relaxed) {
                let op = number << 32 | counted.fetch_add(1, Relaxed);
                let session = random.usize(..ids.len());
                let sessions = &modes[random.usize(..modes.len())];
                let how = random.u8(..8);
                let list = match how {
                    0 => List::Field(session),
                    _ => List::Entry(session),
                };
                say(begins(list, op));
                let request = async {
                    let id = &ids[session];
                    match how {
                        0 => push(&modes[1], id, op, now).await,
                        1 => transact(sessions, id, op, now).await,
                        2..=4 => update(sessions, id, op, now).await,
                        _ => append(sessions, id, op, now).await,
                    }
                };
                let patience = match random.u64(..DROPPED) {
                    0 => Duration::from_micros(random.u64(..3000)),
                    _ => Duration::MAX,
                };
                let Ok(request) = tokio::time::timeout(patience, request).await else {
                    continue;
                };
                say(Line { list, request });
                if request.outcome != Outcome::Acknowledged {
                    modes[0].sleep(RESPITE.mul_f64(random.f64())).await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("a task");
    }
}

/// As long as nothing else is heard of it.
fn begins(list: List, op: u64) -> Line {
    let request = Request {
        op,
        began: now(),
        ended: None,
        read: None,
        hold: None,
        outcome: Outcome::Unknown,
    };
    Line { list, request }
}

/// Whoever started this process closes its input when it shall end.
fn told_to_end() -> Arc<AtomicBool> {
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Relaxed);
    });
    over
}

/// In one write, which a reader sees whole or not at all.
fn say(line: Line) {
    println!("{}", line.spelled());
}

impl Line {
    fn spelled(&self) -> String {
        serde_json::to_string(self).expect("numbers and names")
    }

    /// What [`say`] said; nothing if it is a line of another.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

#[test]
fn a_line_is_read_as_it_was_said() {
    use asm_testkit::history::{Hold, Refusal};

    let plain = begins(List::Entry(3), 7);
    let full = Request {
        ended: Some(now()),
        read: Some(Prefix::of(&[1, 2])),
        hold: Some(Hold {
            fence: 9,
            since: now(),
            until: now(),
        }),
        outcome: Outcome::Refused(Refusal::Conflict),
        ..plain.request
    };
    let pushed = Request { read: None, ..full };
    for (list, request) in [
        (plain.list, plain.request),
        (plain.list, full),
        (List::Field(3), pushed),
    ] {
        let line = Line { list, request };
        let spelled = line.spelled();
        assert_eq!(Line::parse(&spelled), Some(line));
        for end in 0..spelled.len() {
            assert_eq!(Line::parse(&spelled[..end]), None, "a line that was cut");
        }
    }
    for other in ["", "running 1 test", "{}", "{\"list\":1}"] {
        assert_eq!(Line::parse(other), None);
    }
}
