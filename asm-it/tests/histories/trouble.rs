//! What happens to processes, servers and connections.

use std::{collections::BTreeMap, process::Child, thread, time::Duration};

use asm_servers::{Direction, Proxy, Server};
use rustix::process::{Pid, Signal, kill_process};

use crate::{place::Place, round::Team, tally::Tally};

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
    /// A process stands still, sometimes for longer than it may hold a lock.
    Stopped,
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
}

impl<'a> Nemesis<'a> {
    pub(crate) fn of(place: &'a Place) -> Self {
        let mut troubles = vec![Trouble::Killed, Trouble::Stopped];
        if let Place::Redis { server, proxy } = place {
            troubles.extend([
                Trouble::Cut(proxy),
                Trouble::Slow(proxy),
                Trouble::Stuck(proxy),
                Trouble::ServerStopped(server),
                Trouble::ServerKilled(server),
            ]);
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
            Self::Cut(_) => "cut",
            Self::Slow(_) => "slow",
            Self::Stuck(_) => "stuck",
            Self::ServerStopped(_) => "server stopped",
            Self::ServerKilled(_) => "server killed",
        }
    }

    fn strike(self, team: &mut Team) {
        match self {
            Self::Killed => team.replace_one(),
            Self::Stopped => {
                let worker = team.any();
                signal(worker, Signal::STOP);
                lasts(600);
                signal(worker, Signal::CONT);
            }
            Self::Cut(proxy) => proxy.drop_connections(),
            Self::Slow(proxy) => {
                let direction = either();
                proxy.delay(direction, Duration::from_millis(fastrand::u64(1..20)));
                lasts(200);
                proxy.delay(direction, Duration::ZERO);
            }
            Self::Stuck(proxy) => {
                proxy.hold(either());
                lasts(500);
                proxy.resume();
            }
            Self::ServerStopped(server) => {
                server.stop().expect("a stopped server");
                lasts(500);
                server.cont().expect("a server that goes on");
            }
            Self::ServerKilled(server) => server.restart().expect("another server"),
        }
    }
}

/// A trouble lasts up to so many milliseconds.
#[expect(clippy::disallowed_methods, reason = "nothing is waited for")]
fn lasts(most: u64) {
    thread::sleep(Duration::from_millis(fastrand::u64(..most)));
}

fn either() -> Direction {
    match fastrand::bool() {
        true => Direction::ToServer,
        false => Direction::ToClient,
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).expect("a signal");
}
