//! Waking a waiter in this process.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use asm_core::LockToken;
use tokio::sync::Notify;

/// Who waits in this process, and how to wake them. One stands beside the storage, not beside a
/// handle: the waker may be another handle than the waiter.
#[derive(Debug, Default)]
pub struct Wakeups {
    waiting: Mutex<HashMap<LockToken, Place>>,
}

/// Where a token is listened for: by a request, and perhaps by its resend.
#[derive(Debug, Default)]
struct Place {
    ears: usize,
    notify: Arc<Notify>,
}

impl Wakeups {
    /// Nobody waits yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens for a token until the ear is dropped. A wake-up that comes before
    /// [`Ear::woken`] is awaited is kept.
    pub fn listen(&self, token: LockToken) -> Ear<'_> {
        let mut waiting = self.waiting();
        let place = waiting.entry(token).or_default();
        place.ears += 1;
        let notify = Arc::clone(&place.notify);
        Ear {
            wakeups: self,
            token,
            notify,
        }
    }

    /// Wakes the waiter of this token; `false` when nobody here waits for it.
    pub fn wake(&self, token: &LockToken) -> bool {
        let waiting = self.waiting();
        let place = waiting.get(token);
        if let Some(Place { notify, .. }) = place {
            // All who wait under this token, or the next who does.
            notify.notify_waiters();
            notify.notify_one();
        }
        place.is_some()
    }

    /// How many listen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting().len()
    }

    /// Whether nobody listens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<LockToken, Place>> {
        // The map is whole between any two statements of ours.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A waiter's ear.
#[derive(Debug)]
pub struct Ear<'a> {
    wakeups: &'a Wakeups,
    token: LockToken,
    notify: Arc<Notify>,
}

impl Ear<'_> {
    /// Ready once the token was woken.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Ear<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut place) = self.wakeups.waiting().entry(self.token) {
            place.get_mut().ears -= 1;
            if place.get().ears == 0 {
                place.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_counted_once_for_each_token() {
        let wakeups = Wakeups::new();
        assert!(wakeups.is_empty());
        let tokens = [[1; 16], [2; 16]].map(LockToken::from_bytes);
        let (first, again) = (wakeups.listen(tokens[0]), wakeups.listen(tokens[0]));
        let second = wakeups.listen(tokens[1]);
        assert_eq!((wakeups.len(), wakeups.is_empty()), (2, false));
        drop(first);
        assert_eq!(wakeups.len(), 2);
        drop((again, second));
        assert_eq!((wakeups.len(), wakeups.is_empty()), (0, true));
    }
}
