//! Who is compared: the same handlers, with and without sessions.

use std::{error::Error, net::SocketAddr};

use asm_memory::MemoryDriver;
use asm_redis::RedisDriver;
use asm_session::Sessions;
use tower_sessions::MemoryStore;

use crate::{
    applications::{self, Connections, serve},
    client::{ask, new_cookie},
};

const SESSIONS: usize = 1_024;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// axum alone.
    Bare,
    /// Our layer, as it is without any option.
    Ours,
    /// tower-sessions, on so many connections if its sessions are in redis.
    TowerSessions(usize),
    /// actix-web alone.
    BareActix,
    /// actix-session.
    ActixSession(Connections),
}

impl Kind {
    /// As a row names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare axum",
            Self::Ours => "asm-tower",
            Self::TowerSessions(1) => "tower-sessions, no lock, 1 connection",
            Self::TowerSessions(6) => "tower-sessions, no lock, 6 connections",
            Self::TowerSessions(_) => "tower-sessions, no lock",
            Self::BareActix => "bare actix-web",
            Self::ActixSession(Connections::Pool) => "actix-session, no lock, on its pool",
            Self::ActixSession(_) => "actix-session, no lock, on one shared connection",
        }
    }
}

/// An application that serves, and the cookies of its clients.
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    pub(crate) cookies: Vec<String>,
}

impl Contender {
    /// With its sessions in redis, if there is a URL.
    pub(crate) async fn new(kind: Kind, redis: Option<&str>) -> Result<Self, Box<dyn Error>> {
        let address = match kind {
            Kind::Bare => serve(applications::bare()).await?,
            Kind::Ours => {
                let sessions = match redis {
                    Some(url) => Sessions::builder(RedisDriver::connect(url).await?).build()?,
                    None => Sessions::builder(MemoryDriver::new()).build()?,
                };
                serve(applications::ours(sessions, None)?).await?
            }
            Kind::TowerSessions(connections) => match redis {
                Some(url) => {
                    let store = applications::redis_of_tower_sessions(url, connections).await?;
                    serve(applications::tower_sessions(store)).await?
                }
                None => serve(applications::tower_sessions(MemoryStore::default())).await?,
            },
            Kind::BareActix => applications::actix(String::new(), Connections::None)?,
            Kind::ActixSession(connections) => {
                let url = redis.ok_or("its sessions are in redis")?;
                applications::actix(url.to_owned(), connections)?
            }
        };
        let cookies = match kind {
            // As long as those of the others.
            Kind::Bare | Kind::BareActix => {
                vec![format!("__Host-sid={}", "x".repeat(54)); SESSIONS]
            }
            _ => sessions(address).await?,
        };
        Ok(Self {
            kind,
            address,
            cookies,
        })
    }
}

async fn sessions(address: SocketAddr) -> Result<Vec<String>, Box<dyn Error>> {
    let mut cookies = Vec::new();
    for _ in 0..SESSIONS {
        cookies.push(new_cookie(address).await?);
    }
    // Each comes back once: what is stored at the first return is stored.
    for cookie in &cookies {
        ask(address, "GET", "/read", cookie).await?;
    }
    Ok(cookies)
}
