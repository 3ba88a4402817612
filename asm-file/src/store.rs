//! Transactions, one after another in each shard, on threads of our own.

use std::{
    collections::VecDeque,
    fmt, mem,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use asm_core::{Clock, DriverInfo, Error, ErrorKind, Key, Result, Shared, Subject, Timestamp};
use asm_entry::{
    Census, Entry, EntryStore, Feed, Following, Parts, Scan, SubjectEntry, Task, Timing, Turn,
    Wakeups,
};
use tokio::sync::oneshot;

use crate::{
    counters::Counters,
    fs::SHARDS,
    pool::Pool,
    transaction::{Files, Looked},
    watch::shard_of,
};

/// Entries in files.
#[derive(Debug)]
pub(crate) struct FileStore {
    pub(crate) files: Arc<Files>,
    inner: Arc<Inner>,
}

/// The queues, and who serves them.
#[derive(Debug)]
struct Inner {
    pool: Pool,
    queues: Vec<Mutex<Queue>>,
}

/// What is to be done in one shard, in the order in which it was begun.
#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Option<Key>, Job)>,
    /// The session of the job that runs.
    current: Option<Key>,
    /// Whether a thread is at it.
    served: bool,
}

type Job = Box<dyn FnOnce() + Send>;

/// How many jobs of one shard a thread does before it looks at others.
const IN_A_ROW: usize = 16;

impl FileStore {
    pub(crate) fn new(files: Files, threads: usize) -> Self {
        Self {
            files: Arc::new(files),
            inner: Arc::new(Inner {
                pool: Pool::new(threads),
                queues: (0..SHARDS).map(|_| Mutex::default()).collect(),
            }),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        let (waited_for, followed) = self.files.watch.counts();
        let (open, done) = self.inner.pool.counts();
        Counters {
            under_way: open + self.files.watch.under_way(),
            done: done + self.files.watch.looked(),
            waited_for,
            followed,
            ..self.files.tally.show()
        }
    }

    /// Does it in the turn of its shard. It is begun when this is called: if the answer is dropped
    /// before it ran, it does not run.
    pub(crate) async fn in_turn<R: Send + 'static>(
        &self,
        shard: u8,
        key: Option<Key>,
        work: impl FnOnce(&Arc<Files>) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let (tell, told) = oneshot::channel();
        let files = Arc::clone(&self.files);
        let job = move || {
            if !tell.is_closed() {
                // Whoever has stopped listening does not need it.
                let _ = tell.send(work(&files));
            }
        };
        self.inner.queue_up(shard, key, Box::new(job));
        told.await.unwrap_or_else(|_| Err(nobody_answered()))
    }

    /// Does it on some thread.
    pub(crate) async fn beside<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Files>) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let (tell, told) = oneshot::channel();
        let files = Arc::clone(&self.files);
        self.inner.pool.submit(Box::new(move || {
            let _ = tell.send(work(&files));
        }));
        told.await.unwrap_or_else(|_| Err(nobody_answered()))
    }

    /// Runs a step that will hardly change anything on some thread; if it would, as any other.
    async fn look<R, F>(&self, key: &Key, parts: Parts, mut step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut Entry, &mut Turn) -> R + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let (files, inner, key) = (Arc::clone(&self.files), Arc::clone(&self.inner), *key);
        self.inner.pool.submit(Box::new(move || {
            match files.look(&key, &mut step) {
                Ok(Looked::Answer(answer)) => return drop(tell.send(Ok(answer))),
                Ok(Looked::WouldChange | Looked::NotAtHand) => {}
                Err(error) => return drop(tell.send(Err(error))),
            }
            let again = move || {
                if !tell.is_closed() {
                    let _ = tell.send(files.transact(&key, parts, step));
                }
            };
            inner.queue_up(shard_of(&key), Some(key), Box::new(again));
        }));
        told.await.unwrap_or_else(|_| Err(nobody_answered()))
    }
}

