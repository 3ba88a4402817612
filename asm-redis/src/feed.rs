//! The feed of changes.

use std::sync::Arc;

use asm_core::{
    Change, ChangeFeed, ChangeStream, Clock, Epoch, Error, ErrorKind, Key, Result, Subscribe,
    Subscribed, Timestamp,
};
use async_trait::async_trait;
use futures_util::{future, stream};
use redis::{Pipeline, Value};
use tokio::time::Instant;

use crate::{
    RedisDriver,
    driver::{Around, during},
    hub::{Following, Known},
    record,
    scripts::{FOLLOW, Left, strange},
};

#[async_trait]
impl ChangeFeed for RedisDriver {
    async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
        let Subscribe { epoch, buffer } = req;
        let hub = &self.inner.hub;
        if !hub.is_enabled() {
            let error = Error::new(ErrorKind::Unsupported, "this driver does not listen");
            return Err(during("subscribe")(error));
        }
        let end = self.inner.links.end();
        let begun = async {
            // Listening comes first, so that nothing falls between the look and the first change.
            let following = hub.follow(key, buffer, &self.inner.runtime, end).await?;
            let asked = self.inner.settings.clock.now();
            Ok((following, asked, self.look_at(key, end).await?))
        };
        let (mut following, asked, life) = begun.await.map_err(during("subscribe"))?;
        let Some((life, now)) = life else {
            return Ok(Subscribed::Missing);
        };
        if life.epoch != epoch {
            return Ok(Subscribed::Ended);
        }
        following.skip(Known {
            number: life.number,
            looked: Some(now),
        });
        let watch = Watch {
            clock: Arc::clone(&self.inner.settings.clock),
            driver: self.clone(),
            key: *key,
            epoch,
            end: self.end(asked, life.left),
            following,
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

impl RedisDriver {
    /// A session's life, if it has one, and the time. Its changes are published from now on.
    async fn look_at(&self, key: &Key, end: Instant) -> Result<Option<(Life, Timestamp)>> {
        let keys = self.keys(key);
        let names = [keys.record()];
        let around = Around {
            end: Some(end),
            ..Around::default()
        };
        let answered = self.run(&keys, &FOLLOW, &names, around, |_, _| {});
        let mut reply = answered.await?.reply;
        match reply.word()?.as_str() {
            "live" => {
                let life = Life::of(&reply.bytes()?, reply.left()?)?;
                Ok(Some((life, reply.time()?)))
            }
            "missing" => Ok(None),
            _ => Err(strange()),
        }
    }

    /// A session's life, if it has one.
    pub(crate) async fn life(&self, key: &Key, end: Instant) -> Result<Option<Life>> {
        let keys = self.keys(key);
        let last = record::STAMP - 1;
        let pack = |_| {
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.cmd("GETRANGE").arg(keys.record()).arg(0).arg(last);
            pipeline.cmd("PTTL").arg(keys.record());
            pipeline
        };
        let values = self.inner.links.call(keys.record(), end, pack).await?;
        let [head, left] = values.try_into().map_err(|_| strange())?;
        let left = self.left_of(&left)?;
        match head {
            Value::BulkString(head) if head.is_empty() => Ok(None),
            Value::BulkString(_) if left == Left::Gone => Ok(None),
            Value::BulkString(head) => Ok(Some(Life::of(&head, left)?)),
            _ => Err(strange()),
        }
    }

    /// When a life may be over of which that much was left to one who asked then: not when the
    /// answer is read, which may be much later. One that was lost is looked after now and then.
    fn end(&self, asked: Timestamp, left: Left) -> Timestamp {
        let recheck = self.inner.settings.recheck;
        asked + left.duration().unwrap_or(recheck * 60)
    }
}

/// What there is to know of a session without its bytes.
pub(crate) struct Life {
    pub(crate) left: Left,
    number: u64,
    epoch: Epoch,
}

impl Life {
    fn of(head: &[u8], left: Left) -> Result<Self> {
        let (version, stamp) = record::read_head(head)?;
        Ok(Self {
            left,
            number: version.number,
            epoch: stamp.epoch,
        })
    }
}

/// One subscriber's view of a session.
struct Watch {
    driver: RedisDriver,
    clock: Arc<dyn Clock>,
    key: Key,
    epoch: Epoch,
    /// When the session's time may have run out. A point, not a span, so that a reader who comes
    /// late is told at once.
    end: Timestamp,
    following: Following,
}

impl Watch {
    /// The next change. Nobody publishes that a session's time has run out, so the subscriber
    /// looks when it may have.
    async fn next(&mut self) -> Change {
        loop {
            let alarm = self.clock.sleep(self.end.since(self.clock.now()));
            let change = Box::pin(self.following.next(self.epoch));
            if let future::Either::Left((change, _)) = future::select(change, alarm).await {
                // A save may have made the life shorter; and a new master may not know of us.
                self.end = self.clock.now();
                return change;
            }
            let asked = self.clock.now();
            let end = self.driver.inner.links.end();
            self.end = match self.driver.look_at(&self.key, end).await {
                Ok(Some((life, _))) if life.epoch == self.epoch => {
                    self.driver.end(asked, life.left)
                }
                Ok(_) => return Change::Ended,
                // Unknown is not over: look again after a while.
                Err(_) => self.clock.now() + self.driver.inner.settings.recheck,
            };
        }
    }
}
