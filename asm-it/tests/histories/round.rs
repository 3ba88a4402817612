//! One round: sessions with empty lists, requests and troubles, and the lists in the end.

use std::{
    collections::HashMap,
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
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
    history::{Outcome, Request, Switch, list},
};

use crate::{
    clock::{HOUR, WallClock},
    place::{self, Place},
    switch::{self, Reason},
    tally::Tally,
    trouble::Nemesis,
    worker::{self, Line, now, work},
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

/// Requests of several processes, while a nemesis troubles them and the place.
pub(crate) fn race(place: &Place, course: &Course) -> Tally {
    let mut race = Race::start(place, course);
    race.run(course.acknowledged);
    race.end(None)
}

/// The same, and halfway another becomes the master.
pub(crate) fn race_across(place: &Place, course: &Course, reason: Reason) -> Tally {
    loop {
        let mut counts = vec![switch::count(place)];
        let mut race = Race::start(place, course);
        race.run(course.acknowledged / 2);
        counts.push(switch::count(place));
        let switch = reason.strike(place, &race.team.some_record());
        counts.push(switch::count(place));
        race.run(course.acknowledged);
        counts.push(switch::count(place));
        let mut tally = race.end(Some(switch));
        tally.trouble(reason.name(), 1);
        if counts[0] == counts[1] && counts[2] == counts[3] {
            return tally;
        }
        // The machine was too busy for a master to be heard of: there was another switch, and
        // nobody knows when.
        println!("another switch than the one that was made, {counts:?}: once more");
    }
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

    fn end(self, switch: Option<Switch>) -> Tally {
        let (history, mut tally) = (self.team.end(), Tally::default());
        self.nemesis.tell(&mut tally);
        self.runtime.block_on(async {
            // A handle that nothing has happened to.
            let driver = place::driver(&self.spelled).await;
            let [_, plain] = place::modes(&driver);
            judged(&plain, &self.ids, &history, switch, &mut tally).await;
        });
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
            let modes = place::modes(&around(troubled(&healthy, number)));
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
                        if switched && acknowledged >= course.acknowledged / 2 {
                            let (began, ended) = (now(), now());
                            switch.get_or_insert(Switch { began, ended });
                        }
                        over.fetch_or(acknowledged >= course.acknowledged, Relaxed);
                    }
                })
                .join()
        });
        heard.expect("a listener");
        for worker in workers {
            worker.await.expect("a worker");
        }
        let mut tally = Tally::default();
        judged(&plain, &ids, &history, switch, &mut tally).await;
        tally
    })
}

/// What a network does: one handle's calls, by chance.
fn troubled(driver: &Arc<dyn Driver>, seed: u64) -> Arc<dyn Driver> {
    let troubled = Chaos::over(Arc::clone(driver), TokioClock::new());
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

async fn judged(
    sessions: &Sessions,
    ids: &[String],
    history: &History,
    switch: Option<Switch>,
    tally: &mut Tally,
) {
    for (number, id) in ids.iter().enumerate() {
        let list = list(sessions, id).await.expect("a list");
        tally.session(&history.of(number), &list, switch);
    }
}

/// All requests, by session and number.
#[derive(Debug, Default)]
struct History(HashMap<usize, HashMap<u64, Request>>);

impl History {
    /// Whether it is one more that was acknowledged.
    fn add(&mut self, line: Line) -> bool {
        let session = self.0.entry(line.session).or_default();
        session.insert(line.request.op, line.request);
        line.request.outcome == Outcome::Acknowledged
    }

    fn of(&self, session: usize) -> Vec<Request> {
        let requests = self.0.get(&session);
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
        let line = self.lines.recv().expect("this end has a sender, too");
        self.history.add(line)
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