impl Inner {
    fn queue(&self, shard: u8) -> MutexGuard<'_, Queue> {
        let queue = self.queues[usize::from(shard)].lock();
        queue.unwrap_or_else(PoisonError::into_inner)
    }

    fn queue_up(self: &Arc<Self>, shard: u8, key: Option<Key>, job: Job) {
        let mut queue = self.queue(shard);
        queue.jobs.push_back((key, job));
        let served = mem::replace(&mut queue.served, true);
        // Without a thread to be had the service ends here, and wants the queue.
        drop(queue);
        if !served {
            self.serve_soon(shard);
        }
    }

    fn serve_soon(self: &Arc<Self>, shard: u8) {
        let service = Service {
            inner: Arc::clone(self),
            shard,
            taken: false,
        };
        self.pool.submit(Box::new(move || service.run()));
    }

    /// Whether something of this session is to be done, or being done.
    fn is_busy_with(&self, key: &Key) -> bool {
        let queue = self.queue(shard_of(key));
        let mut keys = queue
            .jobs
            .iter()
            .map(|(key, _)| *key)
            .chain([queue.current]);
        keys.any(|busy| busy == Some(*key))
    }
}

/// One round of serving a shard.
struct Service {
    inner: Arc<Inner>,
    shard: u8,
    taken: bool,
}

impl Service {
    fn run(mut self) {
        self.taken = true;
        for _ in 0..IN_A_ROW {
            let job = {
                let mut queue = self.inner.queue(self.shard);
                let Some((key, job)) = queue.jobs.pop_front() else {
                    queue.current = None;
                    queue.served = false;
                    return;
                };
                queue.current = key;
                job
            };
            // Steps are pure and do not panic; if one did, the others would still be served.
            let _ = panic::catch_unwind(AssertUnwindSafe(job));
        }
        self.inner.queue(self.shard).current = None;
        self.inner.serve_soon(self.shard);
    }
}

impl Drop for Service {
    /// Without a thread to be had nothing is served, and whoever waits is told so.
    fn drop(&mut self) {
        if !self.taken {
            let mut queue = self.inner.queue(self.shard);
            queue.served = false;
            let jobs = mem::take(&mut queue.jobs);
            drop(queue);
            drop(jobs);
        }
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        self.files.watch.stop();
    }
}

impl EntryStore for FileStore {
    fn info(&self) -> DriverInfo {
        let mut info = DriverInfo::new("file", Shared::Machine);
        info.max_record = self.files.max_record;
        info
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.files.clock
    }

    async fn transact<R, F>(&self, key: &Key, parts: Parts, mut step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut Entry, &mut Turn) -> R + Send + 'static,
    {
        let only_the_record = !parts.contains(Parts::LOCK) && !parts.contains(Parts::FIELDS);
        // What was begun before on this session comes first.
        if only_the_record && !self.inner.is_busy_with(key) {
            // Most records are in the system's memory, and a thread costs more than such a look.
            match self.files.look_at_once(key, &mut step)? {
                Looked::Answer(answer) => return Ok(answer),
                Looked::WouldChange => {}
                Looked::NotAtHand => return self.look(key, parts, step).await,
            }
        }
        let of = *key;
        let work = move |files: &Arc<Files>| files.transact(&of, parts, step);
        self.in_turn(shard_of(key), Some(*key), work).await
    }

    async fn transact_subject<R, F>(&self, subject: &Subject, step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut SubjectEntry, Timestamp) -> R + Send + 'static,
    {
        let of = *subject;
        let work = move |files: &Arc<Files>| files.transact_subject(&of, step);
        self.in_turn(subject.as_bytes()[0], None, work).await
    }

    fn detach(&self, task: Task) {
        self.inner.pool.detach(task);
    }

    fn timing(&self) -> Timing {
        self.files.timing
    }

    fn wakeups(&self) -> Option<&Wakeups> {
        Some(&self.files.watch.wakeups)
    }

    fn feed(&self) -> Option<&Feed> {
        self.files.watch.is_on().then_some(&self.files.watch.feed)
    }

    async fn follow(&self, key: &Key) -> Result<Following> {
        let of = *key;
        let work = move |files: &Arc<Files>| files.follow(&of);
        self.in_turn(shard_of(key), Some(*key), work).await
    }

    fn scan(&self) -> Option<&dyn Scan> {
        Some(self)
    }

    fn census(&self) -> Option<&dyn Census> {
        Some(self)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("jobs", &self.jobs.len())
            .finish_non_exhaustive()
    }
}

fn nobody_answered() -> Error {
    Error::new(ErrorKind::Unavailable, "there is no thread for the files")
}
