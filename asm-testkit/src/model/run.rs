//! The driver: the same requests, and a look at the answers.

use std::{collections::HashMap, fmt::Write, future::Future, sync::Arc, time::Duration};

use asm_core::{
    Acquired, Change, ChangeStream, Create, Driver, Fence, FieldChange, FieldWrite, Key, LockToken,
    Redacted, Result, Save, Subscribed, Sweep, SweepStep,
};
use futures_util::{FutureExt, StreamExt};
use tokio::{task::JoinHandle, time::timeout};

use super::{
    Options,
    plan::Deed,
    seen::{Answer, Growth, Seen},
    tally::Tally,
    world::{BUFFER, Call, Exchange, World},
};
use crate::{Facet, Harness, Verb};

/// A driver under test, in the middle of a history.
pub(super) struct Run<'a> {
    harness: &'a dyn Harness,
    handles: [Arc<dyn Driver>; 2],
    options: &'a Options,
    tickets: HashMap<usize, JoinHandle<Result<Acquired>>>,
    streams: HashMap<usize, ChangeStream>,
    fences: HashMap<(usize, u64), Growth>,
    generations: HashMap<(usize, u64), Growth>,
    oversize: usize,
    slack: Duration,
    keeps: Log,
    log: String,
}

/// Whether what was asked and answered is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    Kept,
    Off,
}

/// Why an answer is wrong.
type Wrong = String;

impl<'a> Run<'a> {
    pub(super) async fn new(harness: &'a dyn Harness, options: &'a Options, log: Log) -> Self {
        let handles = [harness.connect().await, harness.connect().await];
        let info = handles[0].info();
        Self {
            harness,
            handles,
            options,
            tickets: HashMap::new(),
            streams: HashMap::new(),
            fences: HashMap::new(),
            generations: HashMap::new(),
            oversize: info.max_record + 1,
            slack: info.ttl_resolution + options.slack,
            keeps: log,
            log: String::new(),
        }
    }

    /// Does to the driver what was just done to the model.
    pub(super) async fn deed(
        &mut self,
        deed: &Deed,
        world: &World,
        tally: &mut Tally,
    ) -> Result<(), Wrong> {
        if self.keeps == Log::Kept {
            // Writing into a string does not fail.
            let _ = writeln!(self.log, "  {deed:?}");
        }
        for exchange in world.script() {
            if self.can(&exchange.call) {
                let key = world.key(exchange.at);
                self.exchange(key, deed.second, exchange, tally).await?;
            }
        }
        if let Some((ticket, _)) = self.tickets.iter().find(|(_, task)| task.is_finished()) {
            let ticket = *ticket;
            let answer = self.answer_to(ticket).await?;
            return Err(format!("one who should wait on was answered {answer}"));
        }
        Ok(())
    }

    /// Whether the driver has what this is asked of.
    fn can(&self, call: &Call) -> bool {
        let facet = match call.verb() {
            Some(Verb::ReadField | Verb::WriteField) => Facet::Fields,
            Some(Verb::Subscribe) => Facet::Changes,
            Some(Verb::Reserve | Verb::List | Verb::Revoke | Verb::Forget) => Facet::Subjects,
            Some(Verb::Sweep) => Facet::Sweeper,
            _ => return true,
        };
        facet.is_in(&*self.handles[0])
    }

    /// Asks, and compares what is answered.
    async fn exchange(
        &mut self,
        key: Key,
        second: bool,
        exchange: &Exchange,
        tally: &mut Tally,
    ) -> Result<(), Wrong> {
        let driver = Arc::clone(&self.handles[usize::from(second)]);
        let answer = self.ask(&driver, key, exchange, tally).await?;
        let verb = exchange.call.verb();
        self.write(verb.map_or("time", Verb::name), answer.as_ref());
        if let (Some(verb), Some(answer)) = (verb, &answer) {
            self.compare(exchange, exchange.expected.as_ref(), answer)?;
            tally.count(verb, answer, exchange.note);
        }
        for (ticket, expected) in &exchange.answered {
            let answer = self.answer_to(*ticket).await?.noted("waited");
            self.write("  a waiter", Some(&answer));
            self.compare(exchange, Some(expected), &answer)?;
            tally.count(Verb::Acquire, &answer, None);
        }
        if matches!(
            exchange.call,
            Call::GiveUp(_) | Call::Abandon(_) | Call::Acquire(..)
        ) {
            self.queue_has(&driver, &key, exchange.waiting).await?;
        }
        Ok(())
    }

    /// Ends what still waits or listens; answers what was said.
    pub(super) async fn stop(self) -> String {
        for task in self.tickets.into_values() {
            task.abort();
            // Aborted, or over.
            let _ = task.await;
        }
        self.log
    }

