//! One round: sessions with empty lists, requests and troubles, and the lists in the end.

use std::{
    collections::HashMap,
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use asm_core::Driver;
use asm_entry::TokioClock;
use asm_memory::MemoryDriver;
use asm_session::{Client, IdUpdate, SessionId, Sessions};
use asm_testkit::{
    Chaos, Odds,
    history::{Outcome, Request, Switch, list, pushed},
};

use crate::{
    clock::{HOUR, WallClock},
    place::{self, Place},
    switch::{self, Reason},
    tally::{LOST_LOCK, Masters, Tally},
    trouble::{Nemesis, Stalled},
    worker::{self, Line, List, now, work},
};

/// How long a round is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) sessions: usize,
    /// It ends when so many requests were acknowledged.
    pub(crate) acknowledged: u64,
    /// After so many comes a trouble.
    pub(crate) peace: u64,
    /// Each process has a wall clock of its own, which is stepped.
    pub(crate) clocks: bool,
    /// Slots of a cluster are moved.
    pub(crate) moves: bool,
}

/// Processes at once.
const TEAM: usize = 3;

/// So many times as long as it is, a round goes on until a trouble has cost somebody a lock.
const PATIENT: u64 = 16;

/// How often a round is tried until there is no other switch than that which is made.
const ROUNDS: usize = 5;

/// Of switches of which nothing is known.
const ANY_TIME: Switch = Switch {
    in_sync: 0,
    began: 0,
    ended: u64::MAX,
};

/// Without a word of any process for so long, it is looked whether all are there.
const SILENCE: Duration = Duration::from_secs(1);

/// How many such silences there may be: more than a request may wait.
const SILENCES: u32 = 180;

/// Requests of several processes, while a nemesis troubles them and the place.
pub(crate) fn race(place: &Place, course: &Course) -> Tally {
    let mut race = Race::start(place, course);
    race.run(course.acknowledged);
    // What stood still had no lock, by chance.
    while !race.lost_a_lock() && race.acknowledged < PATIENT * course.acknowledged {
        race.run(race.acknowledged + course.peace);
    }
    race.end(|| match place {
        Place::Redis { clock: Some(_), .. } => Masters::OneWithoutClock,
        _ => Masters::One,
    })
}

/// The same, and halfway another becomes the master.
pub(crate) fn race_across(place: &Place, course: &Course, reason: Reason) -> Tally {
    let mut total = Tally::default();
    for _ in 0..ROUNDS {
        let before = switch::count(place);
        let mut race = Race::start(place, course);
        race.run(course.acknowledged / 2);
        let began = switch::count(place);
        let switch = reason.strike(place, &race.team.some_record());
        let ended = switch::count(place);
        race.run(course.acknowledged);

        let mut counts = [before, began, ended, 0];
        let tally = race.end(|| {
            counts[3] = switch::count(place);
            match one_more(counts) {
                true => Masters::Two(switch),
                false => Masters::Several(ANY_TIME),
            }
        });
        total.add(tally);
        if one_more(counts) || !total.violations().is_empty() {
            total.trouble(reason.name(), 1);
            return total;
        }
        // The machine was too busy for a master to be heard of, or for a vote: there may have been
        // another switch, and nobody knows when.
        println!("another switch than the one that was made, {counts:?}: once more");
        total.trouble("a switch that nobody made", 1);
    }
    panic!("another switch than the one that was made, {ROUNDS} times\n{total}");
}

/// Whether there was one switch, and that between the second count and the third.
fn one_more([before, began, ended, after]: [u64; 4]) -> bool {
    before == began && began + 1 == ended && ended == after
}

/// Processes at work on sessions with lists that were empty.
struct Race<'a> {
    runtime: tokio::runtime::Runtime,
    spelled: String,
    ids: Vec<String>,
    team: Team,
    nemesis: Nemesis<'a>,
    peace: u64,
    acknowledged: u64,
}

impl<'a> Race<'a> {
    fn start(place: &'a Place, course: &Course) -> Self {
        let runtime = runtime();
        let spelled = place.spelled();
        let driver = runtime.block_on(place::driver(&spelled));
        let [_, plain] = place::modes(&driver);
        let ids = runtime.block_on(created(&plain, course.sessions));
        Self {
            team: Team::start(&spelled, &ids, course.clocks),
            nemesis: Nemesis::of(place, course),
            peace: course.peace,
            acknowledged: 0,
            runtime,
            spelled,
            ids,
        }
    }

    /// Until so many requests were acknowledged.
    fn run(&mut self, acknowledged: u64) {
        while self.acknowledged < acknowledged {
            let next = self.acknowledged + self.peace;
            while self.acknowledged < next {
                self.acknowledged += u64::from(self.team.hear());
            }
            self.nemesis.strike(&mut self.team);
        }
    }

