//! Sessions in the memory of one process.

use asm_memory::MemoryDriver;
use asm_session::{Client, IdUpdate, Result, Sessions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let sessions = Sessions::builder(MemoryDriver::new()).build()?;
    println!("{} visits", visits(&sessions).await?);
    Ok(())
}

async fn visits(sessions: &Sessions) -> Result<i64> {
    let mut id = None;
    for _ in 0..3 {
        let mut session = sessions
            .open_or_create(id.as_deref(), &Client::default())
            .await?;
        session.add("visits", 1)?;
        session.close().await?;
        if let IdUpdate::Issue(issued) = session.id_update() {
            id = Some(issued.expose().to_string());
        }
    }
    let session = sessions
        .open(&id.unwrap_or_default(), &Client::default())
        .await?;
    session.get_or("visits", 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_visit_counts() -> Result<()> {
        let sessions = Sessions::builder(MemoryDriver::new()).build()?;
        assert_eq!(visits(&sessions).await?, 3);
        Ok(())
    }
}
