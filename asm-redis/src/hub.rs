//! What this process hears: grants for its waiters, changes for its subscribers.
//!
//! One connection listens for all of them. It is made when the first one needs it; when it was lost
//! and made anew, whoever waits looks again, and whoever follows is told that it missed something.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::Future,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use asm_core::{Change, Epoch, Key, LockToken, OpId, Result, Version};
use futures_util::StreamExt;
use redis::{
    Msg,
    aio::{PubSubSink, PubSubStream},
};
use tokio::{
    runtime::Handle,
    sync::{
        Notify,
        broadcast::{self, error::RecvError},
        watch,
    },
    task::AbortHandle,
    time::timeout,
};

use crate::{
    counters::Tally,
    errors,
    keys::Prefix,
    link::{Links, pause_for},
    record,
};

/// The most changes that are kept for one subscriber.
const MAX_BUFFER: usize = 4096;

/// Pauses between attempts to listen.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
];

/// Who waits and who follows in this process.
pub(crate) struct Hub {
    links: Arc<Links>,
    prefix: Prefix,
    /// Where grants for waiters of this process are published.
    channel: String,
    enabled: bool,
    ears: Mutex<HashMap<LockToken, Place>>,
    followers: Mutex<HashMap<Key, Vec<Follower>>>,
    made: AtomicU64,
    sink: watch::Sender<Option<PubSubSink>>,
    task: Mutex<Option<AbortHandle>>,
    tally: Arc<Tally>,
}

/// Where a token is listened for: by a request, and perhaps by its resend.
struct Place {
    key: Key,
    ears: usize,
    notify: Arc<Notify>,
}

/// Each follower has a channel of its own, so that a slow one costs only itself.
struct Follower {
    number: u64,
    sender: broadcast::Sender<(Change, Option<Epoch>)>,
}

