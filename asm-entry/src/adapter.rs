//! A whole driver, made of one transaction.

use std::{sync::Arc, time::Duration};

use asm_core::{
    Acquired, Bound, Broken, Change, ChangeFeed, ChangeStream, Create, Created, Cursor, Delete,
    Deleted, Driver, DriverInfo, Epoch, Error, ErrorKind, Fence, FieldFound, FieldName, FieldRead,
    FieldWrite, FieldWritten, Inventory, Key, ListStep, Listed, Listing, LockState, LockStore,
    LockToken, LockWish, LocklessFields, Open, Opened, Released, Renewed, Reserve, Reserved,
    Result, Revoked, Save, SessionStore, Subject, SubjectIndex, Subscribe, Subscribed, Sweep,
    SweepStep, Swept, Timestamp, Touch, Touched, Written,
};
use async_trait::async_trait;
use futures_util::{future, stream};

use crate::{
    Due, Entry, EntryStore, Following, Interrupt, Outcome, Parts, Step, Stepped, SubjectItem, Turn,
    feed::Subscription,
};

/// A driver on an [`EntryStore`]. A clone is a further handle on the same store.
#[derive(Debug)]
pub struct EntryDriver<S> {
    store: Arc<S>,
}

impl<S> Clone for EntryDriver<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
        }
    }
}

impl<S: EntryStore> EntryDriver<S> {
    /// A driver on this store.
    pub fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
        }
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Runs one verb, with more parts when it turns out to need them.
    async fn run<R, F>(&self, op: &'static str, key: &Key, parts: Parts, step: F) -> Result<R>
    where
        R: Send + 'static,
        F: Fn(&mut Entry, &mut Turn) -> Outcome<R> + Clone + Send + 'static,
    {
        let place = |error: Error| error.during(op).by(self.info().name);
        if S::WHOLE {
            // Nothing more can be needed, so the step is not kept for another run.
            let outcome = self.store.transact(key, Parts::ALL, step).await;
            return outcome
                .map_err(place)?
                .map_err(|interrupt| place(interrupt.into()));
        }
        let mut parts = parts;
        loop {
            let outcome = self.store.transact(key, parts, step.clone()).await;
            match outcome.map_err(place)? {
                Ok(answer) => return Ok(answer),
                Err(Interrupt::Needs(more)) if !parts.contains(more) => parts = parts | more,
                Err(interrupt) => return Err(place(interrupt.into())),
            }
        }
    }

    fn check_size(&self, op: &'static str, len: usize) -> Result<()> {
        let info = self.info();
        if len <= info.max_record {
            return Ok(());
        }
        let message = format!(
            "the record has {len} bytes, the limit is {}",
            info.max_record
        );
        Err(Error::new(ErrorKind::TooLarge, message)
            .during(op)
            .by(info.name))
    }

    /// Undoes an attempt to lock, unless it is told that the attempt is over.
    fn undo_if_dropped(&self, key: &Key, token: LockToken) -> Attempt<'_, S> {
        Attempt {
            driver: self,
            key: *key,
            token: Some(token),
        }
    }
}

/// The record as its verbs need it: with the lock, to settle and to check.
const RECORD: Parts = Parts::HEAD.and(Parts::LOCK);

#[async_trait]
impl<S: EntryStore> SessionStore for EntryDriver<S> {
    async fn create(&self, key: &Key, req: Create) -> Result<Created> {
        self.check_size("create", req.data.len())?;
        let claim = req.lock.as_ref();
        let attempt = claim.map(|claim| self.undo_if_dropped(key, claim.token));
        let created = self
            .run("create", key, RECORD, move |entry, turn| {
                entry.create(turn, &req)
            })
            .await;
        if let Some(attempt) = attempt {
            attempt.answered(&created);
        }
        created
    }

    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        let Some(lock) = &req.lock else {
            let parts = Parts::HEAD.and(Parts::BODY);
            let read = move |entry: &mut Entry, turn: &mut Turn| entry.open(turn, &req);
            return self.run("open", key, parts, read).await;
        };
        let attempt = self.undo_if_dropped(key, lock.claim.token);
        let opened = self
            .run("open", key, RECORD.and(Parts::BODY), move |entry, turn| {
                entry.open(turn, &req)
            })
            .await;
        attempt.answered(&opened);
        opened
    }

    async fn save(&self, key: &Key, req: Save) -> Result<Written> {
        self.check_size("save", req.data.len())?;
        self.run("save", key, RECORD, move |entry, turn| {
            entry.save(turn, &req)
        })
        .await
    }

    async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
        self.run("touch", key, Parts::HEAD, move |entry, turn| {
            Ok(entry.touch(turn, &req))
        })
        .await
    }

    async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
        self.run("delete", key, RECORD, move |entry, turn| {
            entry.delete(turn, &req)
        })
        .await
    }
}

