//! Rows R6 to R8: load a session of typed values, count one up, save it; 64 callers. The stores of
//! others do it without any lock and lose what they race for.

use std::{collections::HashMap, error::Error, sync::Arc};

use actix_session::storage::{RedisSessionStore, SessionKey, SessionStore as _};
use asm_bench::{Goal, Options, Report, Row, Unit, entries, rounds};
use asm_redis::RedisDriver;
use asm_servers::Server;
use asm_session::{Client, IdUpdate, LockMode, Sessions};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower_sessions_core::{
    SessionStore as _,
    session::{Id, Record},
};
use tower_sessions_redis_store::{RedisStore, fred::prelude as fred};

use crate::cycles::{CALLERS, many};

/// How many sessions each caller has for itself.
const EACH: u32 = 100;

#[derive(Clone)]
enum Contender {
    Ours(Sessions, Arc<Vec<String>>),
    Tower(RedisStore<fred::Pool>, Arc<Vec<Id>>),
    Actix(RedisSessionStore, Arc<Vec<String>>),
}

/// What a session holds besides its counter.
type Content = Vec<(&'static str, Value)>;

pub(crate) fn measure(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    server: &Server,
) -> Result<(), Box<dyn Error>> {
    if !["R6", "R7", "R8"].iter().any(|row| options.wants(row)) {
        return Ok(());
    }
    let (shop, text) = (entries(), vec![("cart", json!("x".repeat(900)))]);
    let pool = deadpool_redis::Config::from_url(server.url());
    let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1))?;
    report.note(format!(
        "actix-session on a pool: {} connections, as many as deadpool takes here",
        pool.status().max_size
    ));
    let mut contenders = runtime.block_on(async {
        let pooled = RedisSessionStore::builder_pooled(pool).build().await?;
        let shared = RedisSessionStore::new(server.url()).await?;
        Ok::<_, Box<dyn Error>>([
            ours(server, LockMode::OnOpen, &shop).await?,
            ours(server, LockMode::Optimistic, &shop).await?,
            tower(server, 1, &shop).await?,
            tower(server, 6, &shop).await?,
            actix(pooled, &shop).await?,
            actix(shared, &shop).await?,
            ours(server, LockMode::OnOpen, &text).await?,
            tower(server, 6, &text).await?,
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
    let [
        locked,
        optimistic,
        single,
        six,
        pooled,
        shared,
        of_text,
        tower_of_text,
    ] = &rates[..]
    else {
        unreachable!("a column for each contender");
    };
    let rows = [
        (
            "R6",
            "locked load + bump + save, typed, against tower-sessions-redis-store on 1 connection",
            (locked, single),
            Goal::RatioAtLeast(1.0),
        ),
        (
            "R6",
            "the same, against it on 6 connections",
            (locked, six),
            Goal::RatioAtLeast(1.0),
        ),
        (
            "R6",
            "the same of one text of 900 letters, against it on 6 connections",
            (of_text, tower_of_text),
            Goal::None,
        ),
        (
            "R7",
            "optimistic load + bump + save, against tower-sessions-redis-store on 1 connection",
            (optimistic, single),
            Goal::RatioAtLeast(1.5),
        ),
        (
            "R7",
            "the same, against it on 6 connections",
            (optimistic, six),
            Goal::RatioAtLeast(1.5),
        ),
        (
            "R8",
            "locked, against actix-session on its pool",
            (locked, pooled),
            Goal::RatioAtLeast(3.0),
        ),
        (
            "R8",
            "locked, against actix-session on its one shared connection, as documented",
            (locked, shared),
            Goal::None,
        ),
    ];
    for (id, what, (ours, theirs), goal) in rows {
        report.add(Row::new(id, what, Unit::PerSecond, ours, goal).against(theirs));
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

async fn ours(
    server: &Server,
    mode: LockMode,
    content: &Content,
) -> Result<Contender, Box<dyn Error>> {
    let driver = RedisDriver::connect(server.url()).await?;
    let sessions = Sessions::builder(driver).lock_mode(mode).build()?;
    let mut ids = Vec::new();
    for _ in 0..CALLERS.get() * EACH {
        let mut session = sessions.create(&Client::default())?;
        session.insert("count", &0)?;
        for (key, value) in content {
            session.insert(key, value)?;
        }
        session.close().await?;
        let IdUpdate::Issue(id) = session.id_update() else {
            return Err("a new session issues its id".into());
        };
        ids.push(id.expose().to_string());
    }
    Ok(Contender::Ours(sessions, Arc::new(ids)))
}

async fn tower(
    server: &Server,
    connections: usize,
    content: &Content,
) -> Result<Contender, Box<dyn Error>> {
    use fred::ClientLike;
    let config = fred::Config::from_url(&server.url())?;
    let pool = fred::Pool::new(config, None, None, None, connections)?;
    pool.init().await?;
    let store = RedisStore::new(pool);
    let mut ids = Vec::new();
    for _ in 0..CALLERS.get() * EACH {
        let entries = content
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        let mut data: HashMap<String, Value> = entries.collect();
        data.insert("count".to_owned(), 0.into());
        let mut record = Record {
            id: Id::default(),
            data,
            expiry_date: time::OffsetDateTime::now_utc() + time::Duration::hours(1),
        };
        store.create(&mut record).await?;
        ids.push(record.id);
    }
    Ok(Contender::Tower(store, Arc::new(ids)))
}

async fn actix(store: RedisSessionStore, content: &Content) -> Result<Contender, Box<dyn Error>> {
    let mut ids = Vec::new();
    for _ in 0..CALLERS.get() * EACH {
        let entries = content
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.to_string()));
        let mut state: HashMap<String, String> = entries.collect();
        state.insert("count".to_owned(), "0".to_owned());
        let key = store.save(state, &time::Duration::hours(1)).await;
        ids.push(key.map_err(|error| error.to_string())?.into());
    }
    Ok(Contender::Actix(store, Arc::new(ids)))
}