impl Hub {
    pub(crate) fn new(
        links: Arc<Links>,
        prefix: Prefix,
        process: &[u8; 8],
        enabled: bool,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            channel: prefix.wake(process),
            enabled: enabled && links.can_listen(),
            links,
            prefix,
            ears: Mutex::default(),
            followers: Mutex::default(),
            made: AtomicU64::new(0),
            sink: watch::channel(None).0,
            task: Mutex::default(),
            tally,
        }
    }

    /// Whether it listens at all.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    pub(crate) fn waiting(&self) -> usize {
        lock(&self.ears).len()
    }

    pub(crate) fn following(&self) -> usize {
        lock(&self.followers).values().map(Vec::len).sum()
    }

    /// Begins to listen, and waits until it does: before the first ticket, so that no grant is
    /// missed. `false` when it does not work now; waiters then look again by themselves.
    pub(crate) async fn ready(self: &Arc<Self>, runtime: &Handle) -> bool {
        self.is_enabled() && self.sink(runtime).await.is_some()
    }

    async fn sink(self: &Arc<Self>, runtime: &Handle) -> Option<PubSubSink> {
        let now = self.sink.borrow().clone();
        if now.is_some() {
            return now;
        }
        self.start(runtime);
        let mut sink = self.sink.subscribe();
        let listening = timeout(self.links.deadline, sink.wait_for(Option::is_some)).await;
        listening.ok()?.ok()?.clone()
    }

    fn start(self: &Arc<Self>, runtime: &Handle) {
        let mut task = lock(&self.task);
        if task.is_none() {
            let listening = runtime.spawn(Arc::clone(self).listen());
            *task = Some(listening.abort_handle());
        }
    }

    /// Ends listening for good.
    pub(crate) fn stop(&self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }

    async fn listen(self: Arc<Self>) {
        let (mut attempt, mut failed, mut before) = (0, 0, false);
        loop {
            pause_for(PAUSES[failed.min(PAUSES.len() - 1)]).await;
            let connected = timeout(self.links.deadline, self.connect(attempt)).await;
            attempt += 1;
            let Ok(Ok((sink, stream))) = connected else {
                failed += 1;
                continue;
            };
            failed = 1;
            self.sink.send_replace(Some(sink));
            if before {
                self.missed_something();
            }
            before = true;
            self.hear(stream).await;
            self.sink.send_replace(None);
            tracing::debug!("the connection that listens was lost");
        }
    }

    /// Whoever comes later subscribes by itself.
    async fn connect(&self, attempt: usize) -> Result<(PubSubSink, PubSubStream)> {
        let client = self.links.listener(attempt).await?;
        let failed = |error| errors::of(&error);
        let (mut sink, stream) = client.get_async_pubsub().await.map_err(failed)?.split();
        self.tally.connections.add();
        let followed: Vec<_> = lock(&self.followers).keys().copied().collect();
        let feeds = followed.iter().map(|key| self.prefix.session(key).feed());
        let channels: Vec<_> = feeds.chain([self.channel.clone()]).collect();
        sink.subscribe(channels).await.map_err(failed)?;
        Ok((sink, stream))
    }

    async fn hear(&self, mut stream: PubSubStream) {
        while let Some(message) = stream.next().await {
            self.tell(&message);
        }
    }

    fn tell(&self, message: &Msg) {
        let payload = message.get_payload_bytes();
        if message.get_channel_name() == self.channel {
            if payload.len() > LockToken::LEN && self.wake(&payload[..LockToken::LEN]) {
                self.tally.wakes.add();
            }
        } else if let Some(key) = self
            .prefix
            .key_of_feed(message.get_channel_name().as_bytes())
            && let Some((change, epoch)) = change(payload)
        {
            self.publish(&key, change, Some(epoch));
        }
    }

    fn missed_something(&self) {
        for place in lock(&self.ears).values() {
            place.wake();
        }
        for follower in lock(&self.followers).values().flatten() {
            let _ = follower.sender.send((Change::Lagged(1), None));
        }
    }

    /// Listens for a grant until the ear is dropped. A wake-up that comes before [`Ear::woken`] is
    /// awaited is kept.
    pub(crate) fn ear(self: &Arc<Self>, key: &Key, token: LockToken) -> Ear {
        let mut ears = lock(&self.ears);
        let place = ears.entry(token).or_insert_with(|| Place {
            key: *key,
            ears: 0,
            notify: Arc::default(),
        });
        place.ears += 1;
        Ear {
            notify: Arc::clone(&place.notify),
            hub: Arc::clone(self),
            token,
        }
    }

    /// Wakes waiters of this process, as the answer to a call named them.
    pub(crate) fn wake_next_door(&self, tokens: &[u8]) {
        for token in tokens.chunks_exact(LockToken::LEN) {
            if self.wake(token) {
                self.tally.wakes_next_door.add();
            }
        }
    }

    /// Lets the waiters of a session look again: a call that may have woken one was not answered.
    pub(crate) fn nudge(&self, key: &Key) {
        let ears = lock(&self.ears);
        for place in ears.values().filter(|place| place.key == *key) {
            place.wake();
        }
    }

    fn wake(&self, token: &[u8]) -> bool {
        let token = LockToken::from_bytes(record::bytes(token));
        let ears = lock(&self.ears);
        let place = ears.get(&token);
        if let Some(place) = place {
            place.wake();
        }
        place.is_some()
    }

    /// Hears of the changes of a session from the answer on.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        key: &Key,
        buffer: NonZeroUsize,
        runtime: &Handle,
    ) -> Result<Following> {
        let following = self.register(key, buffer, runtime);
        let Some(mut sink) = self.sink(runtime).await else {
            return Err(errors::of(
                &std::io::Error::from(std::io::ErrorKind::NotConnected).into(),
            ));
        };
        let feed = self.prefix.session(key).feed();
        let subscribed = timeout(self.links.deadline, sink.subscribe(feed)).await;
        match subscribed {
            Ok(Ok(())) => Ok(following),
            Ok(Err(error)) => Err(errors::of(&error)),
            Err(_) => {
                let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(errors::of(&error.into()))
            }
        }
    }

    fn register(self: &Arc<Self>, key: &Key, buffer: NonZeroUsize, runtime: &Handle) -> Following {
        let (sender, receiver) = broadcast::channel(buffer.get().min(MAX_BUFFER));
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let follower = Follower { number, sender };
        lock(&self.followers)
            .entry(*key)
            .or_default()
            .push(follower);
        Following {
            hub: Arc::clone(self),
            runtime: runtime.clone(),
            key: *key,
            number,
            receiver,
        }
    }

    fn publish(&self, key: &Key, change: Change, epoch: Option<Epoch>) {
        if let Some(followers) = lock(&self.followers).get(key) {
            for follower in followers {
                // Fails only when the receiver is being dropped right now.
                let _ = follower.sender.send((change, epoch));
            }
        }
    }

    /// Unsubscribes from a session that nobody follows. What is sent is sent while nobody can begin
    /// to follow, so that it does not come after the subscription of one who does.
    async fn unfollow(self: Arc<Self>, key: Key) {
        let Some(mut sink) = self.sink.borrow().clone() else {
            return;
        };
        let feed = self.prefix.session(&key).feed();
        let mut unsubscribed = Box::pin(async move { sink.unsubscribe(feed).await });
        {
            let followers = lock(&self.followers);
            if followers.contains_key(&key) {
                return;
            }
            let mut context = Context::from_waker(Waker::noop());
            if unsubscribed.as_mut().poll(&mut context).is_ready() {
                return;
            }
        }
        let _ = timeout(self.links.deadline, unsubscribed).await;
    }

    /// Waits until everything is heard that was published before.
    pub(crate) async fn caught_up(&self) {
        let sink = self.sink.borrow().clone();
        if let Some(mut sink) = sink {
            // The server answers it after what it told before.
            let _ = timeout(self.links.deadline, sink.subscribe(&self.channel)).await;
        }
    }
}