    async fn ask(
        &mut self,
        driver: &Arc<dyn Driver>,
        key: Key,
        exchange: &Exchange,
        tally: &mut Tally,
    ) -> Result<Option<Seen>, Wrong> {
        let living = &exchange.living;
        Ok(Some(match exchange.call.clone() {
            Call::Create(req) => seen(driver.create(&key, req), living).await,
            Call::CreateOversize(req) => {
                let data = self.oversize();
                seen(driver.create(&key, Create { data, ..req }), living).await
            }
            Call::Open(req) => seen(driver.open(&key, req), living).await,
            Call::Save(req) => seen(driver.save(&key, req), living).await,
            Call::SaveOversize(req) => {
                let data = self.oversize();
                seen(driver.save(&key, Save { data, ..req }), living).await
            }
            Call::Touch(req) => seen(driver.touch(&key, req), living).await,
            Call::Delete(req) => seen(driver.delete(&key, req), living).await,
            Call::Acquire(ticket, wish) => {
                let waiter = Arc::clone(driver);
                let task = tokio::spawn(async move { waiter.acquire(&key, wish).await });
                self.tickets.insert(ticket, task);
                match &exchange.expected {
                    Some(_) => self.answer_to(ticket).await?,
                    None => return Ok(None),
                }
            }
            Call::GiveUp(ticket) => {
                if let Some(task) = self.tickets.remove(&ticket) {
                    task.abort();
                    // Aborted, or answered at the last moment.
                    let _ = task.await;
                }
                self.harness.advance(Duration::ZERO).await;
                Seen::only("given up")
            }
            Call::Renew(token, hold) => seen(driver.renew(&key, &token, hold), living).await,
            Call::Release(token) => seen(driver.release(&key, &token), living).await,
            Call::Abandon(token) => self.abandon(driver, &key, &token).await,
            Call::Break(fence) => {
                let fence = fence.map(|fence| self.fence(exchange, fence));
                seen(driver.break_lock(&key, fence), living).await
            }
            Call::Inspect => seen(driver.inspect(&key), living).await,
            Call::Nudge => {
                // Only that somebody looks counts.
                let _ = driver.inspect(&key).await;
                return Ok(None);
            }
            Call::Listen(number, pending) => {
                self.listen(number, &pending, tally).await?;
                return Ok(None);
            }
            Call::Advance(by) => {
                self.harness.advance(by).await;
                return Ok(None);
            }
            call => self.ask_facet(driver, key, call, living).await,
        }))
    }

    async fn ask_facet(
        &mut self,
        driver: &Arc<dyn Driver>,
        key: Key,
        call: Call,
        living: &[Key],
    ) -> Seen {
        let absent = Seen::only("no such facet");
        match (call, driver.fields(), driver.changes()) {
            (Call::ReadField(req), Some(fields), _) => {
                seen(fields.read_field(&key, req), living).await
            }
            (Call::WriteField(req), Some(fields), _) => {
                seen(fields.write_field(&key, req), living).await
            }
            (Call::WriteFieldOversize(req), Some(fields), _) => {
                let change = FieldChange::Set(self.oversize());
                seen(
                    fields.write_field(&key, FieldWrite { change, ..req }),
                    living,
                )
                .await
            }
            (Call::Subscribe(number, req), _, Some(feed)) => {
                let subscribed = feed.subscribe(&key, req).await;
                let seen = Seen::of(&subscribed, living);
                if let Ok(Subscribed::Live(stream)) = subscribed {
                    self.streams.insert(number, stream);
                }
                seen
            }
            (Call::Sweep(most), ..) => match driver.sweeper() {
                Some(sweeper) => sweep(sweeper, most).await,
                None => absent,
            },
            (call, ..) => match driver.subjects() {
                Some(index) => match call {
                    Call::Reserve(subject, req) => seen(index.reserve(&subject, req), living).await,
                    Call::List(subject) => seen(index.list(&subject), living).await,
                    Call::Revoke(subject, keep) => seen(index.revoke(&subject, keep), living).await,
                    Call::Forget(subject, keys) => seen(index.forget(&subject, keys), living).await,
                    _ => absent,
                },
                None => absent,
            },
        }
    }

    /// What nobody waits for comes to its end all the same.
    async fn abandon(&self, driver: &Arc<dyn Driver>, key: &Key, token: &LockToken) -> Seen {
        driver.abandon(key, token);
        self.harness.advance(Duration::ZERO).await;
        Seen::only("abandoned")
    }

    fn oversize(&self) -> Redacted {
        Redacted::from(vec![0; self.oversize])
    }

