//! What this process hears: grants for its waiters, changes for its subscribers.
//!
//! One connection listens for all of them. It is made when the first one needs it; when it was lost
//! and made anew, whoever waits looks again, and whoever follows is told that it missed something.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::Future,
    mem,
    num::NonZeroUsize,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use asm_core::{Change, Epoch, Key, LockToken, OpId, Result, Timestamp, Version};
use futures_util::future;
use redis::{
    Msg,
    aio::{PubSubSink, PubSubStream},
};
use tokio::{
    runtime::Handle,
    sync::{
        Notify,
        broadcast::{
            self,
            error::{RecvError, TryRecvError},
        },
        futures::Notified,
        watch,
    },
    task::AbortHandle,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    counters::Tally,
    errors,
    keys::Prefix,
    link::Links,
    listening::{again_and_again, hear},
    record,
};

/// The most changes that are kept for one subscriber.
const MAX_BUFFER: usize = 4096;

/// What is published to see whether it comes back. No token is that short.
const MARK: &[u8] = b"mark";

/// Who waits and who follows in this process.
pub(crate) struct Hub {
    links: Arc<Links>,
    prefix: Prefix,
    /// Where grants for waiters of this process are published.
    channel: String,
    enabled: bool,
    /// After how long a silence the connection that listens is asked whether it is still there. One
    /// whose other end went without a word would be listened to for ever.
    silence: Duration,
    ears: Mutex<HashMap<LockToken, Place>>,
    followers: Mutex<HashMap<Key, Vec<Follower>>>,
    made: AtomicU64,
    line: watch::Sender<Line>,
    /// That the connection which listens is to be made anew.
    left: Notify,
    task: Mutex<Option<AbortHandle>>,
    /// How many marks have come back of those that [`Hub::caught_up`] sent.
    marks: watch::Sender<usize>,
    tally: Arc<Tally>,
}

/// The connection that listens.
#[derive(Clone)]
enum Line {
    /// It is being made, for the first time or after it was lost.
    Beginning,
    /// It is there.
    Up(PubSubSink),
    /// It could not be made, which is tried again and again.
    Down,
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
    sender: broadcast::Sender<Told>,
    known: Known,
}

/// What a follower is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Something happened; the epoch is the one after it.
    Change(Change, Epoch),
    /// A session of this name was created, so whichever was there before is over.
    Created(Timestamp),
    /// The connection was lost, and made anew.
    Gap,
}

