//! Waking a waiter in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use asm_core::LockToken;
use tokio::sync::Notify;

/// Who waits in this process, and how to wake them. One stands beside the storage, not beside a
/// handle: the waker may be another handle than the waiter.
#[derive(Debug, Default)]
pub struct Wakeups {
    waiting: Mutex<HashMap<LockToken, Arc<Notify>>>,
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
        let notify = Arc::clone(self.waiting().entry(token).or_default());
        Ear {
            wakeups: self,
            token,
            notify,
        }
    }

    /// Wakes the waiter of this token; `false` when nobody here waits for it.
    pub fn wake(&self, token: &LockToken) -> bool {
        // Under the mutex, with no clone of it: the ear that is dropped last counts them.
        let waiting = self.waiting();
        let notify = waiting.get(token);
        notify
            .inspect(|notify| {
                // All who wait under this token (a request and its resend), or the next who does.
                notify.notify_waiters();
                notify.notify_one();
            })
            .is_some()
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

    fn waiting(&self) -> MutexGuard<'_, HashMap<LockToken, Arc<Notify>>> {
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
        let mut waiting = self.wakeups.waiting();
        // Another ear of the same token (a resend) keeps the place.
        if Arc::strong_count(&self.notify) == 2 {
            waiting.remove(&self.token);
        }
    }
}