    fn lost_a_lock(&self) -> bool {
        self.team.history.lost_locks > 0
    }

    /// What the masters were is asked last: those of the moment when the lists are read count, too.
    fn end(self, masters: impl FnOnce() -> Masters) -> Tally {
        let history = self.team.end();
        let lists = self.runtime.block_on(async {
            // A handle that nothing has happened to.
            let driver = place::driver(&self.spelled).await;
            let [_, plain] = place::modes(&driver);
            lists(&plain, &self.ids).await
        });
        let mut tally = judged(&lists, &history, masters());
        self.nemesis.tell(&mut tally);
        tally
    }
}

/// The same in this process and in its memory, over a driver that is troubled, and through whatever
/// is put around it.
pub(crate) fn in_memory(
    course: &Course,
    around: impl Fn(Arc<dyn Driver>) -> Arc<dyn Driver>,
) -> Tally {
    in_memory_as_if(course, around, false)
}

/// The same, judged as if another had become the master halfway.
pub(crate) fn in_memory_as_if(
    course: &Course,
    around: impl Fn(Arc<dyn Driver>) -> Arc<dyn Driver>,
    switched: bool,
) -> Tally {
    let runtime = runtime();
    runtime.block_on(async {
        let healthy: Arc<dyn Driver> = Arc::new(MemoryDriver::new());
        let [_, plain] = place::modes(&healthy);
        let ids = created(&plain, course.sessions).await;
        let (sender, lines) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let mut workers = Vec::new();
        for number in 0..TEAM as u64 {
            let modes = place::modes(&around(troubled(&healthy, number, course)));
            let sender = sender.clone();
            // Who heard enough listens no more.
            let say = move |line| {
                let _ = sender.send(line);
            };
            workers.push(tokio::spawn(work(
                modes,
                ids.clone(),
                number,
                Arc::clone(&over),
                say,
            )));
        }
        drop(sender);
        let mut history = History::default();
        let (mut acknowledged, mut switch) = (0, None);
        // The lines end when the workers do.
        let heard = thread::scope(|scope| {
            scope
                .spawn(|| {
                    for line in lines {
                        acknowledged += u64::from(history.add(line));
                        let enough = match history.lost_locks {
                            0 => PATIENT * course.acknowledged,
                            _ => course.acknowledged,
                        };
                        if switched && acknowledged >= course.acknowledged / 2 {
                            let (began, ended) = (now(), now());
                            switch.get_or_insert(Switch {
                                in_sync: began,
                                began,
                                ended,
                            });
                        }
                        over.fetch_or(acknowledged >= enough, Relaxed);
                    }
                })
                .join()
        });
        heard.expect("a listener");
        for worker in workers {
            worker.await.expect("a worker");
        }
        let masters = switch.map_or(Masters::One, Masters::Two);
        judged(&lists(&plain, &ids).await, &history, masters)
    })
}

/// What a network does, and processes that stand still: one handle's calls, by chance.
fn troubled(driver: &Arc<dyn Driver>, seed: u64, course: &Course) -> Arc<dyn Driver> {
    let stalled = Stalled::over(Arc::clone(driver), seed, 2 * course.peace);
    let troubled = Chaos::over(stalled, TokioClock::new());
    troubled.layer().at_random(
        seed,
        Odds {
            refused: 0.02,
            lost_answer: 0.02,
            twice: 0.02,
            late: 0.02,
            delay: Duration::from_millis(5),
        },
    );
    Arc::new(troubled)
}

async fn created(sessions: &Sessions, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let mut session = sessions.create(&Client::default()).expect("a session");
        session.insert("made", &true).expect("an entry");
        session.close().await.expect("a saved session");
        match session.id_update() {
            IdUpdate::Issue(id) => ids.push(id.expose().to_string()),
            other => panic!("a new session has an id: {other:?}"),
        }
    }
    ids
}

/// What the lists have become.
async fn lists(sessions: &Sessions, ids: &[String]) -> Vec<(List, Vec<u64>)> {
    let mut lists = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let entry = list(sessions, id).await.expect("a list");
        let field = pushed(sessions, id).await.expect("a list");
        lists.extend([(List::Entry(number), entry), (List::Field(number), field)]);
    }
    lists
}

fn judged(lists: &[(List, Vec<u64>)], history: &History, masters: Masters) -> Tally {
    let mut tally = Tally::default();
    for (which, list) in lists {
        tally.list(*which, &history.of(*which), list, masters);
    }
    tally
}

/// All requests, by list and number.
#[derive(Debug, Default)]
struct History {
    requests: HashMap<List, HashMap<u64, Request>>,
    lost_locks: u64,
}