    fn fence(&self, exchange: &Exchange, fence: Fence) -> Fence {
        let known = self.fences.get(&(exchange.at, exchange.life));
        Fence::new(known.map_or_else(|| fence.get(), |known| known.translate(fence.get())))
    }

    fn compare(
        &mut self,
        exchange: &Exchange,
        expected: Option<&Seen>,
        answer: &Seen,
    ) -> Result<(), Wrong> {
        let growth = match exchange.call.verb() {
            Some(Verb::Reserve | Verb::List | Verb::Revoke) => &mut self.generations,
            _ => &mut self.fences,
        };
        let growth = growth.entry((exchange.at, exchange.life)).or_default();
        match expected {
            Some(expected) if !expected.allows(answer, self.slack, growth) => {
                Err(format!("the answer is {answer}; it should be {expected}"))
            }
            _ => Ok(()),
        }
    }

    /// What one who waited is answered, which should be now.
    async fn answer_to(&mut self, ticket: usize) -> Result<Seen, Wrong> {
        let Some(task) = self.tickets.remove(&ticket) else {
            return Err("one who should be answered was answered before".to_owned());
        };
        match timeout(self.options.patience, task).await {
            Ok(Ok(answer)) => Ok(Seen::of(&answer, &[])),
            Ok(Err(_)) => Err("a waiter panicked".to_owned()),
            Err(_) => Err("one who should be answered waits on".to_owned()),
        }
    }

    /// Waits until that many wait in the queue.
    async fn queue_has(
        &self,
        driver: &Arc<dyn Driver>,
        key: &Key,
        expected: usize,
    ) -> Result<(), Wrong> {
        let look = async {
            loop {
                tokio::task::yield_now().await;
                let waiters = driver.inspect(key).await.map(|state| state.waiters.len());
                if matches!(waiters, Ok(waiters) if waiters == expected) {
                    return;
                }
            }
        };
        timeout(self.options.patience, look)
            .await
            .map_err(|_| format!("{expected} should wait, and do not"))
    }

    /// All that was missed is told by number.
    async fn listen(
        &mut self,
        number: usize,
        pending: &[Change],
        tally: &mut Tally,
    ) -> Result<(), Wrong> {
        self.harness.advance(Duration::ZERO).await;
        let Some(stream) = self.streams.get_mut(&number) else {
            return Err("there should be a stream".to_owned());
        };
        let over = pending.last() == Some(&Change::Ended);
        let mut left = pending;
        while !left.is_empty() {
            let change = timeout(self.options.patience, stream.next()).await;
            let Ok(Some(change)) = change else {
                return Err(format!("the feed is at its end; it should say {left:?}"));
            };
            tally.count_change(&change);
            left = match change {
                // What came after the end is missed too, and the end itself never.
                Change::Lagged(_) if over && left.len() == 1 => left,
                Change::Lagged(missed) if over || pending.len() > BUFFER => {
                    let missed = usize::try_from(missed).unwrap_or(usize::MAX);
                    let missed = if over {
                        missed.min(left.len() - 1)
                    } else {
                        missed
                    };
                    left.get(missed..)
                        .ok_or("the feed says that more was missed than there was")?
                }
                change if change == left[0] => &left[1..],
                _ => return Err(format!("the feed says {change:?}; it should be {left:?}")),
            };
        }
        let more = stream.next().now_or_never();
        if over {
            self.streams.remove(&number);
        }
        match more {
            None if !over => Ok(()),
            Some(None) if over => Ok(()),
            more => Err(format!("the feed goes on with {more:?}")),
        }
    }

    fn write(&mut self, what: &str, answer: Option<&Seen>) {
        if self.keeps == Log::Kept {
            let answer = answer.map_or_else(|| "goes on".to_owned(), Seen::to_string);
            // Writing into a string does not fail.
            let _ = writeln!(self.log, "      {what}: {answer}");
        }
    }
}

async fn seen<T: Answer>(answer: impl Future<Output = Result<T>>, living: &[Key]) -> Seen {
    Seen::of(&answer.await, living)
}

/// Through all batches.
async fn sweep(sweeper: &dyn Sweep, most: u64) -> Seen {
    let batch = std::num::NonZeroUsize::MIN.saturating_add(99);
    let (mut from, mut removed) = (None, 0);
    loop {
        match sweeper.sweep(SweepStep { from, batch }).await {
            Ok(swept) if swept.failed > 0 => return Seen::only("Swept, with failures"),
            Ok(swept) => {
                removed += swept.removed;
                from = swept.next;
            }
            Err(error) => return Seen::of(&Err::<usize, _>(error), &[]),
        }
        if from.is_none() {
            let outcome = if removed > most {
                "Swept too much"
            } else {
                "Swept"
            };
            return Seen::only(outcome);
        }
    }
}
