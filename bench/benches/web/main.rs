//! Rows H1 to H4: what a session costs a web application, over real sockets. Rows P1 to P7: what is
//! lost when many requests change one session at the same time.
//!
//! Each contender is an axum application of its own. `wrk` asks it over 32 connections, each request
//! with the cookie of another one of 1,024 sessions of about 1 KiB.

mod contenders;
mod load;
mod race;

use std::{error::Error, process::ExitCode};

use asm_bench::{Goal, Options, Report, Row, Unit, try_rounds};
use asm_servers::Server;
use contenders::{Contender, Store};

fn main() -> ExitCode {
    let options = Options::read();
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("web: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One row: what is asked, of whom, and who is the measure.
struct Plan {
    id: &'static str,
    what: &'static str,
    path: &'static str,
    method: &'static str,
    store: Store,
    yardstick: Kind,
    /// Those of ours and of the peer, which has no goal to reach.
    goals: [(Kind, Goal); 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bare,
    Ours,
    TowerSessions,
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let plans = [
        Plan {
            id: "H1",
            what: "untouched request",
            path: "/untouched",
            method: "GET",
            store: Store::Memory,
            yardstick: Kind::Bare,
            goals: [
                (Kind::Ours, Goal::RatioAtLeast(0.97)),
                (Kind::TowerSessions, Goal::None),
            ],
        },
        Plan {
            id: "H2",
            what: "read-only, redis",
            path: "/read",
            method: "GET",
            store: Store::Redis,
            yardstick: Kind::TowerSessions,
            goals: [
                (Kind::Ours, Goal::RatioAtLeast(1.1)),
                (Kind::TowerSessions, Goal::None),
            ],
        },
        Plan {
            id: "H3",
            what: "read + write under the lock, redis",
            path: "/write",
            method: "POST",
            store: Store::Redis,
            yardstick: Kind::TowerSessions,
            goals: [
                (Kind::Ours, Goal::RatioAtLeast(1.0)),
                (Kind::TowerSessions, Goal::None),
            ],
        },
        Plan {
            id: "H4",
            what: "read + write under the lock, memory",
            path: "/write",
            method: "POST",
            store: Store::Memory,
            yardstick: Kind::Bare,
            goals: [
                (Kind::Ours, Goal::RatioAtLeast(0.5)),
                (Kind::TowerSessions, Goal::None),
            ],
        },
    ];
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut report = Report::default();
    for plan in plans.iter().filter(|plan| options.wants(plan.id)) {
        row(plan, options, &runtime, &mut report)?;
    }
    race::rows(options, &runtime, &mut report)?;
    Ok(report.end(options)?)
}

fn row(
    plan: &Plan,
    options: &Options,
    runtime: &tokio::runtime::Runtime,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    // Of this row alone, so that no contender finds what another one left.
    let server = match plan.store {
        Store::Redis => Some(Server::start()?),
        Store::Memory => None,
    };
    let url = server.as_ref().map(Server::url);
    let kinds = [Kind::Bare, Kind::Ours, Kind::TowerSessions];
    let mut contenders = Vec::new();
    for kind in kinds {
        let contender = match kind {
            Kind::Bare => runtime.block_on(Contender::bare()),
            Kind::Ours => runtime.block_on(Contender::ours(url.as_deref())),
            Kind::TowerSessions => runtime.block_on(Contender::tower_sessions(url.as_deref())),
        }?;
        // Warm, and alive.
        load::run(&contender, plan.method, plan.path, load::WARM_UP)?;
        contenders.push(contender);
    }
    let figures = try_rounds(options.rounds(), &mut contenders, |contender| {
        load::run(contender, plan.method, plan.path, load::round(options))
    })?;
    let of = |wanted: Kind| {
        let place = kinds.iter().position(|kind| *kind == wanted);
        &figures[place.expect("one of them")][..]
    };
    for (kind, goal) in plan.goals {
        let (who, against) = (name(kind), name(plan.yardstick));
        if kind != plan.yardstick {
            let what = format!("{}: {who}, against {against}", plan.what);
            let figures = (of(kind), of(plan.yardstick));
            report.add(Row::new(
                plan.id,
                what,
                Unit::PerSecond,
                figures.0,
                figures.1,
                goal,
            ));
        }
    }
    Ok(())
}

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bare => "bare axum",
        Kind::Ours => "asm-tower",
        Kind::TowerSessions => "tower-sessions, no lock",
    }
}
