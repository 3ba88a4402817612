//! What can be wrong when something goes wrong.

use asm_core::{Create, Created, Error, Key, LockState, LockStore, Result, SessionStore};

use super::mutants;

mutants! {
    /// A call waits while somebody waits for the lock.
    waits_behind_waiters {
        kills: [],
        wrong: {
            async fn inspect(&self, key: &Key) -> Result<LockState> {
                let state = self.base.inspect(key).await?;
                if !state.waiters.is_empty() {
                    std::future::pending::<()>().await;
                }
                Ok(state)
            }
        },
    }

    /// A failure does not say whose it is, nor of what.
    nameless_failures {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let created = self.base.create(key, req).await;
                created.map_err(|error| Error::new(error.kind(), "it failed"))
            }
        },
    }

    /// A failure tells the key.
    failure_tells_the_key {
        kills: [],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let created = self.base.create(key, req).await;
                created.map_err(|error| {
                    Error::new(error.kind(), format!("{key} failed"))
                        .during("create")
                        .by("bench")
                })
            }
        },
    }
}
