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
use asm_testkit::history::{Outcome, Prefix, Request, append};
use rustix::time::{ClockId, clock_gettime};

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

/// One line: a request to the session of this number begins, or has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) session: usize,
    pub(crate) request: Request,
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
                say(begins(session, op));
                let request = append(sessions, &ids[session], op, now);
                let patience = match random.u64(..DROPPED) {
                    0 => Duration::from_micros(random.u64(..3000)),
                    _ => Duration::MAX,
                };
                let Ok(request) = tokio::time::timeout(patience, request).await else {
                    continue;
                };
                say(Line { session, request });
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
fn begins(session: usize, op: u64) -> Line {
    let request = Request {
        op,
        began: now(),
        ended: None,
        read: None,
        fence: None,
        outcome: Outcome::Unknown,
    };
    Line { session, request }
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
        let request = &self.request;
        let read = request.read.unwrap_or(Prefix::EMPTY);
        let outcome = match request.outcome {
            Outcome::Acknowledged => 'a',
            Outcome::Refused => 'r',
            Outcome::Unknown => 'u',
        };
        let or_none =
            |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
        format!(
            "request {} {} {} {} {} {} {} {outcome}",
            self.session,
            request.op,
            request.began,
            or_none(request.ended),
            or_none(request.read.map(|read| read.len as u64)),
            read.digest,
            or_none(request.fence),
        )
    }

    /// What [`say`] said; nothing if it is a line of another.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.strip_prefix("request ")?.split(' ').collect();
        let [session, op, began, ended, len, digest, fence, outcome] = words[..] else {
            return None;
        };
        let number = |word: &str| word.parse::<u64>().ok();
        let read = number(len).zip(number(digest)).map(|(len, digest)| Prefix {
            len: len as usize,
            digest,
        });
        Some(Self {
            session: session.parse().ok()?,
            request: Request {
                op: number(op)?,
                began: number(began)?,
                ended: number(ended),
                read,
                fence: number(fence),
                outcome: match outcome {
                    "a" => Outcome::Acknowledged,
                    "r" => Outcome::Refused,
                    "u" => Outcome::Unknown,
                    _ => return None,
                },
            },
        })
    }
}

#[test]
fn a_line_is_read_as_it_was_said() {
    let plain = begins(3, 7);
    let full = Request {
        ended: Some(now()),
        read: Some(Prefix::of(&[1, 2])),
        fence: Some(9),
        outcome: Outcome::Refused,
        ..plain.request
    };
    for request in [plain.request, full] {
        let line = Line {
            session: 3,
            request,
        };
        assert_eq!(Line::parse(&line.spelled()), Some(line));
    }
    for other in ["", "running 1 test", "request", "request 1 2 3 - - 0 - x"] {
        assert_eq!(Line::parse(other), None);
    }
}
