//! Rows P1 to P7: many clients count one up in the same session, over HTTP and redis. Each request
//! reads, then writes; one that is told of a conflict is made again. What was acknowledged and is not
//! there in the end was lost.

use std::{error::Error, net::SocketAddr};

use asm_bench::{Goal, Options, Report, Row, Unit};
use asm_redis::RedisDriver;
use asm_servers::Server;
use asm_session::{LockMode, Sessions};
use tokio::runtime::Runtime;

use crate::{
    applications::{self, Connections, redis_of_tower_sessions, serve},
    client::{ask, new_cookie, send, status},
};

const REQUESTS: u32 = 512;
const CLIENTS: [u32; 2] = [8, 32];

type Made = Result<SocketAddr, Box<dyn Error>>;

/// Who is asked to count.
#[derive(Clone, Copy)]
enum Stack {
    TowerSessions,
    ActixSession(Connections),
    Ours(LockMode),
}

const STACKS: [(&str, &str, Stack); 8] = [
    ("P1", "tower-sessions", Stack::TowerSessions),
    (
        "P2",
        "actix-session, pool",
        Stack::ActixSession(Connections::Pool),
    ),
    (
        "P2",
        "actix-session, one shared connection",
        Stack::ActixSession(Connections::Shared),
    ),
    (
        "P3",
        "asm-tower, optimistic",
        Stack::Ours(LockMode::Optimistic),
    ),
    ("P4", "asm-tower, on-write", Stack::Ours(LockMode::OnWrite)),
    ("P5", "asm-tower, on-open", Stack::Ours(LockMode::OnOpen)),
    ("P6", "asm-tower, manual", Stack::Ours(LockMode::Manual)),
    ("P7", "asm-tower, off", Stack::Ours(LockMode::Off)),
];

/// Adds the rows.
pub(crate) fn rows(
    options: &Options,
    runtime: &Runtime,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let server = Server::start()?;
    for (id, name, stack) in STACKS.into_iter().filter(|stack| options.wants(stack.0)) {
        let address = runtime.block_on(stack.serve(&server))?;
        for clients in CLIENTS {
            let mut lost = Vec::new();
            for _ in 0..options.rounds() {
                lost.push(runtime.block_on(race(address, clients))?);
            }
            // Off is off.
            let goal = match stack {
                Stack::TowerSessions | Stack::ActixSession(_) | Stack::Ours(LockMode::Off) => {
                    Goal::None
                }
                Stack::Ours(_) => Goal::AtMost(0.0),
            };
            let what = format!("lost by {name}, {clients} clients");
            let tries = u64::from(REQUESTS * options.rounds());
            report.add(Row::new(id, what, Unit::Percent, &lost, goal).tries(tries));
        }
    }
    Ok(())
}

/// How many in a hundred were lost.
async fn race(address: SocketAddr, clients: u32) -> Result<f64, Box<dyn Error>> {
    let cookie = new_cookie(address).await?;
    let tasks = (0..clients).map(|_| {
        let cookie = cookie.clone();
        tokio::spawn(async move { count(address, &cookie, REQUESTS / clients).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    let shown = ask(address, "GET", "/read", &cookie).await?;
    let found: u32 = shown.lines().last().unwrap_or_default().parse()?;
    Ok(100.0 * f64::from(REQUESTS - found) / f64::from(REQUESTS))
}

/// Until so many are acknowledged.
async fn count(address: SocketAddr, cookie: &str, times: u32) -> Result<(), String> {
    let mut acknowledged = 0;
    while acknowledged < times {
        let response = send(address, "POST", "/write", cookie).await;
        let response = response.map_err(|error| error.to_string())?;
        match status(&response) {
            Some(200) => acknowledged += 1,
            Some(409) => {}
            _ => return Err(response),
        }
    }
    Ok(())
}

impl Stack {
    async fn serve(self, server: &Server) -> Made {
        match self {
            Self::TowerSessions => tower_sessions(server).await,
            Self::ActixSession(connections) => applications::actix(server.url(), connections),
            Self::Ours(mode) => ours(server, mode).await,
        }
    }
}

async fn ours(server: &Server, mode: LockMode) -> Made {
    let driver = RedisDriver::connect(server.url()).await?;
    // All 32 may wait.
    let sessions = Sessions::builder(driver).lock_queue(None).build()?;
    Ok(serve(applications::ours(sessions, Some(mode))?).await?)
}

async fn tower_sessions(server: &Server) -> Made {
    let store = redis_of_tower_sessions(&server.url(), 6).await?;
    Ok(serve(applications::tower_sessions(store)).await?)
}
