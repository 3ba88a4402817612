//! Working memory that is used again.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use asm_core::Result;

/// States that are not in use. There are as many as were ever in use at once, up to a number.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

/// More than this many are given back to the allocator.
const MOST: usize = 64;

impl<T> Pool<T> {
    /// Lends one that was used before, or a new one, to work that says when it came to its end.
    ///
    /// What was left in the middle is given up: a library may keep something of it beyond its own
    /// reset.
    pub(crate) fn lend<R>(
        &self,
        new: impl FnOnce() -> T,
        work: impl FnOnce(&mut T) -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        let used = self.states().pop();
        let mut state = used.unwrap_or_else(new);
        let result = work(&mut state)?;
        if result.is_some() {
            self.keep(state);
        }
        Ok(result)
    }

    fn keep(&self, state: T) {
        let mut states = self.states();
        if states.len() < MOST {
            states.push(state);
        }
    }

    fn states(&self) -> std::sync::MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}
