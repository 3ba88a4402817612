//! Rows R6 to R8: load a session of typed values, count one up, save it; 64 callers. The stores of
//! others do it without any lock and lose what they race for.

use std::{collections::HashMap, error::Error, sync::Arc};

use actix_session::storage::{RedisSessionStore, SessionKey, SessionStore as _};
use asm_bench::{Goal, Options, Report, Row, Unit, rounds};
use asm_redis::RedisDriver;
use asm_servers::Server;
use asm_session::{Client, IdUpdate, LockMode, Sessions};
use tokio::runtime::Runtime;
use tower_sessions_core::{
    SessionStore as _,
    session::{Id, Record},
};
use tower_sessions_redis_store::{RedisStore, fred::prelude as fred};

use crate::cycles::{CALLERS, many};

/// How many sessions each caller has for itself.
const EACH: u32 = 100;

/// With the counter and what frames it, about 1 KiB.
const CART: usize = 900;

#[derive(Clone)]
enum Contender {
    Ours(Sessions, Arc<Vec<String>>),
    Tower(RedisStore<fred::Client>, Arc<Vec<Id>>),
    Actix(RedisSessionStore, Arc<Vec<String>>),
}

pub(crate) fn measure(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    server: &Server,
) -> Result<(), Box<dyn Error>> {
    if !["R6", "R7", "R8"].iter().any(|row| options.wants(row)) {
        return Ok(());
    }
    let mut contenders = runtime.block_on(async {
        Ok::<_, Box<dyn Error>>([
            ours(server, LockMode::OnOpen).await?,
            ours(server, LockMode::Optimistic).await?,
            tower(server).await?,
            actix(server).await?,
        ])
    })?;
    let rates = rounds(options.rounds(), &mut contenders, |one| {
        let one = one.clone();
        let once = move |caller, count| {
            let one = one.clone();
            async move { one.bump((caller * EACH + count % EACH) as usize).await }
        };
        many(runtime, server, CALLERS, once).rate
    });
    let rows = [
        (
            "R6",
            "locked load + bump + save, typed, against tower-sessions-redis-store",
            0,
            2,
            1.0,
        ),
        ("R7", "optimistic load + bump + save, the same", 1, 2, 1.5),
        ("R8", "locked, against actix-session on its pool", 0, 3, 3.0),
    ];
    for (id, what, ours, theirs, least) in rows {
        report.add(Row::new(
            id,
            what,
            Unit::PerSecond,
            &rates[ours],
            &rates[theirs],
            Goal::RatioAtLeast(least),
        ));
    }
    Ok(())
}

impl Contender {
    async fn bump(&self, session: usize) {
        match self {
            Self::Ours(sessions, ids) => {
                let opened = sessions.open(&ids[session], &Client::default()).await;
                let mut session = opened.expect("a session");
                let count: u64 = session.get_or("count", 0).expect("a count");
                session.insert("count", &(count + 1)).expect("inserted");
                session.close().await.expect("saved");
            }
            Self::Tower(store, ids) => {
                let mut record = store
                    .load(&ids[session])
                    .await
                    .expect("an answer")
                    .expect("a session");
                let count = record.data["count"].as_u64().expect("a count");
                record.data.insert("count".to_owned(), (count + 1).into());
                store.save(&record).await.expect("saved");
            }
            Self::Actix(store, ids) => {
                let key = || SessionKey::try_from(ids[session].clone()).expect("a key");
                let loaded = store.load(&key()).await.expect("an answer");
                let mut state = loaded.expect("a session");
                let count: u64 = serde_json::from_str(&state["count"]).expect("a count");
                state.insert("count".to_owned(), (count + 1).to_string());
                let ttl = time::Duration::hours(1);
                store.update(key(), state, &ttl).await.expect("saved");
            }
        }
    }
}

async fn ours(server: &Server, mode: LockMode) -> Result<Contender, Box<dyn Error>> {
    let driver = RedisDriver::connect(server.url()).await?;
    let sessions = Sessions::builder(driver).lock_mode(mode).build()?;
    let mut ids = Vec::new();
    for _ in 0..CALLERS.get() * EACH {
        let mut session = sessions.create(&Client::default())?;
        session.insert("count", &0)?;
        session.insert("cart", &"x".repeat(CART))?;
        session.close().await?;
        let IdUpdate::Issue(id) = session.id_update() else {
            return Err("a new session issues its id".into());
        };
        ids.push(id.expose().to_string());
    }
    Ok(Contender::Ours(sessions, Arc::new(ids)))
}

async fn tower(server: &Server) -> Result<Contender, Box<dyn Error>> {
    use fred::ClientLike;
    let config = fred::Config::from_url(&server.url())?;
    let client = fred::Builder::from_config(config).build()?;
    client.init().await?;
    let store = RedisStore::new(client);
    let mut ids = Vec::new();
    for _ in 0..CALLERS.get() * EACH {
        let mut record = Record {
            id: Id::default(),
            data: HashMap::from([
                ("count".to_owned(), 0.into()),
                ("cart".to_owned(), "x".repeat(CART).into()),
            ]),
            expiry_date: time::OffsetDateTime::now_utc() + time::Duration::hours(1),
        };
        store.create(&mut record).await?;
        ids.push(record.id);
    }
    Ok(Contender::Tower(store, Arc::new(ids)))
}

async fn actix(server: &Server) -> Result<Contender, Box<dyn Error>> {
    let config = deadpool_redis::Config::from_url(server.url());
    let pool = config.create_pool(Some(deadpool_redis::Runtime::Tokio1))?;
    let store = RedisSessionStore::builder_pooled(pool).build().await?;
    let mut ids = Vec::new();
    for _ in 0..CALLERS.get() * EACH {
        let state = HashMap::from([
            ("count".to_owned(), "0".to_owned()),
            ("cart".to_owned(), format!("\"{}\"", "x".repeat(CART))),
        ]);
        let key = store.save(state, &time::Duration::hours(1)).await;
        ids.push(key.map_err(|error| error.to_string())?.into());
    }
    Ok(Contender::Actix(store, Arc::new(ids)))
}
