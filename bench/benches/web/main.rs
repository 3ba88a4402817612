//! Rows H1 to H4: what a session costs a web application, over real sockets. Rows P1 to P7: what is
//! lost when many requests change one session at the same time.
//!
//! Each contender is an axum application of its own. `wrk` asks it over 32 connections, each request
//! with the cookie of another one of 1,024 sessions of about 1 KiB.

mod applications;
mod client;
mod contenders;
mod load;
mod race;

use std::{error::Error, process::ExitCode};

use applications::Connections;
use asm_bench::{Goal, Options, Report, Row, Unit, try_rounds};
use asm_servers::Server;
use contenders::{Contender, Kind};
use load::Load;
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    asm_bench::main("web", measure)
}

/// A row of the table of figures: what is asked, and who is compared with whom.
struct Plan {
    id: &'static str,
    what: &'static str,
    path: &'static str,
    method: &'static str,
    /// Whether the sessions are in redis.
    redis: bool,
    /// Whether the processor time is a row, too.
    cpu: bool,
    /// Each with its yardstick. Only ours has a goal to reach.
    pairs: &'static [(Kind, Kind, Goal)],
}

const TOWER: Kind = Kind::TowerSessions(0);
const TOWER_1: Kind = Kind::TowerSessions(1);
const TOWER_6: Kind = Kind::TowerSessions(6);
const ACTIX: Kind = Kind::ActixSession(Connections::Pool);

const PLANS: [Plan; 4] = [
    Plan {
        id: "H1",
        what: "untouched request",
        path: "/untouched",
        method: "GET",
        // That of actix-session; nobody asks it here.
        redis: true,
        cpu: true,
        pairs: &[
            (Kind::Ours, Kind::Bare, Goal::RatioAtLeast(0.97)),
            (TOWER_1, Kind::Bare, Goal::None),
            (ACTIX, Kind::BareActix, Goal::None),
        ],
    },
    Plan {
        id: "H2",
        what: "read-only, redis",
        path: "/read",
        method: "GET",
        redis: true,
        cpu: false,
        pairs: &[
            (Kind::Ours, TOWER_1, Goal::RatioAtLeast(1.1)),
            (Kind::Ours, TOWER_6, Goal::RatioAtLeast(1.1)),
            (ACTIX, TOWER_6, Goal::None),
        ],
    },
    Plan {
        id: "H3",
        what: "read + write under the lock, redis",
        path: "/write",
        method: "POST",
        redis: true,
        cpu: false,
        pairs: &[
            (Kind::Ours, TOWER_1, Goal::RatioAtLeast(1.0)),
            (Kind::Ours, TOWER_6, Goal::RatioAtLeast(1.0)),
            (ACTIX, TOWER_6, Goal::None),
        ],
    },
    Plan {
        id: "H4",
        what: "read + write under the lock, memory",
        path: "/write",
        method: "POST",
        redis: false,
        cpu: false,
        pairs: &[
            (Kind::Ours, Kind::Bare, Goal::RatioAtLeast(0.5)),
            (TOWER, Kind::Bare, Goal::None),
        ],
    },
];

fn measure(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    for plan in PLANS.iter().filter(|plan| options.wants(plan.id)) {
        plan.measure(options, &runtime, report)?;
    }
    race::rows(options, &runtime, report)
}

impl Plan {
    fn measure(
        &self,
        options: &Options,
        runtime: &Runtime,
        report: &mut Report,
    ) -> Result<(), Box<dyn Error>> {
        // Of this row alone, so that no contender finds what another one left.
        let server = self.redis.then(Server::start).transpose()?;
        let url = server.as_ref().map(Server::url);
        let mut contenders = Vec::new();
        for kind in self.kinds() {
            let contender = runtime.block_on(Contender::new(kind, url.as_deref()))?;
            // Warm, and alive.
            load::run(&contender, self.method, self.path, load::WARM_UP)?;
            contenders.push(contender);
        }
        // Two seconds for each of so many are enough.
        let count = options.rounds().min(5);
        let loads = try_rounds(count, &mut contenders, |contender| {
            load::run(contender, self.method, self.path, load::round(options))
        })?;
        let of = |wanted: Kind, figure: fn(&Load) -> f64| -> Vec<f64> {
            let mut all = contenders.iter().zip(&loads);
            let found = all.find(|(contender, _)| contender.kind == wanted);
            let (_, loads) = found.expect("one of them");
            loads.iter().map(figure).collect()
        };
        for (kind, yardstick, goal) in self.pairs {
            let (who, against) = (kind.name(), yardstick.name());
            let row = |what: String, unit, figure, goal| {
                let row = Row::new(self.id, what, unit, &of(*kind, figure), goal);
                row.against(&of(*yardstick, figure))
            };
            let what = format!("{}: {who}, against {against}", self.what);
            report.add(row(what, Unit::PerSecond, |load| load.rate, *goal));
            if self.cpu {
                let what = format!("{}, CPU for one: {who}, against {against}", self.what);
                report.add(row(what, Unit::Milliseconds, |load| load.cpu, Goal::None));
            }
        }
        Ok(())
    }

    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for (kind, yardstick, _) in self.pairs {
            for kind in [*yardstick, *kind] {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
        }
        kinds
    }
}
