//! Sessions in Redis, those above 2 KiB compressed by LZ4.

use asm_compress::Compress;
use asm_redis::RedisDriver;
use asm_session::{Client, Result, Sessions};

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "redis://127.0.0.1:6379".into());
    let sessions = Sessions::builder(RedisDriver::connect(url).await?)
        .codec(Compress::lz4())
        .build()?;
    println!("stored as {}", store(&sessions).await?);
    Ok(())
}

/// The public half of the id of a new session.
async fn store(sessions: &Sessions) -> Result<String> {
    let mut session = sessions.create(&Client::default())?;
    session.insert("cart", &vec!["a book"; 1000])?;
    session.close().await?;
    Ok(session.handle().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_not_there_is_an_error() {
        let driver = RedisDriver::builder().url("redis://127.0.0.1:1").connect();
        assert!(driver.await.is_err());
    }
}
