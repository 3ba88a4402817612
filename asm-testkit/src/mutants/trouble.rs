//! What can be wrong when something goes wrong.

use asm_core::{Create, Created, Error, Key, Label, LockState, LockStore, Result, SessionStore};

use super::mutants;

mutants! {
    /// A call waits while somebody waits for the lock.
    waits_behind_waiters {
        kills: [locks::second_holds_after_the_first],
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
        kills: [trouble::names_verb_and_driver_in_its_failures],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                let created = self.base.create(key, req).await;
                created.map_err(|error| Error::new(error.kind(), "it failed"))
            }
        },
    }

    /// A label tells the token of its holder.
    label_tells_the_token {
        kills: [trouble::shows_no_secret],
        wrong: {
            async fn inspect(&self, key: &Key) -> Result<LockState> {
                let mut state = self.base.inspect(key).await?;
                let grant = self.base.store().look(key).and_then(|draft| draft.lock.grant);
                if let (Some(holder), Some(grant)) = (&mut state.holder, grant) {
                    holder.label = Label::new(&String::from_utf8_lossy(&grant.token));
                }
                Ok(state)
            }
        },
    }

    /// A failure tells the key.
    failure_tells_the_key {
        kills: [trouble::shows_no_secret],
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
