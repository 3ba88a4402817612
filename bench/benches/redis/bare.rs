//! The yardsticks: what the least code would do over one shared connection. They keep no version, no
//! fence, no op id and no queue.

use std::sync::Arc;

use asm_servers::Server;
use redis::{AsyncConnectionConfig, Client, Pipeline, aio::MultiplexedConnection};

/// The least that takes a lock and reads, and that checks a lock, writes and gives it back.
#[derive(Clone)]
pub(crate) struct Bare {
    connection: MultiplexedConnection,
    open: Arc<str>,
    save: Arc<str>,
}

const OPEN: &str = r"
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return redis.call('GET', KEYS[1])
end
return false
";

const SAVE: &str = r"
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return false
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
";

/// How a bare lock is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By a script that also answers the record.
    Scripts,
    /// By SET NX, with a GET behind it.
    Pipeline,
    /// Not at all: a GET, then a SET.
    None,
}

impl Bare {
    pub(crate) async fn new(server: &Server) -> redis::RedisResult<Self> {
        let client = Client::open(server.url())?;
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(1024);
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let mut load = async |source| {
            let digest: String = redis::cmd("SCRIPT")
                .arg("LOAD")
                .arg(source)
                .query_async(&mut connection)
                .await?;
            redis::RedisResult::Ok(digest)
        };
        let (open, save) = (load(OPEN).await?, load(SAVE).await?);
        Ok(Self {
            connection,
            open: open.into(),
            save: save.into(),
        })
    }

    /// Locks and reads; writes and unlocks.
    pub(crate) async fn cycle(&mut self, session: u32, data: &[u8], way: Way) {
        let record = format!("bare:{{{session}}}");
        let lock = format!("bare:{{{session}}}:lock");
        let token = fastrand::u128(..).to_be_bytes();
        let hold = 10_000;
        let found: Option<Vec<u8>> = match way {
            Way::Scripts => {
                let mut cmd = redis::cmd("EVALSHA");
                cmd.arg(&*self.open).arg(2).arg(&record).arg(&lock);
                cmd.arg(&token).arg(hold);
                cmd.query_async(&mut self.connection)
                    .await
                    .expect("an answer")
            }
            Way::Pipeline => {
                let mut pipeline = Pipeline::with_capacity(2);
                pipeline
                    .cmd("SET")
                    .arg(&lock)
                    .arg(&token)
                    .arg("NX")
                    .arg("PX")
                    .arg(hold);
                pipeline.cmd("GET").arg(&record);
                let answers: (Option<String>, Option<Vec<u8>>) = pipeline
                    .query_async(&mut self.connection)
                    .await
                    .expect("an answer");
                answers.1.filter(|_| answers.0.is_some())
            }
            Way::None => {
                let mut cmd = redis::cmd("GET");
                cmd.arg(&record);
                cmd.query_async(&mut self.connection)
                    .await
                    .expect("an answer")
            }
        };
        assert!(found.is_some(), "a lock that is free, and a record");
        if way == Way::None {
            return self.store(session, data).await;
        }
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&*self.save).arg(2).arg(&record).arg(&lock);
        cmd.arg(&token).arg(data).arg(3_600_000);
        let saved: Option<u64> = cmd
            .query_async(&mut self.connection)
            .await
            .expect("an answer");
        assert!(saved.is_some(), "the lock is ours");
    }

    pub(crate) async fn store(&mut self, session: u32, data: &[u8]) {
        let record = format!("bare:{{{session}}}");
        let mut cmd = redis::cmd("SET");
        cmd.arg(&record).arg(data).arg("PX").arg(3_600_000);
        let _: () = cmd.query_async(&mut self.connection).await.expect("stored");
    }
}
