//! What happens to processes, servers and connections.

use std::{
    collections::BTreeMap,
    ops::Range,
    process::Child,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use asm_core::{Clock as _, Driver, Key, Result, Save, Written};
use asm_entry::TokioClock;
use asm_servers::{Cluster, Direction, Proxy, Server};
use asm_testkit::{Layer, Layered};
use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    clock::{HOUR, WallClock},
    place::{HOLD, Place},
    round::{Course, Team},
    tally::Tally,
};

/// Troubles in turn, a little different each time.
#[derive(Debug)]
pub(crate) struct Nemesis<'a> {
    troubles: Vec<Trouble<'a>>,
    struck: BTreeMap<&'static str, u64>,
    turn: usize,
}

#[derive(Clone, Copy, Debug)]
enum Trouble<'a> {
    /// A process is killed, and another begins.
    Killed,
    /// A process stands still, for less than it may hold a lock.
    Stopped,
    /// A process stands still until the locks that it had are over.
    StoppedForLong,
    /// The wall clock of a process is set forward or back by an hour.
    Stepped,
    /// All connections are cut.
    Cut(&'a Proxy),
    /// Requests or answers are late.
    Slow(&'a Proxy),
    /// Requests or answers do not come through, and connections stay.
    Stuck(&'a Proxy),
    /// The server stands still.
    ServerStopped(&'a Server),
    /// The server is killed, and another goes on with what is on the disk.
    ServerKilled(&'a Server),
    /// The wall clock of the server is set forward by an hour, and back.
    ServerStepped(&'a WallClock),
    /// The slot of a session is moved to another node.
    SlotMoved(&'a Cluster),
}

const HOLD_MS: u64 = HOLD.as_millis() as u64;

/// Milliseconds behind which a lock is over.
const FOR_LONG: Range<u64> = HOLD_MS * 5 / 4..HOLD_MS * 9 / 4;

impl<'a> Nemesis<'a> {
    pub(crate) fn of(place: &'a Place, course: &Course) -> Self {
        let mut troubles = vec![Trouble::Stopped, Trouble::StoppedForLong];
        match place {
            Place::Cluster(cluster) if course.moves => {
                troubles.extend([Trouble::Killed, Trouble::SlotMoved(cluster)]);
            }
            Place::File(_) | Place::Sentinels(_) | Place::Cluster(_) => {
                troubles.push(Trouble::Killed);
            }
            // Nobody is killed: a lock would last for an hour when the clock goes back.
            Place::Redis {
                clock: Some(clock), ..
            } => troubles.push(Trouble::ServerStepped(clock)),
            Place::Redis { server, proxy, .. } => troubles.extend([
                Trouble::Killed,
                Trouble::Cut(proxy),
                Trouble::Slow(proxy),
                Trouble::Stuck(proxy),
                Trouble::ServerStopped(server),
                Trouble::ServerKilled(server),
            ]),
        }
        if course.clocks {
            troubles.extend([Trouble::Stepped, Trouble::Stepped]);
        }
        Self {
            struck: troubles.iter().map(|trouble| (trouble.name(), 0)).collect(),
            troubles,
            turn: 0,
        }
    }

    /// The next one begins and ends.
    pub(crate) fn strike(&mut self, team: &mut Team) {
        let trouble = self.troubles[self.turn % self.troubles.len()];
        self.turn += 1;
        *self.struck.entry(trouble.name()).or_default() += 1;
        trouble.strike(team);
    }

    pub(crate) fn tell(self, tally: &mut Tally) {
        for (name, times) in self.struck {
            tally.trouble(name, times);
        }
    }
}

impl Trouble<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Stopped => "stopped",
            Self::StoppedForLong => "stopped for longer than a hold",
            Self::Cut(_) => "cut",
            Self::Slow(_) => "slow",
            Self::Stuck(_) => "stuck",
            Self::ServerStopped(_) => "server stopped",
            Self::ServerKilled(_) => "server killed",
            Self::Stepped => "clock stepped",
            Self::ServerStepped(_) => "clock of the server stepped",
            Self::SlotMoved(_) => "slot moved",
        }
    }

    fn strike(self, team: &mut Team) {
        match self {
            Self::Killed => team.replace_one(),
            Self::Stopped => stop(team.any(), 0..HOLD_MS / 2),
            Self::StoppedForLong => stop(team.any(), FOR_LONG),
            Self::Cut(proxy) => proxy.drop_connections(),
            Self::Slow(proxy) => {
                let direction = either();
                proxy.delay(direction, Duration::from_millis(fastrand::u64(1..20)));
                lasts(0..200);
                proxy.delay(direction, Duration::ZERO);
            }
            Self::Stuck(proxy) => {
                proxy.hold(either());
                lasts(0..500);
                proxy.resume();
            }
            Self::ServerStopped(server) => {
                server.stop().expect("a stopped server");
                lasts(0..500);
                server.cont().expect("a server that goes on");
            }
            Self::ServerKilled(server) => server.restart().expect("another server"),
            Self::Stepped => team.step_one(HOUR * fastrand::i64(-1..=1)),
            Self::ServerStepped(clock) => {
                clock.step(HOUR);
                lasts(0..200);
                clock.step(0);
            }
            Self::SlotMoved(cluster) => move_slot(cluster, &team.some_record()),
        }
    }
}

/// A driver of a process that stands still before it saves, now and then, until the lock that it had
/// is over.
#[derive(Debug)]
pub(crate) struct Stalled {
    driver: Arc<dyn Driver>,
    random: Mutex<fastrand::Rng>,
    one_of: u64,
}

impl Stalled {
    /// One of so many saves is late.
    pub(crate) fn over(driver: Arc<dyn Driver>, seed: u64, one_of: u64) -> Arc<dyn Driver> {
        Arc::new(Layered::new(Self {
            driver,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            one_of,
        }))
    }

    fn by(&self) -> Option<Duration> {
        let mut random = self.random.lock().expect("nobody panics here");
        let stalls = random.u64(..self.one_of) == 0;
        stalls.then(|| Duration::from_millis(random.u64(FOR_LONG)))
    }
}

#[async_trait]
impl Layer for Stalled {
    fn inner(&self) -> &dyn Driver {
        &*self.driver
    }

    async fn save(&self, key: &Key, req: Save) -> Result<Written> {
        if let Some(by) = self.by() {
            TokioClock::new().sleep(by).await;
        }
        self.driver.save(key, req).await
    }
}

/// To another node, as one that is called `redis-cli --cluster reshard` does it.
fn move_slot(cluster: &Cluster, record: &str) {
    let moved = || {
        let slot = cluster.slot_of(record)?;
        let from = cluster.owner(slot)?;
        let mut to = from;
        while to == from {
            to = cluster.owner(fastrand::u16(..16384))?;
        }
        let migration = cluster.migrate(slot, to)?;
        // Key by key: meanwhile a session is on both.
        while migration.move_keys(1)? > 0 {}
        migration.finish()
    };
    moved().expect("a slot that is moved");
}

/// A trouble lasts so many milliseconds.
#[expect(clippy::disallowed_methods, reason = "nothing is waited for")]
pub(crate) fn lasts(range: Range<u64>) {
    thread::sleep(Duration::from_millis(fastrand::u64(range)));
}

fn either() -> Direction {
    match fastrand::bool() {
        true => Direction::ToServer,
        false => Direction::ToClient,
    }
}

fn stop(worker: &Child, range: Range<u64>) {
    signal(worker, Signal::STOP);
    lasts(range);
    signal(worker, Signal::CONT);
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).expect("a signal");
}
