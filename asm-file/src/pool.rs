//! A few threads of our own: nothing here blocks an async thread, and nothing needs a runtime.

use std::{
    collections::VecDeque,
    fmt,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use asm_entry::Task;

/// What a thread does once.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// How long a thread waits for work before it ends, usually.
const IDLE: Duration = Duration::from_secs(10);

/// At most so many threads, started when there is work for them. Dropping it lets them finish what
/// they were given.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    most: usize,
    /// How long a thread waits for work before it ends.
    idle: Duration,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// Given and not done.
    open: usize,
    done: u64,
    closed: bool,
}

impl Pool {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                work: Condvar::new(),
                most: threads.max(1),
                idle: IDLE,
            }),
        }
    }

    /// Does it soon. A job for which there is no thread, and none to be had, is dropped.
    pub(crate) fn submit(&self, job: Job) {
        self.shared.submit(job);
    }

    /// Polls a task until it is over.
    pub(crate) fn detach(&self, task: Task) {
        let detached = Arc::new(Detached {
            task: Mutex::new(Some(task)),
            pool: Arc::downgrade(&self.shared),
        });
        detached.wake();
    }

    /// How many jobs were given and are not done, and how many are.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let state = self.shared.state();
        (state.open, state.done)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        state.jobs.push_back(job);
        state.open += 1;
        if state.idle >= state.jobs.len() {
            self.work.notify_one();
        } else if state.threads < self.most {
            let shared = Arc::clone(self);
            let thread = thread::Builder::new().name("asm-file".to_owned());
            match thread.spawn(move || shared.work()) {
                Ok(_) => state.threads += 1,
                Err(_) if state.threads == 0 => {
                    let job = state.jobs.pop_back();
                    state.open -= 1;
                    drop(state);
                    drop(job);
                }
                Err(_) => {}
            }
        }
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // A step is pure and does not panic; if one did, its caller is told by a dropped answer.
            let _ = panic::catch_unwind(AssertUnwindSafe(job));
            let mut state = self.state();
            state.open -= 1;
            state.done += 1;
        }
    }

    fn next(&self) -> Option<Job> {
        let (mut state, mut late) = (self.state(), false);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed || late {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            let waited = self.work.wait_timeout(state, self.idle);
            let (again, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            (state, late) = (again, waited.timed_out());
            state.idle -= 1;
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.work.notify_all();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state();
        f.debug_struct("Pool")
            .field("threads", &state.threads)
            .field("open", &state.open)
            .finish_non_exhaustive()
    }
}

/// A task that nobody waits for.
struct Detached {
    task: Mutex<Option<Task>>,
    pool: Weak<Shared>,
}

impl Wake for Detached {
    fn wake(self: Arc<Self>) {
        if let Some(pool) = self.pool.upgrade() {
            pool.submit(Box::new(move || self.poll()));
        }
    }
}

impl Detached {
    fn poll(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let mut place = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(task) = place.as_mut() else {
            return;
        };
        let mut context = Context::from_waker(&waker);
        if Pin::as_mut(task).poll(&mut context) == Poll::Ready(()) {
            *place = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_job_is_open_until_it_is_done() {
        let pool = Pool::new(1);
        let (tell, told) = channel();
        for _ in 0..3 {
            let (shared, tell) = (Arc::clone(&pool.shared), tell.clone());
            pool.submit(Box::new(move || {
                let state = shared.state();
                tell.send((state.open - state.jobs.len(), state.done))
                    .expect("the test listens");
            }));
        }
        // Each is done by the one thread after those before it.
        let counts: Vec<_> = told.iter().take(3).collect();
        assert_eq!(counts, [(1, 0), (1, 1), (1, 2)]);
    }

    #[test]
    fn there_are_never_more_threads_than_were_asked_for() {
        const THREADS: usize = 2;
        let pool = Pool::new(THREADS);
        let (tell, told) = channel();
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().expect("nobody has it");
        for _ in 0..3 * THREADS {
            let (gate, tell) = (Arc::clone(&gate), tell.clone());
            pool.submit(Box::new(move || {
                drop(gate.lock());
                tell.send(()).expect("the test listens");
            }));
        }
        assert_eq!(pool.shared.state().threads, THREADS);
        drop(closed);
        assert_eq!(told.iter().take(3 * THREADS).count(), 3 * THREADS);
    }

    #[test]
    fn a_thread_that_ends_makes_room_for_another() {
        for closed in [true, false] {
            let shared = Shared {
                state: Mutex::new(State {
                    threads: 1,
                    closed,
                    ..State::default()
                }),
                work: Condvar::new(),
                most: 1,
                idle: Duration::ZERO,
            };
            assert!(shared.next().is_none());
            let state = shared.state();
            assert_eq!((state.threads, state.idle), (0, 0));
        }
    }
}
