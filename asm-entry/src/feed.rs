//! The change feed within one process.

use std::{
    collections::{HashMap, hash_map},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use asm_core::{Change, Epoch, Key};
use tokio::sync::broadcast::{self, error::RecvError};

/// The most changes that are kept for one subscriber.
const MAX_BUFFER: usize = 4096;

/// Who listens in this process, and to which session. One stands beside the storage, not beside a
/// handle. Memory is bounded by the subscribers' buffers.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    listeners: Mutex<HashMap<Key, Vec<Listener>>>,
    /// How many there are, so that a change that nobody listens to costs no lock. One more is
    /// counted before it first looks at its session, and looks after a change that missed it.
    count: AtomicUsize,
    last: AtomicU64,
}

/// Each listener has a channel of its own, so that a slow one costs only itself.
#[derive(Debug)]
struct Listener {
    number: u64,
    sender: broadcast::Sender<(Change, Epoch)>,
}

impl Feed {
    /// Nobody listens yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells all who listen to this session. The epoch is the one after the change.
    pub fn publish(&self, key: &Key, change: Change, epoch: Epoch) {
        if self.is_empty() {
            return;
        }
        if let Some(listeners) = self.shared.listeners().get(key) {
            for listener in listeners {
                // Fails only when the receiver is being dropped right now.
                let _ = listener.sender.send((change, epoch));
            }
        }
    }

    /// How many listen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// Whether nobody listens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn listen(&self, key: &Key, buffer: NonZeroUsize) -> Subscription {
        let (sender, receiver) = broadcast::channel(buffer.get().min(MAX_BUFFER));
        let number = self.shared.last.fetch_add(1, Ordering::Relaxed);
        let mut listeners = self.shared.listeners();
        let place = listeners.entry(*key).or_default();
        place.push(Listener { number, sender });
        self.shared.count.fetch_add(1, Ordering::SeqCst);
        Subscription {
            shared: Arc::clone(&self.shared),
            key: *key,
            number,
            receiver,
        }
    }
}

impl Shared {
    fn listeners(&self) -> MutexGuard<'_, HashMap<Key, Vec<Listener>>> {
        // The map is whole between any two statements of ours.
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One listener's end. Dropping it unsubscribes.
#[derive(Debug)]
pub(crate) struct Subscription {
    shared: Arc<Shared>,
    key: Key,
    number: u64,
    receiver: broadcast::Receiver<(Change, Epoch)>,
}

impl Subscription {
    /// The next change, as one who listens under `epoch` may see it.
    pub(crate) async fn next(&mut self, epoch: Epoch) -> Change {
        match self.receiver.recv().await {
            Ok((change, now)) if now == epoch => change,
            Ok(_) | Err(RecvError::Closed) => Change::Ended,
            Err(RecvError::Lagged(missed)) => Change::Lagged(missed),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let hash_map::Entry::Occupied(mut place) = self.shared.listeners().entry(self.key) {
            place.get_mut().retain(|one| one.number != self.number);
            self.shared.count.fetch_sub(1, Ordering::SeqCst);
            if place.get().is_empty() {
                place.remove();
            }
        }
    }
}