impl History {
    /// Whether it is one more that was acknowledged.
    fn add(&mut self, line: Line) -> bool {
        let list = self.requests.entry(line.list).or_default();
        list.insert(line.request.op, line.request);
        self.lost_locks += u64::from(line.request.outcome == LOST_LOCK);
        line.request.outcome == Outcome::Acknowledged
    }

    fn of(&self, list: List) -> Vec<Request> {
        let requests = self.requests.get(&list);
        requests.map_or_else(Vec::new, |requests| requests.values().copied().collect())
    }
}

/// Processes that make requests. Who dies is replaced.
#[derive(Debug)]
pub(crate) struct Team {
    spelled: String,
    ids: Vec<String>,
    clocks: bool,
    started: u64,
    workers: Vec<Worker>,
    ears: Vec<thread::JoinHandle<()>>,
    mouth: Sender<Line>,
    lines: Receiver<Line>,
    history: History,
}

/// A process, and its wall clock if that is not the machine's.
#[derive(Debug)]
struct Worker {
    process: Child,
    clock: Option<WallClock>,
}

impl Team {
    fn start(spelled: &str, ids: &[String], clocks: bool) -> Self {
        let (mouth, lines) = channel();
        let mut team = Self {
            spelled: spelled.to_owned(),
            ids: ids.to_owned(),
            clocks,
            started: 0,
            workers: Vec::new(),
            ears: Vec::new(),
            mouth,
            lines,
            history: History::default(),
        };
        for _ in 0..TEAM {
            let worker = team.worker();
            team.workers.push(worker);
        }
        team
    }

    /// Waits for a line. Whether it tells of one more that was acknowledged.
    fn hear(&mut self) -> bool {
        for _ in 0..SILENCES {
            match self.lines.recv_timeout(SILENCE) {
                Ok(line) => return self.history.add(line),
                Err(RecvTimeoutError::Timeout) => self.all_live(),
                Err(RecvTimeoutError::Disconnected) => unreachable!("this end has a sender, too"),
            }
        }
        panic!("no process says anything any more");
    }

    fn all_live(&mut self) {
        for worker in &mut self.workers {
            let end = worker.process.try_wait().expect("a process");
            assert_eq!(end, None, "a worker ended by itself");
        }
    }

    /// Some worker.
    pub(crate) fn any(&self) -> &Child {
        &self.workers[fastrand::usize(..self.workers.len())].process
    }

    /// The key under which a redis has some session.
    pub(crate) fn some_record(&self) -> String {
        let id = &self.ids[fastrand::usize(..self.ids.len())];
        let id = SessionId::parse(id).expect("an id");
        format!("asm:{{{}}}", id.handle())
    }

    /// Sets some worker's clock, to so many seconds ahead of the machine's.
    pub(crate) fn step_one(&self, ahead: i64) {
        let worker = &self.workers[fastrand::usize(..self.workers.len())];
        worker.clock.as_ref().expect("a clock").step(ahead);
    }

    /// Kills some worker, and starts another.
    pub(crate) fn replace_one(&mut self) {
        let new = self.worker();
        let place = fastrand::usize(..self.workers.len());
        let Worker { mut process, .. } = std::mem::replace(&mut self.workers[place], new);
        process.kill().expect("a signal");
        process.wait().expect("its end");
    }

    /// Lets all come to the end of their requests.
    fn end(mut self) -> History {
        for worker in &mut self.workers {
            drop(worker.process.stdin.take());
        }
        for mut worker in self.workers {
            let end = worker.process.wait().expect("its end");
            assert!(end.success(), "a worker failed");
        }
        for ear in self.ears {
            ear.join().expect("a listener");
        }
        drop(self.mouth);
        for line in self.lines {
            self.history.add(line);
        }
        self.history
    }

    fn worker(&mut self) -> Worker {
        self.started += 1;
        let clock = self.clocks.then(WallClock::new);
        if let Some(clock) = &clock {
            clock.step(HOUR * fastrand::i64(-1..=1));
        }
        let mut process = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "worker::worker", "--ignored", "--nocapture"])
            .env(worker::PLACE, &self.spelled)
            .env(worker::SESSIONS, self.ids.join(" "))
            .env(worker::NUMBER, self.started.to_string())
            .envs(clock.iter().flat_map(WallClock::settings))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let said = BufReader::new(process.stdout.take().expect("its output"));
        let mouth = self.mouth.clone();
        self.ears.push(thread::spawn(move || {
            let lines = said.lines().map_while(Result::ok);
            for line in lines.filter_map(|line| Line::parse(&line)) {
                let _ = mouth.send(line);
            }
        }));
        Worker { process, clock }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}
