//! A job without HTTP: one worker at a time does it, and goes on where the last one was stopped.

use std::time::Duration;

use asm_session::{Client, IdUpdate, LockMode, Result, Sessions};

/// How much there is to do.
const PAGES: u32 = 10;

/// Does the job, or what is left of it. Its session is kept by an id, as that of a browser is; answer
/// and `id` are what a worker keeps between two runs.
pub(crate) async fn run(sessions: &Sessions, id: Option<&str>) -> Result<(String, u32)> {
    // Opened with its lock: another worker waits here until this one is done, or has died.
    let sessions = sessions
        .with_mode(LockMode::OnOpen)
        .with_label("nightly report");
    let mut session = sessions.open_or_create(id, &Client::default()).await?;
    // It lives on between two nights.
    session.set_lifetime(Duration::from_secs(7 * 24 * 60 * 60))?;
    let first = session.get_or("page", 0)?;
    for page in first..PAGES {
        // The lock is renewed while the work takes its time.
        session.keeper().keep_alive(write(page)).await;
        session.insert("page", &(page + 1))?;
        // What is done is done, whatever becomes of the rest. Whoever was overtaken is told here.
        session.save().await?;
    }
    session.close().await?;
    let id = match session.id_update() {
        IdUpdate::Issue(id) => id.expose().to_string(),
        _ => id.unwrap_or_default().to_owned(),
    };
    Ok((id, session.get_or("page", 0)?))
}

/// The work itself.
async fn write(_page: u32) {
    tokio::task::yield_now().await;
}

#[cfg(test)]
mod tests {
    use asm_memory::MemoryDriver;

    use super::*;

    #[tokio::test]
    async fn what_was_done_is_not_done_again() -> Result<()> {
        let sessions = Sessions::builder(MemoryDriver::new()).build()?;
        let (id, done) = run(&sessions, None).await?;
        assert_eq!(done, PAGES);
        // As if it had been stopped after three pages.
        let mut session = sessions.open(&id, &Client::default()).await?;
        session.insert("page", &3)?;
        session.close().await?;
        assert_eq!(run(&sessions, Some(&id)).await?, (id.clone(), PAGES));

        // Two at once: the second one finds nothing left to do.
        let (one, two) = tokio::join!(run(&sessions, Some(&id)), run(&sessions, Some(&id)));
        assert_eq!((one?.1, two?.1), (PAGES, PAGES));
        Ok(())
    }
}
