//! Taking a value out, exactly once.

use serde::de::DeserializeOwned;

use crate::{Result, Session, session::Life};

impl Session {
    /// Takes a value out: of all that take it at the same time, exactly one gets it, and only after
    /// the store has accepted that it is gone. For messages shown once, nonces, states of a login.
    ///
    /// It is a save of its own: nothing but the removal is written, and other changes stay in the
    /// journal. Only when this very entry has changes that are not saved, all are saved first.
    ///
    /// A value is delivered at most once. When the answer was lost after the store accepted, calling
    /// it again on this session still delivers.
    ///
    /// # Errors
    /// `Value` when it is not a `T`: then it stays. Else as [`save`](Self::save).
    #[doc(alias = "pull")]
    #[doc(alias = "flash")]
    pub async fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        let taken = self.take_out(key).await;
        if let Err(error) = &taken {
            self.tell_refused(error);
        }
        taken
    }

    async fn take_out<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        self.check_alive()?;
        self.settle_in_flight().await?;
        if let Some(value) = self.pop_taken(key)? {
            return Ok(Some(value));
        }
        if self.life == Life::New {
            return self.take_unsaved(key);
        }
        if self.journal.is_changed(key) {
            let saved = self.store(false).await;
            // Of these changes it is told, of others it is not.
            self.told |= saved.is_err();
            saved?;
        }
        self.bring_up_to_date().await?;
        self.write_by_all_means(false, |session, release| {
            let Some(value) = session.record.entries.get(key) else {
                return Ok(None);
            };
            // A value of another type is told before it is gone.
            session.decode::<T>(key, value)?;
            session.prepare_take(key, release).map(Some)
        })
        .await?;
        self.pop_taken(key)
    }

    /// Nobody else knows this session yet.
    fn take_unsaved<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        let value = self.get(key)?;
        if value.is_some() {
            self.journal.put(key, None);
        }
        Ok(value)
    }

    /// What the store accepted to be gone, and nobody was given yet.
    fn pop_taken<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        let Some(place) = self.taken.iter().position(|(taken, _)| taken == key) else {
            return Ok(None);
        };
        let (_, value) = self.taken.swap_remove(place);
        self.decode(key, &value).map(Some)
    }
}