#[async_trait]
impl<S: EntryStore> LockStore for EntryDriver<S> {
    async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
        let attempt = self.undo_if_dropped(key, wish.claim.token);
        let acquired = self.wait_for(key, wish).await;
        attempt.answered(&acquired);
        acquired
    }

    async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
        let token = *token;
        self.run("renew", key, RECORD, move |entry, turn| {
            entry.renew(turn, &token, hold)
        })
        .await
    }

    async fn release(&self, key: &Key, token: &LockToken) -> Result<Released> {
        let token = *token;
        self.run("release", key, RECORD, move |entry, turn| {
            entry.release(turn, &token)
        })
        .await
    }

    async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
        self.run("break_lock", key, RECORD, move |entry, turn| {
            entry.break_lock(turn, fence)
        })
        .await
    }

    async fn inspect(&self, key: &Key) -> Result<LockState> {
        self.run("inspect", key, RECORD, Entry::inspect).await
    }

    fn abandon(&self, key: &Key, token: &LockToken) {
        let (driver, key, token) = (self.clone(), *key, *token);
        self.store.detach(Box::pin(async move {
            // Nobody is left to be told; the hold ends what this could not.
            let _ = driver.release(&key, &token).await;
        }));
    }
}

impl<S: EntryStore> EntryDriver<S> {
    /// Steps until there is an answer, asleep in between.
    async fn wait_for(&self, key: &Key, mut wish: LockWish) -> Result<Acquired> {
        let clock = self.store.clock();
        let token = wish.claim.token;
        let (started, patience) = (clock.now(), wish.wait);
        let ear = self.store.wakeups().map(|wakeups| wakeups.listen(token));
        let mut step = Step::Join;
        loop {
            let stepped = self.step(key, wish.clone(), step).await?;
            let look_again = match stepped {
                Stepped::Answer(acquired) => return Ok(acquired),
                Stepped::Queued { look_again } => look_again,
            };
            wish.wait = patience.saturating_sub(clock.now().since(started));
            let nap = look_again.min(self.recheck(&token)).min(wish.wait);
            let alarm = clock.sleep(nap);
            match &ear {
                Some(ear) => drop(future::select(Box::pin(ear.woken()), alarm).await),
                None => alarm.await,
            }
            wish.wait = patience.saturating_sub(clock.now().since(started));
            if wish.wait.is_zero() {
                step = Step::Leave;
            }
        }
    }

    async fn step(&self, key: &Key, wish: LockWish, step: Step) -> Result<Stepped> {
        self.run("acquire", key, RECORD, move |entry, turn| {
            entry.acquire(turn, &wish, step)
        })
        .await
    }

    /// Between 3/4 and all of the recheck interval, so that waiters do not come in step. The token
    /// is as random as jitter needs it.
    fn recheck(&self, token: &LockToken) -> Duration {
        let recheck = self.store.timing().recheck;
        recheck - recheck / 1024 * u32::from(token.as_bytes()[0])
    }
}

/// An attempt to lock. Dropped before there is an answer, it is undone.
struct Attempt<'a, S: EntryStore> {
    driver: &'a EntryDriver<S>,
    key: Key,
    token: Option<LockToken>,
}

impl<S: EntryStore> Attempt<'_, S> {
    /// The caller knows how it went. After an error that another try may mend it may ask again under
    /// the same token; after any other nothing is left of the attempt.
    fn answered<T>(mut self, answer: &Result<T>) {
        if answer.as_ref().err().is_none_or(Error::is_retryable) {
            self.token = None;
        }
    }
}

impl<S: EntryStore> Drop for Attempt<'_, S> {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            self.driver.abandon(&self.key, token);
        }
    }
}