impl Place {
    fn wake(&self) {
        // All who wait under this token, or the next who does.
        self.notify.notify_waiters();
        self.notify.notify_one();
    }
}

/// A waiter's ear.
pub(crate) struct Ear {
    hub: Arc<Hub>,
    token: LockToken,
    notify: Arc<Notify>,
}

impl Ear {
    /// Ready once the token was woken.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        if let Entry::Occupied(mut place) = lock(&self.hub.ears).entry(self.token) {
            place.get_mut().ears -= 1;
            if place.get().ears == 0 {
                place.remove();
            }
        }
    }
}

/// One follower's end. Dropping it unsubscribes.
pub(crate) struct Following {
    hub: Arc<Hub>,
    runtime: Handle,
    key: Key,
    number: u64,
    receiver: broadcast::Receiver<(Change, Option<Epoch>)>,
}

impl Following {
    /// The next change, as one who follows under `epoch` may see it.
    pub(crate) async fn next(&mut self, epoch: Epoch) -> Change {
        match self.receiver.recv().await {
            Ok((change, None)) => change,
            Ok((change, Some(now))) if now == epoch => change,
            Ok(_) | Err(RecvError::Closed) => Change::Ended,
            Err(RecvError::Lagged(missed)) => Change::Lagged(missed),
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut followers = lock(&self.hub.followers);
        if let Entry::Occupied(mut place) = followers.entry(self.key) {
            place.get_mut().retain(|one| one.number != self.number);
            if place.get().is_empty() {
                place.remove();
                let busy = self.hub.tally.busy();
                let hub = Arc::clone(&self.hub);
                let key = self.key;
                self.runtime.spawn(async move {
                    hub.unfollow(key).await;
                    drop(busy);
                });
            }
        }
    }
}

/// What is behind it is whole between any two statements of ours.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A change as scripts publish it: its kind, the version, and the epoch after it.
fn change(payload: &[u8]) -> Option<(Change, Epoch)> {
    let (kind, rest) = payload.split_first()?;
    if rest.len() != 24 {
        return None;
    }
    let version = Version {
        number: record::number(rest),
        op: OpId::from_bytes(record::bytes(&rest[8..])),
    };
    let change = match kind {
        b's' => Change::Saved(version),
        b'r' => Change::Rotated(version),
        b'e' => Change::Ended,
        _ => return None,
    };
    Some((change, Epoch::new(record::number(&rest[16..]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_scripts_publish_is_a_change() {
        let mut payload = vec![b'r'];
        payload.extend_from_slice(&3u64.to_be_bytes());
        payload.extend_from_slice(&[9; 8]);
        payload.extend_from_slice(&5u64.to_be_bytes());
        let version = Version {
            number: 3,
            op: OpId::from_bytes([9; 8]),
        };
        assert_eq!(
            change(&payload),
            Some((Change::Rotated(version), Epoch::new(5)))
        );
        assert_eq!(change(&payload[..20]), None);
        assert_eq!(change(b""), None);
        payload[0] = b'x';
        assert_eq!(change(&payload), None);
    }
}
