//! Hearing of other processes: who is to be woken here, and what those who follow are told.
//!
//! One thread for all waiters and followers of a driver, started by the first of them. It watches
//! the directories of their sessions (inotify) and the processes that they wait for (pidfd). What
//! it hears is only ever a reason to look: the truth is in the files.

use std::{
    collections::{HashMap, HashSet, hash_map},
    fmt, io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use asm_core::{Change, Epoch, Key, LockToken};
use asm_entry::{Feed, Wakeups};
use rustix::{
    buffer::spare_capacity,
    event::{EventfdFlags, epoll, eventfd},
    fs::inotify::{self, ReadFlags, WatchFlags},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{
    fs::Fs,
    layout::Kind,
    ring::{self, Ring},
};

/// What the thread looks at when it was told to.
pub(crate) trait Look: Send + Sync {
    /// Who waits for the lock of this session.
    fn waiting(&self, key: &Key) -> asm_core::Result<HashSet<LockToken>>;
    /// The number of its version, and its epoch; `None` when there is no session.
    fn version(&self, key: &Key) -> asm_core::Result<Option<(u64, Epoch)>>;
}

/// Those who wait and those who follow, of one driver.
pub(crate) struct Watch {
    pub(crate) wakeups: Wakeups,
    pub(crate) feed: Feed,
    /// Where to watch; `None` when nothing is.
    fs: Option<Arc<Fs>>,
    engine: Mutex<Option<Arc<Engine>>>,
    /// Files are read under it, so an async thread must not wait for it.
    state: Mutex<State>,
    /// Whose followers have gone while somebody else had the state.
    gone: Mutex<Vec<Key>>,
    followers: AtomicUsize,
    /// How many sessions are waited for: most transactions need to know that it is none.
    waited_for: AtomicUsize,
    /// Whether the thread is looking at something it was told of, and how often it has.
    looking: AtomicBool,
    looked: AtomicU64,
}

#[derive(Default)]
struct State {
    /// By number of the watch.
    watched: HashMap<i32, u8>,
    shards: HashMap<u8, i32>,
    waiting: HashMap<Key, Waiting>,
    followed: HashMap<u8, Followed>,
    /// Processes that somebody here waits for.
    processes: HashMap<u32, OwnedFd>,
}

/// What the kernel tells the thread by.
struct Engine {
    epoll: OwnedFd,
    inotify: OwnedFd,
    stop: OwnedFd,
}

/// Who of this driver waits for one session.
struct Waiting {
    tokens: HashSet<LockToken>,
    holder: Option<u32>,
}

/// The sessions of one shard that somebody follows.
struct Followed {
    ring: Ring,
    sessions: HashMap<Key, Session>,
}

struct Session {
    followers: usize,
    /// The number of the version that was told last.
    told: u64,
    /// Whether its end was told. Nothing comes after it.
    ended: bool,
}

const STOP: u64 = u64::MAX;
const FILES: u64 = u64::MAX - 1;

impl Watch {
    pub(crate) fn new(fs: Option<Arc<Fs>>) -> Self {
        Self {
            wakeups: Wakeups::new(),
            feed: Feed::new(),
            fs,
            engine: Mutex::default(),
            state: Mutex::default(),
            gone: Mutex::default(),
            followers: AtomicUsize::new(0),
            waited_for: AtomicUsize::new(0),
            looking: AtomicBool::new(false),
            looked: AtomicU64::new(0),
        }
    }

    /// Whether other processes are heard of.
    pub(crate) fn is_on(&self) -> bool {
        self.fs.is_some()
    }

    /// Sessions that are waited for, and followers.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let waited_for = self.waited_for.load(Ordering::SeqCst);
        (waited_for, self.followers.load(Ordering::SeqCst))
    }

    /// How often the thread has looked at something.
    pub(crate) fn looked(&self) -> u64 {
        self.looked.load(Ordering::SeqCst)
    }

    /// How many notifications are not looked at yet.
    pub(crate) fn under_way(&self) -> usize {
        let engine = lock(&self.engine).clone();
        let pending = engine.is_some_and(|engine| {
            rustix::io::ioctl_fionread(&engine.inotify).is_ok_and(|bytes| bytes > 0)
        });
        // In this order: what is not pending any more is being looked at, or was.
        usize::from(pending) + usize::from(self.looking.load(Ordering::SeqCst))
    }

    /// Notes who of this driver waits for a session, and for which process. In the critical
    /// section, so that nobody can change it before it is watched.
    pub(crate) fn wait_for(
        self: &Arc<Self>,
        look: &Arc<dyn Look>,
        key: &Key,
        tokens: HashSet<LockToken>,
        holder: Option<u32>,
    ) {
        if tokens.is_empty() && self.waited_for.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut state = self.state();
        if let Some(former) = state.waiting.get(key) {
            // Whoever is not in the queue any more has something to hear.
            for token in former.tokens.difference(&tokens) {
                self.wakeups.wake(token);
            }
        }
        if tokens.is_empty() {
            state.waiting.remove(key);
            if state.waiting.is_empty() {
                state.processes.clear();
            }
        } else {
            // Without a watch the recheck has to do.
            if let Err(error) = self.watch(&mut state, look, shard_of(key), holder) {
                tracing::warn!(%error, "cannot watch a lock: waiters learn by their recheck");
            }
            state.waiting.insert(*key, Waiting { tokens, holder });
        }
        self.waited_for.store(state.waiting.len(), Ordering::SeqCst);
    }

    /// Follows a session of that version, from now on. In the critical section.
    pub(crate) fn follow(
        self: &Arc<Self>,
        look: &Arc<dyn Look>,
        shard: &OwnedFd,
        key: &Key,
        version: u64,
    ) -> io::Result<Follower> {
        let mut state = self.state();
        let number = shard_of(key);
        self.watch(&mut state, look, number, None)?;
        // What happened before is told to those who came before.
        self.tell(&mut state, &**look, number);
        let followed = match state.followed.entry(number) {
            hash_map::Entry::Occupied(place) => place.into_mut(),
            hash_map::Entry::Vacant(place) => place.insert(Followed {
                ring: Ring::follow(shard)?,
                sessions: HashMap::new(),
            }),
        };
        let session = followed.sessions.entry(*key).or_insert(Session {
            followers: 0,
            told: 0,
            ended: false,
        });
        session.followers += 1;
        session.told = version;
        session.ended = false;
        self.followers.fetch_add(1, Ordering::SeqCst);
        Ok(Follower {
            watch: Arc::clone(self),
            key: *key,
        })
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        if let Some(engine) = lock(&self.engine).take() {
            // Fails only when it was told so 2^64 times before.
            let _ = rustix::io::write(&engine.stop, &1_u64.to_ne_bytes());
        }
    }

    /// From `Drop`, perhaps on an async thread: should somebody have the state, the next who wants
    /// it sees to it.
    fn unfollow(&self, key: &Key) {
        self.followers.fetch_sub(1, Ordering::SeqCst);
        lock(&self.gone).push(*key);
        match self.state.try_lock() {
            Ok(mut state) => self.see_off(&mut state),
            Err(TryLockError::Poisoned(state)) => self.see_off(&mut state.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn see_off(&self, state: &mut State) {
        for key in std::mem::take(&mut *lock(&self.gone)) {
            state.unfollow(&key);
        }
    }

    /// Sees to it that the thread hears of a shard, and of the end of a process.
    fn watch(
        self: &Arc<Self>,
        state: &mut State,
        look: &Arc<dyn Look>,
        shard: u8,
        process: Option<u32>,
    ) -> io::Result<()> {
        let Some(fs) = &self.fs else {
            return Ok(());
        };
        let engine = self.engine(look)?;
        if let hash_map::Entry::Vacant(place) = state.shards.entry(shard) {
            let news = WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::CLOSE_WRITE;
            let kind = WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
            let (path, _open) = fs.path(shard)?;
            let number = inotify::add_watch(&engine.inotify, path, news | kind)?;
            state.watched.insert(number, shard);
            place.insert(number);
        }
        if let Some(pid) = process
            && let hash_map::Entry::Vacant(place) = state.processes.entry(pid)
            && let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        {
            match pidfd_open(process, PidfdFlags::empty()) {
                Ok(process) => {
                    let data = epoll::EventData::new_u64(u64::from(pid));
                    epoll::add(&engine.epoll, &process, data, epoll::EventFlags::IN)?;
                    place.insert(process);
                }
                // It died since it was looked at; the recheck, or the next who looks, finds out.
                Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The one there is, or a new one and its thread.
    fn engine(self: &Arc<Self>, look: &Arc<dyn Look>) -> io::Result<Arc<Engine>> {
        let mut place = lock(&self.engine);
        if let Some(engine) = &*place {
            return Ok(Arc::clone(engine));
        }
        let engine = Arc::new(Engine::new()?);
        let (watch, its, look) = (Arc::clone(self), Arc::clone(&engine), Arc::clone(look));
        let thread = thread::Builder::new().name("asm-file watch".to_owned());
        thread.spawn(move || watch.run(&its, &*look))?;
        *place = Some(Arc::clone(&engine));
        Ok(engine)
    }

    fn run(&self, engine: &Engine, look: &dyn Look) {
        let mut events = Vec::with_capacity(16);
        loop {
            events.clear();
            match epoll::wait(&engine.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the watch has ended: waiters learn by their recheck");
                    return;
                }
            }
            self.looking.store(true, Ordering::SeqCst);
            for event in &events {
                match event.data.u64() {
                    STOP => return,
                    FILES => self.files_changed(engine, look),
                    pid => self.process_ended(pid as u32),
                }
            }
            self.looked.fetch_add(1, Ordering::SeqCst);
            self.looking.store(false, Ordering::SeqCst);
        }
    }

    fn files_changed(&self, engine: &Engine, look: &dyn Look) {
        let (mut keys, mut shards) = (HashSet::new(), HashSet::new());
        let mut ended = HashSet::new();
        let mut state = self.state();
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut events = inotify::Reader::new(&engine.inotify, &mut buffer);
        while let Ok(event) = events.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                // Anything may have happened.
                keys.extend(state.waiting.keys().copied());
                for (shard, followed) in &state.followed {
                    shards.insert(*shard);
                    ended.extend(followed.sessions.keys().copied());
                }
                continue;
            }
            let Some(&shard) = state.watched.get(&event.wd()) else {
                continue;
            };
            if event.events().contains(ReadFlags::IGNORED) {
                // The directory is gone.
                state.watched.remove(&event.wd());
                state.shards.remove(&shard);
                continue;
            }
            let name = event.file_name().and_then(|name| name.to_str().ok());
            let name = name.unwrap_or_default();
            if name == ring::NAME {
                shards.insert(shard);
            } else if let Some((stem, kind)) = Kind::of_name(name)
                && let Some(key) = Key::from_hex(stem)
            {
                keys.insert(key);
                if kind == Kind::Record && event.events().contains(ReadFlags::DELETE) {
                    ended.insert(key);
                }
            }
        }
        for key in &keys {
            self.wake(&mut state, look, key);
        }
        for shard in shards {
            self.tell(&mut state, look, shard);
        }
        for key in ended {
            self.tell_end(&mut state, look, &key);
        }
        self.waited_for.store(state.waiting.len(), Ordering::SeqCst);
        state.forget_what_nobody_needs(engine);
    }

    /// Wakes those of us who wait no more: the lock is theirs, or there is nothing to wait for.
    fn wake(&self, state: &mut State, look: &dyn Look, key: &Key) {
        let hash_map::Entry::Occupied(mut place) = state.waiting.entry(*key) else {
            return;
        };
        // What cannot be read is looked at by the waiters themselves.
        let still = look.waiting(key).unwrap_or_default();
        place.get_mut().tokens.retain(|token| {
            let waits = still.contains(token);
            if !waits {
                self.wakeups.wake(token);
            }
            waits
        });
        if place.get().tokens.is_empty() {
            place.remove();
        }
    }

    /// Wakes those who wait for a process that has ended.
    fn process_ended(&self, pid: u32) {
        let mut state = self.state();
        state.processes.remove(&pid);
        for waiting in state.waiting.values() {
            if waiting.holder == Some(pid) {
                // One of them finds out, and serves the next.
                waiting.tokens.iter().for_each(|token| {
                    self.wakeups.wake(token);
                });
            }
        }
    }

    /// Tells what has happened in a shard.
    fn tell(&self, state: &mut State, look: &dyn Look, shard: u8) {
        let Some(followed) = state.followed.get_mut(&shard) else {
            return;
        };
        let sessions = &mut followed.sessions;
        let complete = followed.ring.read(|news| {
            if let Some(session) = sessions.get_mut(&news.key) {
                self.publish(&news.key, session, news.change, news.epoch);
            }
        });
        if complete.is_ok_and(|complete| complete) {
            return;
        }
        // Some of it was overwritten: what is there now tells how much.
        for (key, session) in sessions {
            match look.version(key) {
                Ok(Some((number, epoch))) if number > session.told && !session.ended => {
                    let missed = Change::Lagged(number - session.told);
                    session.told = number;
                    self.feed.publish(key, missed, epoch);
                }
                Ok(Some(_)) => {}
                Ok(None) => self.publish(key, session, Change::Ended, Epoch::new(0)),
                Err(error) => tracing::warn!(%error, "cannot tell what followers have missed"),
            }
        }
    }

    /// Whoever deleted it may have died before it could tell.
    fn tell_end(&self, state: &mut State, look: &dyn Look, key: &Key) {
        let shard = shard_of(key);
        self.tell(state, look, shard);
        let followed = state.followed.get_mut(&shard);
        let session = followed.and_then(|followed| followed.sessions.get_mut(key));
        if let Some(session) = session
            && matches!(look.version(key), Ok(None))
        {
            self.publish(key, session, Change::Ended, Epoch::new(0));
        }
    }

    /// A number that was passed over is a change that was missed.
    fn publish(&self, key: &Key, session: &mut Session, change: Change, epoch: Epoch) {
        if session.ended {
            return;
        }
        if let Change::Saved(version) | Change::Rotated(version) = change {
            let missed = version.number.saturating_sub(session.told + 1);
            if missed > 0 {
                self.feed.publish(key, Change::Lagged(missed), epoch);
            }
            session.told = version.number;
        }
        session.ended = change == Change::Ended;
        self.feed.publish(key, change, epoch);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        self.see_off(&mut state);
        state
    }
}

impl State {
    fn unfollow(&mut self, key: &Key) {
        let shard = shard_of(key);
        let Some(followed) = self.followed.get_mut(&shard) else {
            return;
        };
        if let Some(session) = followed.sessions.get_mut(key) {
            session.followers -= 1;
            if session.followers == 0 {
                followed.sessions.remove(key);
            }
        }
        if followed.sessions.is_empty() {
            self.followed.remove(&shard);
        }
    }

    /// Hears no more of shards where nobody waits or follows, nor of processes that nobody waits
    /// for.
    fn forget_what_nobody_needs(&mut self, engine: &Engine) {
        let waiting = self.waiting.keys().map(shard_of);
        let used: HashSet<u8> = waiting.chain(self.followed.keys().copied()).collect();
        self.shards.retain(|shard, number| {
            let keep = used.contains(shard);
            if !keep {
                // Fails only when the directory is gone, and the watch with it.
                let _ = inotify::remove_watch(&engine.inotify, *number);
                self.watched.remove(number);
            }
            keep
        });
        let holders: HashSet<u32> = self.waiting.values().filter_map(|one| one.holder).collect();
        self.processes.retain(|pid, _| holders.contains(pid));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    fn new() -> io::Result<Self> {
        let engine = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            inotify: inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?,
            stop: eventfd(0, EventfdFlags::CLOEXEC)?,
        };
        for (source, name) in [(&engine.inotify, FILES), (&engine.stop, STOP)] {
            let data = epoll::EventData::new_u64(name);
            epoll::add(&engine.epoll, source, data, epoll::EventFlags::IN)?;
        }
        Ok(engine)
    }
}

/// One who follows a session, until it is dropped.
pub(crate) struct Follower {
    watch: Arc<Watch>,
    key: Key,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.watch.unfollow(&self.key);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waited_for, followed) = self.counts();
        f.debug_struct("Watch")
            .field("waited_for", &waited_for)
            .field("followed", &followed)
            .finish_non_exhaustive()
    }
}

/// Where a session is.
pub(crate) fn shard_of(key: &Key) -> u8 {
    key.as_bytes()[0]
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::Path,
        sync::mpsc::{Receiver, Sender, channel},
        time::Duration,
    };

    use super::*;
    use crate::fs::open_directory;

    const SHARD: &str = "a5";

    fn key(last: u8) -> Key {
        let mut bytes = [0xa5; 16];
        bytes[15] = last;
        Key::from_bytes(bytes)
    }

    fn token(id: u8) -> LockToken {
        LockToken::from_bytes([id; 16])
    }

    /// Says when it is asked, and waits for the answer.
    struct Slow {
        asked: Mutex<Sender<Key>>,
        answers: Mutex<Receiver<HashSet<LockToken>>>,
    }

    impl Look for Slow {
        fn waiting(&self, key: &Key) -> asm_core::Result<HashSet<LockToken>> {
            lock(&self.asked).send(*key).expect("the test listens");
            Ok(lock(&self.answers).recv().unwrap_or_default())
        }

        fn version(&self, _: &Key) -> asm_core::Result<Option<(u64, Epoch)>> {
            Ok(None)
        }
    }

    /// Has a session of that version, or none.
    struct Stored(Option<u64>);

    impl Look for Stored {
        fn waiting(&self, _: &Key) -> asm_core::Result<HashSet<LockToken>> {
            Ok(HashSet::new())
        }

        fn version(&self, _: &Key) -> asm_core::Result<Option<(u64, Epoch)>> {
            Ok(self.0.map(|number| (number, Epoch::new(0))))
        }
    }

    fn opened(root: &Path) -> (Arc<Fs>, Arc<OwnedFd>) {
        let root = open_directory(root).expect("ours");
        let fs = Arc::new(Fs::new(root, Duration::ZERO, true));
        let shard = fs.shard(0xa5).expect("a shard");
        (fs, shard)
    }

    fn change(root: &Path, key: &Key) {
        let shard = root.join(SHARD);
        fs::write(shard.join("new"), "x").expect("written");
        fs::rename(shard.join("new"), shard.join(format!("{key}.l"))).expect("renamed");
    }

    fn woken(watch: &Watch, id: u8) -> impl Future<Output = ()> {
        let ear = watch.wakeups.listen(token(id));
        async move { ear.woken().await }
    }

    /// A stream is dropped on an async thread, which must not wait for one that reads files.
    #[test]
    fn a_follower_leaves_without_waiting() {
        let place = tempfile::tempdir().expect("a directory");
        let (fs, shard) = opened(place.path());
        let watch = Arc::new(Watch::new(Some(fs)));
        let look: Arc<dyn Look> = Arc::new(Slow {
            asked: Mutex::new(channel().0),
            answers: Mutex::new(channel().1),
        });
        let follow = || watch.follow(&look, &shard, &key(1), 1).expect("followed");
        let (one, two) = (follow(), follow());
        let busy = watch.state();
        drop(one);
        assert_eq!(watch.counts(), (0, 1));
        drop(busy);
        assert_eq!(watch.state().followed.len(), 1);
        drop(two);
        assert_eq!(watch.counts(), (0, 0));
        assert_eq!(watch.state().followed.len(), 0);
        watch.stop();
    }

    /// What was overwritten may have been anybody's, so each is asked what became of it.
    #[test]
    fn what_was_missed_is_told_by_what_is_there() {
        let place = tempfile::tempdir().expect("a directory");
        let (_, shard) = opened(place.path());
        let cases = [
            (false, Some(9), (9, false)),
            (false, Some(7), (7, false)),
            // A former one has ended, and it was told so, or will be.
            (false, Some(1), (7, false)),
            (true, Some(9), (7, true)),
            (false, None, (7, true)),
        ];
        for (written, (ended, stored, expected)) in (1_u64..).zip(cases) {
            let look: Arc<dyn Look> = Arc::new(Stored(stored));
            // Without a thread, which would look as well.
            let watch = Arc::new(Watch::new(None));
            let _follower = watch.follow(&look, &shard, &key(1), 7).expect("followed");
            // There is one more entry, its header says.
            let header = [*b"asmfeed1", written.to_be_bytes()].concat();
            fs::write(place.path().join(SHARD).join(ring::NAME), header).expect("torn");
            let mut state = watch.state();
            let session = |state: &mut State| {
                let followed = state.followed.get_mut(&0xa5).expect("followed");
                let session = followed.sessions.get_mut(&key(1)).expect("followed");
                session.ended |= ended;
                (session.told, session.ended)
            };
            session(&mut state);
            watch.tell(&mut state, &*look, 0xa5);
            assert_eq!(session(&mut state), expected, "{stored:?}");
        }
    }

    /// Whoever deleted it may have died before it could tell.
    #[test]
    fn an_end_that_nobody_told_of_is_told() {
        let place = tempfile::tempdir().expect("a directory");
        let (_, shard) = opened(place.path());
        for (stored, ended) in [(Some(7), false), (None, true)] {
            let look: Arc<dyn Look> = Arc::new(Stored(stored));
            let watch = Arc::new(Watch::new(None));
            let _follower = watch.follow(&look, &shard, &key(1), 7).expect("followed");
            let mut state = watch.state();
            watch.tell_end(&mut state, &*look, &key(1));
            assert_eq!(state.followed[&0xa5].sessions[&key(1)].ended, ended);
        }
    }

    /// More has happened than the kernel keeps: everybody who waits is looked after.
    #[tokio::test]
    async fn whatever_the_kernel_forgets_to_tell_is_looked_at() {
        let place = tempfile::tempdir().expect("a directory");
        let open = open_directory(place.path()).expect("ours");
        let fs = Arc::new(Fs::new(open, Duration::ZERO, true));
        let watch = Arc::new(Watch::new(Some(fs)));
        let (asked, questions) = channel();
        let (answer, answers) = channel();
        let look: Arc<dyn Look> = Arc::new(Slow {
            asked: Mutex::new(asked),
            answers: Mutex::new(answers),
        });
        let (first, second) = (woken(&watch, 1), woken(&watch, 2));
        for id in [1, 2] {
            watch.wait_for(&look, &key(id), HashSet::from([token(id)]), None);
        }
        change(place.path(), &key(1));
        assert_eq!(questions.recv().expect("asked"), key(1));

        // While it reads a slow file, more happens than the queue has room for.
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
        let most: usize = most.expect("/proc").trim().parse().expect("a number");
        for number in 0..most + 10 {
            let other = place.path().join(SHARD).join(["a", "b"][number % 2]);
            fs::write(other, "x").expect("written");
        }
        change(place.path(), &key(2));
        answer.send(HashSet::from([token(1)])).expect("heard");
        let mut looked_at = HashSet::new();
        while looked_at.len() < 2 {
            looked_at.insert(questions.recv().expect("asked"));
            answer.send(HashSet::new()).expect("heard");
        }
        first.await;
        second.await;
        watch.stop();
    }
}