impl<S: EntryStore> Driver for EntryDriver<S> {
    fn info(&self) -> DriverInfo {
        self.store.info()
    }

    fn fields(&self) -> Option<&dyn LocklessFields> {
        Some(self)
    }

    fn changes(&self) -> Option<&dyn ChangeFeed> {
        self.store.feed().map(|_| self as _)
    }

    fn subjects(&self) -> Option<&dyn SubjectIndex> {
        Some(self)
    }

    fn sweeper(&self) -> Option<&dyn Sweep> {
        self.store.scan().map(|_| self as _)
    }

    fn inventory(&self) -> Option<&dyn Inventory> {
        self.store.census().map(|_| self as _)
    }
}

#[async_trait]
impl<S: EntryStore> LocklessFields for EntryDriver<S> {
    async fn read_field(&self, key: &Key, req: FieldRead) -> Result<FieldFound> {
        let parts = Parts::HEAD.and(Parts::FIELDS);
        self.run("read_field", key, parts, move |entry, turn| {
            entry.read_field(turn, &req)
        })
        .await
    }

    async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
        let limit = self.info().max_record;
        let parts = Parts::HEAD.and(Parts::FIELDS);
        self.run("write_field", key, parts, move |entry, turn| {
            entry.write_field(turn, &req, limit)
        })
        .await
    }
}

#[async_trait]
impl<S: EntryStore> ChangeFeed for EntryDriver<S> {
    async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
        let Some(feed) = self.store.feed() else {
            let error = Error::new(ErrorKind::Unsupported, "this store has no feed");
            return Err(error.during("subscribe").by(self.info().name));
        };
        let following = self.store.follow(key).await;
        let following =
            following.map_err(|error| error.during("subscribe").by(self.info().name))?;
        // Listening comes first, so that nothing falls between the look and the first change.
        let subscription = feed.listen(key, req.buffer);
        let Some((life, epoch)) = self.life(key).await? else {
            return Ok(Subscribed::Missing);
        };
        if epoch != req.epoch {
            return Ok(Subscribed::Ended);
        }
        let watch = Watch {
            driver: self.clone(),
            key: *key,
            epoch,
            end: self.store.clock().now() + life,
            subscription,
            _following: following,
        };
        let changes = stream::unfold(Some(watch), |watch| async {
            let mut watch = watch?;
            let change = watch.next().await;
            let more = (change != Change::Ended).then_some(watch);
            Some((change, more))
        });
        Ok(Subscribed::Live(Box::pin(changes) as ChangeStream))
    }
}

impl<S: EntryStore> EntryDriver<S> {
    /// What is left of a session's life, and its epoch.
    async fn life(&self, key: &Key) -> Result<Option<(Duration, Epoch)>> {
        self.run("subscribe", key, Parts::HEAD, |entry, turn| {
            let left = entry.settle(turn);
            Ok(left.map(|left| (left, entry.epoch())))
        })
        .await
    }
}

/// One subscriber's view of a session.
struct Watch<S> {
    driver: EntryDriver<S>,
    key: Key,
    epoch: Epoch,
    /// When the session's time may have run out. A point, not a span, so that a reader who comes
    /// late is told at once.
    end: Timestamp,
    subscription: Subscription,
    _following: Following,
}

impl<S: EntryStore> Watch<S> {
    /// The next change. Nobody publishes that a session's time has run out, so the subscriber
    /// looks when it may have.
    async fn next(&mut self) -> Change {
        let driver = self.driver.clone();
        let clock = driver.store.clock();
        loop {
            let alarm = clock.sleep(self.end.since(clock.now()));
            let change = Box::pin(self.subscription.next(self.epoch));
            if let future::Either::Left((change, _)) = future::select(change, alarm).await {
                // A save may have made the life shorter.
                self.end = clock.now();
                return change;
            }
            let look_again = match driver.life(&self.key).await {
                Ok(Some((life, epoch))) if epoch == self.epoch => life,
                Ok(_) => return Change::Ended,
                // Unknown is not over: look again after a while.
                Err(_) => driver.store.timing().recheck,
            };
            self.end = clock.now() + look_again;
        }
    }
}