impl Hub {
    pub(crate) fn new(
        links: Arc<Links>,
        prefix: Prefix,
        process: &[u8; 8],
        enabled: bool,
        silence: Duration,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            channel: prefix.wake(process),
            enabled: enabled && links.can_listen(),
            silence,
            links,
            prefix,
            ears: Mutex::default(),
            followers: Mutex::default(),
            made: AtomicU64::new(0),
            line: watch::channel(Line::Beginning).0,
            left: Notify::new(),
            task: Mutex::default(),
            marks: watch::channel(0).0,
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
    /// missed. When it does not work by then, waiters look again by themselves.
    pub(crate) async fn ready(self: &Arc<Self>, runtime: &Handle, end: Instant) {
        if self.is_enabled() {
            self.sink(runtime, end).await;
        }
    }

    async fn sink(self: &Arc<Self>, runtime: &Handle, end: Instant) -> Option<PubSubSink> {
        if let Some(sink) = self.line.borrow().sink() {
            return Some(sink);
        }
        self.start(runtime);
        let mut line = self.line.subscribe();
        // Nobody waits for what has just failed.
        let begun = line.wait_for(|line| !matches!(line, Line::Beginning));
        let begun = timeout_at(end, begun).await;
        begun.ok()?.ok()?.sink()
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
        again_and_again(|attempt, before| self.listen_once(attempt, before)).await;
    }

    /// Listens until that is over; `false` when it could not.
    async fn listen_once(&self, attempt: usize, before: bool) -> bool {
        let left = self.left.notified();
        let connected = timeout(self.links.deadline, self.connect(attempt)).await;
        let Ok(Ok((sink, stream))) = connected else {
            self.line.send_replace(Line::Down);
            return false;
        };
        self.line.send_replace(Line::Up(sink.clone()));
        if before {
            self.missed_something();
        }
        self.hear(sink, stream, left).await;
        self.line.send_replace(Line::Beginning);
        tracing::debug!("the connection that listens was lost");
        true
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

    /// Until the connection is lost, or left.
    async fn hear(&self, sink: PubSubSink, stream: PubSubStream, left: Notified<'_>) {
        let tell = |message: &Msg| self.tell(message);
        let heard = hear(sink, stream, self.silence, self.links.deadline, tell);
        future::select(pin!(heard), pin!(left)).await;
    }

    /// Listens to whoever is the master now.
    pub(crate) fn leave(&self) {
        self.left.notify_waiters();
    }

    fn tell(&self, message: &Msg) {
        let payload = message.get_payload_bytes();
        if message.get_channel_name() == self.channel {
            if payload == MARK {
                self.marks.send_modify(|heard| *heard += 1);
            } else if payload.len() > LockToken::LEN && self.wake(&payload[..LockToken::LEN]) {
                self.tally.wakes.add();
            }
        } else if let Some(key) = self
            .prefix
            .key_of_feed(message.get_channel_name().as_bytes())
            && let Some(told) = told(payload)
        {
            self.publish(&key, told);
        }
    }

    fn missed_something(&self) {
        for place in lock(&self.ears).values() {
            place.wake();
        }
        for follower in lock(&self.followers).values_mut().flatten() {
            // After a failover numbers may have gone back.
            follower.known = Known::default();
            let _ = follower.sender.send(Told::Gap);
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
        end: Instant,
    ) -> Result<Following> {
        let following = self.register(key, buffer, runtime);
        let Some(mut sink) = self.sink(runtime, end).await else {
            return Err(errors::of(
                &std::io::Error::from(std::io::ErrorKind::NotConnected).into(),
            ));
        };
        let feed = self.prefix.session(key).feed();
        let subscribed = timeout_at(end, sink.subscribe(feed)).await;
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
        let follower = Follower {
            number,
            sender,
            known: Known::default(),
        };
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
            missed: 0,
        }
    }

    fn publish(&self, key: &Key, told: Told) {
        if let Some(followers) = lock(&self.followers).get(key) {
            let news = followers.iter().filter(|one| !one.known.covers(&told));
            for follower in news {
                // Fails only when the receiver is being dropped right now.
                let _ = follower.sender.send(told);
            }
        }
    }

    /// Unsubscribes from a session that nobody follows. What is sent is sent while nobody can begin
    /// to follow, so that it does not come after the subscription of one who does.
    async fn unfollow(self: Arc<Self>, key: Key) {
        let Some(mut sink) = self.line.borrow().sink() else {
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

    /// Waits until everything is heard that was published before, at whichever master: each of them
    /// publishes a mark behind it.
    pub(crate) async fn caught_up(&self) {
        let nobody = self.following() == 0 && self.waiting() == 0;
        if nobody || self.line.borrow().sink().is_none() {
            return;
        }
        let mut marks = self.marks.subscribe();
        let before = *marks.borrow_and_update();
        let pack = || {
            let mut pipeline = redis::Pipeline::new();
            pipeline.cmd("PUBLISH").arg(&self.channel).arg(MARK);
            pipeline
        };
        if let Ok(sent) = self.links.on_each(pack).await {
            let all = marks.wait_for(|heard| *heard >= before + sent.len());
            let _ = timeout(self.links.deadline, all).await;
        }
    }
}

impl Line {
    fn sink(&self) -> Option<PubSubSink> {
        match self {
            Self::Up(sink) => Some(sink.clone()),
            Self::Beginning | Self::Down => None,
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

/// What a follower knows from its look at the session: the number of the version, and the store's
/// time of the look. In a cluster it may be told afterwards of what came before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) number: u64,
    pub(crate) looked: Option<Timestamp>,
}

impl Known {
    fn covers(&self, told: &Told) -> bool {
        match told {
            Told::Created(then) => self.looked.is_some_and(|looked| *then <= looked),
            Told::Change(Change::Saved(version) | Change::Rotated(version), _) => {
                version.number <= self.number
            }
            Told::Change(..) | Told::Gap => false,
        }
    }
}

/// One follower's end. Dropping it unsubscribes.
pub(crate) struct Following {
    hub: Arc<Hub>,
    runtime: Handle,
    key: Key,
    number: u64,
    receiver: broadcast::Receiver<Told>,
    /// How many were missed before the look at the session.
    missed: u64,
}

impl Following {
    /// Leaves out what the follower knows, also of what it was told already.
    pub(crate) fn skip(&mut self, known: Known) {
        let mut followers = lock(&self.hub.followers);
        let mut followers = followers.get_mut(&self.key).into_iter().flatten();
        let Some(follower) = followers.find(|one| one.number == self.number) else {
            return;
        };
        follower.known = known;
        let mut news = Vec::new();
        loop {
            match self.receiver.try_recv() {
                Ok(told) if known.covers(&told) => {}
                Ok(told) => news.push(told),
                Err(TryRecvError::Lagged(missed)) => self.missed += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        for told in news {
            let _ = follower.sender.send(told);
        }
    }

    /// The next change, as one who follows under `epoch` may see it.
    pub(crate) async fn next(&mut self, epoch: Epoch) -> Change {
        if self.missed > 0 {
            return Change::Lagged(mem::take(&mut self.missed));
        }
        match self.receiver.recv().await {
            Ok(Told::Gap) => Change::Lagged(1),
            Ok(Told::Change(change, now)) if now == epoch => change,
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

/// A change as scripts publish it: its kind, the version, and the epoch after it, or the time when
/// it was created.
fn told(payload: &[u8]) -> Option<Told> {
    let (kind, rest) = payload.split_first()?;
    if rest.len() != 24 {
        return None;
    }
    let version = Version {
        number: record::number(rest),
        op: OpId::from_bytes(record::bytes(&rest[8..])),
    };
    let last = record::number(&rest[16..]);
    let change = match kind {
        b's' => Change::Saved(version),
        b'r' => Change::Rotated(version),
        b'e' => Change::Ended,
        b'c' => return Some(Told::Created(Timestamp::from_micros(last))),
        _ => return None,
    };
    Some(Told::Change(change, Epoch::new(last)))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::access::Topology;

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
        let told_of = Told::Change(Change::Rotated(version), Epoch::new(5));
        assert_eq!(told(&payload), Some(told_of));
        payload[0] = b'c';
        assert_eq!(
            told(&payload),
            Some(Told::Created(Timestamp::from_micros(5)))
        );
        assert_eq!(told(&payload[..20]), None);
        assert_eq!(told(b""), None);
        payload[0] = b'x';
        assert_eq!(told(&payload), None);
    }

    #[test]
    fn a_follower_knows_of_what_came_before_its_look() {
        let [before, looked, after] = [4, 5, 6].map(Timestamp::from_micros);
        let known = Known {
            number: 3,
            looked: Some(looked),
        };
        assert!(known.covers(&Told::Created(before)));
        assert!(known.covers(&Told::Created(looked)));
        assert!(!known.covers(&Told::Created(after)));
        assert!(!Known::default().covers(&Told::Created(before)));
    }

    /// Nobody connects.
    fn hub() -> Arc<Hub> {
        let client = redis::Client::open("redis://127.0.0.1").expect("a URL");
        let (tally, patience) = (Arc::<Tally>::default(), Duration::from_secs(1));
        let topology = Topology::One(client);
        let runtime = Handle::current();
        let links = Links::new(topology, 1, patience, runtime, Arc::clone(&tally));
        let prefix = Prefix::new("asm").expect("a good prefix");
        let hub = Hub::new(Arc::new(links), prefix, &[0; 8], true, patience, tally);
        Arc::new(hub)
    }

    #[tokio::test]
    async fn a_follower_is_told_of_what_its_look_did_not_show() {
        let (hub, key, epoch) = (hub(), Key::from_bytes([1; 16]), Epoch::new(5));
        let saved = |number| {
            let op = OpId::from_bytes([9; 8]);
            Change::Saved(Version { number, op })
        };
        let publish = |told: &[Told]| told.iter().for_each(|told| hub.publish(&key, *told));
        let buffer = NonZeroUsize::MIN.saturating_add(9);
        let [mut early, mut late] =
            [(); 2].map(|()| hub.register(&key, buffer, &Handle::current()));
        let [created, before, after] = [4, 4, 5].map(Timestamp::from_micros);
        // Between the subscription and the look.
        let meanwhile = [2, 3, 4].map(|number| Told::Change(saved(number), epoch));
        publish(&[Told::Created(created)]);
        publish(&meanwhile);
        for (follower, number, looked) in [(&mut early, 1, before), (&mut late, 3, after)] {
            follower.skip(Known {
                number,
                looked: Some(looked),
            });
        }
        // After it, and one of it late, as in a cluster.
        publish(&[3, 5].map(|number| Told::Change(saved(number), epoch)));
        for (follower, numbers) in [(&mut early, &[2, 3, 4, 3, 5][..]), (&mut late, &[4, 5])] {
            for number in numbers {
                assert_eq!(follower.next(epoch).now_or_never(), Some(saved(*number)));
            }
            assert_eq!(follower.next(epoch).now_or_never(), None);
        }
    }
}
