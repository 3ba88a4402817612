//! What a test says to a server beside the driver that it tests.

use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, aio::MultiplexedConnection};

use crate::PATIENCE;

/// A connection that any number of callers may share. By default the client's library gives up on
/// an answer after half a second; this one waits as long as a loaded machine takes.
///
/// ```no_run
/// # async fn count() -> redis::RedisResult<()> {
/// let mut connection = asm_servers::connection("redis://127.0.0.1:6379").await?;
/// let keys: u64 = redis::cmd("DBSIZE").query_async(&mut connection).await?;
/// println!("{keys} keys");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The URL is none, or there is no server after [`PATIENCE`].
pub async fn connection(url: impl IntoConnectionInfo) -> redis::RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(None);
    Client::open(url)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}
