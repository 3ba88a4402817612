//! Who runs when: tasks, sessions, and the moment between a read and its write.

use std::{future::Future, panic, sync::Arc};

use fastrand::Rng;
use indicatif::ProgressBar;
use tokio::{
    sync::Barrier,
    task::{self, JoinSet},
};

use super::{
    Args, Failure,
    tally::{Gauge, Notes, Tally},
};

/// A task's way to count in a session: what races.
pub(super) trait Counter: Send + 'static {
    /// How a session is named.
    type Id: Clone + Send + Sync + 'static;
    /// What a request has read.
    type Read: Send;

    /// Makes a session that counts from 0.
    fn create(&mut self) -> impl Future<Output = Result<Self::Id, Failure>> + Send;

    /// The first half of a request: reads.
    fn read(
        &mut self,
        session: &Self::Id,
    ) -> impl Future<Output = Result<Self::Read, Failure>> + Send;

    /// The second half: stores a count that is one higher, and notes how it went. Answers whether
    /// the store acknowledged it.
    fn write(
        &mut self,
        session: &Session<Self::Id>,
        read: Self::Read,
        notes: &mut Notes,
    ) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// What a session has counted.
    fn count(&mut self, session: &Self::Id) -> impl Future<Output = Result<u64, Failure>> + Send;
}

/// A session that tasks meet in.
#[derive(Debug, Default)]
pub(super) struct Session<Id> {
    pub(super) id: Id,
    /// Those who wait for its lock.
    pub(super) queue: Gauge,
}

/// How many run how often, and where.
pub(super) struct Course {
    tasks: u32,
    requests: u64,
    sessions: u32,
    rng: Rng,
    progress: ProgressBar,
}

impl Course {
    pub(super) fn new(args: &Args, seed: u64, progress: ProgressBar) -> Self {
        Self {
            tasks: args.tasks,
            requests: args.requests,
            sessions: args.sessions,
            rng: Rng::with_seed(seed),
            progress,
        }
    }

    /// Runs one counter per task, each made from its number and its source of randomness.
    pub(super) async fn run<C: Counter>(
        &self,
        mut counter: impl FnMut(u32, Rng) -> C,
    ) -> Result<Tally, Failure> {
        let mut rng = self.rng.clone();
        let mut judge = counter(0, rng.fork());
        let sessions = self.open_up(&mut judge).await?;
        let meeting = Arc::new(Meeting {
            sessions,
            start: Barrier::new(self.tasks as usize),
            under_way: Gauge::default(),
            progress: self.progress.clone(),
        });
        let mut running = JoinSet::new();
        for number in 0..self.tasks {
            let counter = counter(number, rng.fork());
            let (meeting, share) = (Arc::clone(&meeting), self.share(number));
            running.spawn(requests(counter, meeting, share, rng.fork()));
        }
        let mut tally = Tally::default();
        while let Some(ended) = running.join_next().await {
            // The first failure ends the others: some may wait for the one that failed.
            tally.add(ended.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))?);
        }
        self.progress.finish_and_clear();
        meeting.judge(&mut judge, &mut tally).await?;
        Ok(tally)
    }

    async fn open_up<C: Counter>(&self, judge: &mut C) -> Result<Vec<Session<C::Id>>, Failure> {
        let mut sessions = Vec::new();
        for _ in 0..self.sessions {
            let (id, queue) = (judge.create().await?, Gauge::default());
            sessions.push(Session { id, queue });
        }
        Ok(sessions)
    }

    /// How many requests this task makes.
    fn share(&self, number: u32) -> u64 {
        let tasks = u64::from(self.tasks);
        self.requests / tasks + u64::from(u64::from(number) < self.requests % tasks)
    }
}

/// What all tasks share.
struct Meeting<Id> {
    sessions: Vec<Session<Id>>,
    start: Barrier,
    under_way: Gauge,
    progress: ProgressBar,
}

/// One task: its share of the requests, one after the other.
async fn requests<C: Counter>(
    mut counter: C,
    meeting: Arc<Meeting<C::Id>>,
    share: u64,
    mut rng: Rng,
) -> Result<Notes, Failure> {
    let mut notes = Notes::default();
    for number in 0..share {
        let session = &meeting.sessions[rng.usize(..meeting.sessions.len())];
        let _under_way = meeting.under_way.enter();
        let read = counter.read(&session.id).await?;
        meeting.let_others_in(number).await;
        if counter.write(session, read, &mut notes).await? {
            notes.acknowledged += 1;
        }
        meeting.progress.inc(1);
    }
    Ok(notes)
}

impl<Id> Meeting<Id> {
    /// Between a read and its write. At first everybody waits until all have read, so that they
    /// race for sure; from then on others get their turn.
    async fn let_others_in(&self, number: u64) {
        if number == 0 {
            self.start.wait().await;
        } else {
            task::yield_now().await;
        }
    }

    /// Counts what is there, when all is over.
    async fn judge<C>(&self, judge: &mut C, tally: &mut Tally) -> Result<(), Failure>
    where
        C: Counter<Id = Id>,
    {
        for session in &self.sessions {
            tally.found += judge.count(&session.id).await?;
            tally.longest_queue = tally.longest_queue.max(session.queue.most());
        }
        tally.overlap = self.under_way.most();
        tally.waits.sort_unstable();
        Ok(())
    }
}
