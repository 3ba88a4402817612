//! Who runs when: tasks, sessions, and the moment between a read and its write.

use std::{future::Future, panic, sync::Arc};

use fastrand::Rng;
use indicatif::ProgressBar;
use tokio::{
    sync::Barrier,
    task::{self, JoinError, JoinSet},
};

use super::{
    Failure,
    tally::{Gauge, Notes, Tally},
};

/// A task's way to count in a session: what races.
pub(super) trait Counter: Send + 'static {
    /// How a session is named.
    type Id: Clone + Send + Sync + 'static;
    /// What a request has read.
    type Read: Send;

    /// A session's name as text, for another process.
    fn show(id: &Self::Id) -> String;

    /// Reads what [`show`](Self::show) wrote.
    fn parse(text: &str) -> Option<Self::Id>;

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

/// What one process runs: its tasks, and the sessions that they meet in.
pub(super) struct Course<Id> {
    tasks: u32,
    requests: u64,
    sessions: Vec<Id>,
    rng: Rng,
    progress: ProgressBar,
}

impl<Id: Clone + Send + Sync + 'static> Course<Id> {
    pub(super) fn new(tasks: u32, requests: u64, sessions: Vec<Id>, seed: u64) -> Self {
        Self {
            tasks,
            requests,
            sessions,
            rng: Rng::with_seed(seed),
            progress: ProgressBar::hidden(),
        }
    }

    /// Shows how far it is.
    pub(super) fn with_progress(mut self, progress: ProgressBar) -> Self {
        self.progress = progress;
        self
    }

    /// Runs one counter per task, each made from its number and its source of randomness. When all
    /// have read, and before anybody writes, `gate` is waited for.
    pub(super) async fn run<C: Counter<Id = Id>>(
        &self,
        mut counter: impl FnMut(u32, Rng) -> Result<C, Failure>,
        gate: impl Future<Output = Result<(), Failure>>,
    ) -> Result<Tally, Failure> {
        let mut rng = self.rng.clone();
        let sessions = self.sessions.iter().map(|id| Session {
            id: id.clone(),
            queue: Gauge::default(),
        });
        let meeting = Arc::new(Meeting {
            sessions: sessions.collect(),
            start: Barrier::new(self.tasks as usize + 1),
            under_way: Gauge::default(),
            progress: self.progress.clone(),
        });
        let mut running = JoinSet::new();
        for number in 0..self.tasks {
            let counter = counter(number, rng.fork())?;
            let (meeting, share) = (Arc::clone(&meeting), self.share(number));
            running.spawn(requests(counter, meeting, share, rng.fork()));
        }
        self.open_gate(&meeting, &mut running, gate).await?;
        let mut tally = Tally::default();
        while let Some(ended) = running.join_next().await {
            // The first failure ends the others: some may wait for the one that failed.
            tally.add(outcome(ended)?);
        }
        self.progress.finish_and_clear();
        meeting.measure(&mut tally);
        Ok(tally)
    }

    /// Lets the tasks go once all have read; one that fails before that fails the race.
    async fn open_gate(
        &self,
        meeting: &Meeting<Id>,
        running: &mut JoinSet<Result<Notes, Failure>>,
        gate: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        tokio::select! {
            _ = meeting.start.wait() => {}
            Some(ended) = running.join_next() => {
                outcome(ended)?;
                unreachable!("no task ends before the start");
            }
        }
        gate.await?;
        meeting.start.wait().await;
        Ok(())
    }

    /// How many requests this task makes.
    fn share(&self, number: u32) -> u64 {
        share(self.requests, self.tasks, number)
    }
}

/// How much of a whole one of several takes on, as evenly as it goes.
pub(super) fn share(whole: u64, among: u32, number: u32) -> u64 {
    let among = u64::from(among);
    whole / among + u64::from(u64::from(number) < whole % among)
}

fn outcome(ended: Result<Result<Notes, Failure>, JoinError>) -> Result<Notes, Failure> {
    ended.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
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
            self.start.wait().await;
        } else {
            task::yield_now().await;
        }
    }

    fn measure(&self, tally: &mut Tally) {
        let queues = self.sessions.iter().map(|session| session.queue.most());
        tally.longest_queue = queues.max().unwrap_or(0);
        tally.overlap = self.under_way.most();
    }
}