#[async_trait]
impl<S: EntryStore> SubjectIndex for EntryDriver<S> {
    async fn reserve(&self, subject: &Subject, req: Reserve) -> Result<Reserved> {
        let reserved = self.try_reserve(subject, req.clone()).await?;
        if reserved != Reserved::Full {
            return Ok(reserved);
        }
        // A listing drops the dead, who do not count.
        self.list(subject).await?;
        self.try_reserve(subject, req).await
    }

    async fn list(&self, subject: &Subject) -> Result<Listing> {
        let (generation, items, now) = self
            .on_subject("list", subject, |index, now| {
                let items = index.items(now).to_vec();
                (index.generation(), items, now)
            })
            .await?;
        let mut sessions = Vec::with_capacity(items.len());
        let mut dead = Vec::new();
        for item in items {
            match self.life(&item.key).await? {
                Some((left, _)) => sessions.push(item.bound(left)),
                None => dead.push(item.key),
            }
        }
        if !dead.is_empty() {
            self.forget(subject, dead).await?;
        }
        Ok(Listing {
            generation,
            sessions,
            now,
        })
    }

    async fn revoke(&self, subject: &Subject, keep: Option<Key>) -> Result<Revoked> {
        self.on_subject("revoke", subject, move |index, now| {
            let keys = index.revoke(now, keep);
            let generation = index.generation();
            Revoked { generation, keys }
        })
        .await
    }

    async fn forget(&self, subject: &Subject, keys: Vec<Key>) -> Result<usize> {
        self.on_subject("forget", subject, move |index, _| index.forget(&keys))
            .await
    }
}

impl<S: EntryStore> EntryDriver<S> {
    async fn try_reserve(&self, subject: &Subject, req: Reserve) -> Result<Reserved> {
        self.on_subject("reserve", subject, move |index, now| {
            index.reserve(now, &req)
        })
        .await
    }

    async fn on_subject<R, F>(&self, op: &'static str, subject: &Subject, step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut crate::SubjectEntry, Timestamp) -> R + Send + 'static,
    {
        let done = self.store.transact_subject(subject, step).await;
        done.map_err(|error| error.during(op).by(self.info().name))
    }
}

impl SubjectItem {
    fn bound(&self, left: Duration) -> Bound {
        Bound {
            key: self.key,
            since: self.since,
            generation: self.generation,
            left: Some(left),
        }
    }
}

#[async_trait]
impl<S: EntryStore> Sweep for EntryDriver<S> {
    async fn sweep(&self, step: SweepStep) -> Result<Swept> {
        let Some(scan) = self.store.scan() else {
            let error = Error::new(ErrorKind::Unsupported, "this store has no scan");
            return Err(error.during("sweep").by(self.info().name));
        };
        let due = scan.due(step.from, step.batch).await;
        let Due {
            keys,
            examined,
            failed,
            next,
        } = due.map_err(|error| error.during("sweep").by(self.info().name))?;
        let mut swept = Swept {
            examined,
            removed: 0,
            failed,
            next,
        };
        for key in keys {
            // Whoever touched it since it was seen has it live on.
            let gone = self.run("sweep", &key, RECORD, |entry, turn| {
                let was_there = !entry.is_vacant();
                Ok(was_there && entry.settle(turn).is_none())
            });
            match gone.await {
                Ok(gone) => swept.removed += u64::from(gone),
                Err(_) => swept.failed += 1,
            }
        }
        Ok(swept)
    }

    fn progress(&self, at: &Cursor) -> Option<f64> {
        self.store.scan()?.progress(at)
    }
}

#[async_trait]
impl<S: EntryStore> Inventory for EntryDriver<S> {
    async fn list_sessions(&self, step: ListStep) -> Result<Listed> {
        let listed = match self.store.census() {
            Some(census) => census.alive(step.from, step.batch).await,
            None => Err(Error::new(
                ErrorKind::Unsupported,
                "this store has no census",
            )),
        };
        listed.map_err(|error| error.during("list_sessions").by(self.info().name))
    }

    async fn field_names(&self, key: &Key) -> Result<Vec<FieldName>> {
        let parts = Parts::HEAD.and(Parts::FIELDS);
        self.run("field_names", key, parts, Entry::field_names)
            .await
    }

    fn progress(&self, at: &Cursor) -> Option<f64> {
        self.store.census()?.progress(at)
    }
}
