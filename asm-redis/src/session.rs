//! The verbs of the record.

use asm_core::{
    Create, Created, Delete, Deleted, Fence, Key, Open, OpenLock, Opened, OpenedLock, Result, Save,
    SessionStore, Snapshot, Timestamp, Touch, Touched, Version, Written,
};
use async_trait::async_trait;
use redis::{Pipeline, Value};

use crate::{
    RedisDriver,
    driver::{Around, during},
    lock::Attempt,
    record,
    scripts::{CREATE, DELETE, Left, OPEN, Reply, SAVE, TOUCH, micros, strange},
};

#[async_trait]
impl SessionStore for RedisDriver {
    async fn create(&self, key: &Key, req: Create) -> Result<Created> {
        self.check_size(req.data.len()).map_err(during("create"))?;
        let claim = req.lock.as_ref();
        let attempt = claim.map(|claim| Attempt::of(self, key, claim.token));
        let created = self.create_record(key, &req, attempt.as_ref()).await;
        let created = created.map_err(during("create"));
        if let Some(attempt) = attempt {
            attempt.answered(&created, |created| matches!(created, Created::Done { .. }));
        }
        created
    }

    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        let Open { lock } = req;
        let Some(lock) = lock else {
            return self.read(key).await.map_err(during("open"));
        };
        let attempt = Attempt::of(self, key, lock.claim.token);
        let opened = self.open_locked(key, &lock, &attempt).await;
        let opened = opened.map_err(during("open"));
        attempt.answered(&opened, |opened| {
            let Opened::Found { lock, .. } = opened else {
                return false;
            };
            matches!(lock, OpenedLock::Held(_))
        });
        opened
    }

    async fn save(&self, key: &Key, req: Save) -> Result<Written> {
        self.check_size(req.data.len()).map_err(during("save"))?;
        let written = self.save_record(key, &req).await;
        if written.is_err() && req.release {
            self.inner.hub.nudge(key);
        }
        written.map_err(during("save"))
    }

    async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
        self.touch_record(key, &req).await.map_err(during("touch"))
    }

    async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
        let deleted = self.delete_record(key, &req).await;
        if deleted.is_err() {
            self.inner.hub.nudge(key);
        }
        deleted.map_err(during("delete"))
    }
}

impl RedisDriver {
    async fn create_record(
        &self,
        key: &Key,
        req: &Create,
        attempt: Option<&Attempt<'_>>,
    ) -> Result<Created> {
        let Create {
            op,
            resend,
            stamp,
            data,
            ttl,
            lock,
        } = req;
        let keys = self.keys(key);
        let first = Version { number: 1, op: *op };
        let record = record::new(first, stamp, data);
        let stage;
        let mut around = Around::default();
        if self.is_large(data.len()) {
            stage = keys.stage(*op);
            around.staged = Some((&stage, &record));
        } else {
            around.content = record.len();
        }
        let answered = self.run_locking(&keys, &CREATE, around, |cmd, sending| {
            if let Some(attempt) = attempt {
                attempt.sent(sending);
            }
            cmd.arg(op.as_bytes()).arg(flag(*resend || sending.again));
            cmd.arg(self.keep(*ttl));
            match lock {
                Some(claim) => cmd.arg(record::claim(claim)).arg(micros(claim.hold)),
                None => cmd.arg("").arg(0),
            };
            cmd.arg(flag(self.publishes()));
            cmd.arg(&record[..around.content]);
        });
        let mut reply = answered.await?.reply;
        match reply.word()?.as_str() {
            "done" => {
                let number = reply.number()?;
                let fence = reply.number()?;
                let now = reply.time()?;
                self.wake(&mut reply)?;
                Ok(Created::Done {
                    version: Version { number, op: *op },
                    fence: (fence > 0).then(|| Fence::new(fence)),
                    now,
                })
            }
            "taken" => {
                self.wake(&mut reply)?;
                Ok(Created::Taken)
            }
            _ => Err(strange()),
        }
    }

    /// Three commands of the server's own: no script comes near the bytes.
    async fn read(&self, key: &Key) -> Result<Opened> {
        let keys = self.keys(key);
        let pack = |_| {
            let mut pipeline = Pipeline::with_capacity(3);
            pipeline.cmd("GET").arg(keys.record());
            pipeline.cmd("PTTL").arg(keys.record());
            pipeline.cmd("TIME");
            pipeline
        };
        let links = &self.inner.links;
        let values = links.call(keys.record(), links.end(), pack).await?;
        let [data, left, time] = values.try_into().map_err(|_| strange())?;
        let left = self.left_of(&left)?;
        let now = self.time_of(time)?;
        Ok(match self.snapshot(data, left, now)? {
            Some(snapshot) => Opened::Found {
                snapshot,
                lock: OpenedLock::NotAsked,
            },
            None => Opened::Missing,
        })
    }

    async fn open_locked(
        &self,
        key: &Key,
        lock: &OpenLock,
        attempt: &Attempt<'_>,
    ) -> Result<Opened> {
        let OpenLock { claim, proof } = lock;
        let keys = self.keys(key);
        // Not one step, and need not be: while the lock is ours nobody else saves, and a busy open
        // may read what was saved just after.
        let then = [("GET", keys.record())];
        let around = Around {
            then: &then,
            ..Around::default()
        };
        let queue = keys.queue();
        let names = [keys.record(), &queue];
        let answered = self.run(&keys, &OPEN, &names, around, |cmd, sending| {
            attempt.sent(sending);
            cmd.arg(record::claim(claim)).arg(proof.as_bytes());
            cmd.arg(micros(claim.hold));
        });
        let mut answered = answered.await?;
        let reply = &mut answered.reply;
        let lock = match reply.word()?.as_str() {
            "missing" => {
                self.wake(reply)?;
                return Ok(Opened::Missing);
            }
            "unproven" => OpenedLock::Unproven,
            "busy" => OpenedLock::Busy,
            "held" => OpenedLock::Held(Fence::new(reply.number()?)),
            _ => return Err(strange()),
        };
        let (now, left) = (reply.time()?, reply.left()?);
        self.wake(reply)?;
        let data = answered.then.next().ok_or_else(strange)?;
        Ok(match self.snapshot(data, left, now)? {
            Some(snapshot) => Opened::Found { snapshot, lock },
            None => Opened::Missing,
        })
    }

    async fn save_record(&self, key: &Key, req: &Save) -> Result<Written> {
        let Save {
            op,
            resend,
            guard,
            stamp,
            data,
            ttl,
            release,
        } = req;
        let keys = self.keys(key);
        let next = Version {
            number: guard.version.number.wrapping_add(1),
            op: *op,
        };
        let record = record::new(next, stamp, data);
        let stage;
        let mut around = Around::default();
        if self.is_large(data.len()) {
            stage = keys.stage(*op);
            around.staged = Some((&stage, &record));
            around.content = record::STAMP;
        } else {
            around.content = record.len();
        }
        let how = [
            (guard.epoch != stamp.epoch, 2),
            (guard.held.is_some(), 4),
            (*release && guard.held.is_some(), 8),
            (self.publishes(), 16),
        ];
        let how: u8 = how.iter().map(|(is, bit)| u8::from(*is) * bit).sum();
        let answered = self.run_locking(&keys, &SAVE, around, |cmd, sending| {
            let mut request = [0; 49];
            request[0] = how + u8::from(*resend || sending.again);
            request[1..25].copy_from_slice(&record::guard(guard));
            if let Some(token) = &guard.held {
                request[25..41].copy_from_slice(token.as_bytes());
            }
            request[41..].copy_from_slice(op.as_bytes());
            cmd.arg(&request).arg(self.keep(*ttl));
            cmd.arg(&record[..around.content]);
        });
        let mut reply = answered.await?.reply;
        if let Some(now) = reply.short_number() {
            let now = Timestamp::from_micros(now);
            return Ok(Written::Done { version: next, now });
        }
        let word = reply.word()?;
        let written = match word.as_str() {
            "done" => Written::Done {
                version: Version {
                    number: reply.number()?,
                    op: *op,
                },
                now: reply.time()?,
            },
            "conflict" => match self.fresh(&mut reply)? {
                Some(snapshot) => Written::Conflict(snapshot),
                None => Written::Missing,
            },
            "missing" => Written::Missing,
            "ended" => Written::Ended,
            "locked" => Written::Locked,
            "lost" => Written::LockLost,
            _ => return Err(strange()),
        };
        self.wake(&mut reply)?;
        Ok(written)
    }

    async fn touch_record(&self, key: &Key, req: &Touch) -> Result<Touched> {
        let Touch { epoch, ttl } = req;
        let keys = self.keys(key);
        let fields = keys.fields();
        let names = [keys.record(), &fields];
        let answered = self.run(&keys, &TOUCH, &names, Around::default(), |cmd, _| {
            cmd.arg(&epoch.get().to_be_bytes()).arg(self.keep(*ttl));
        });
        let mut reply = answered.await?.reply;
        match reply.word()?.as_str() {
            "done" => Ok(Touched::Done {
                left: reply.millis()?,
                now: reply.time()?,
            }),
            "missing" => Ok(Touched::Missing),
            "ended" => Ok(Touched::Ended),
            _ => Err(strange()),
        }
    }

    async fn delete_record(&self, key: &Key, req: &Delete) -> Result<Deleted> {
        let Delete { only_if } = req;
        let keys = self.keys(key);
        let answered = self.run_locking(&keys, &DELETE, Around::default(), |cmd, _| {
            cmd.arg(flag(only_if.is_some()));
            match only_if {
                Some(guard) => cmd.arg(&record::guard(guard)),
                None => cmd.arg(""),
            };
            match only_if.as_ref().and_then(|guard| guard.held.as_ref()) {
                Some(token) => cmd.arg(token.as_bytes()),
                None => cmd.arg(""),
            };
            cmd.arg(flag(self.publishes()));
        });
        let mut reply = answered.await?.reply;
        let word = reply.word()?;
        let deleted = match word.as_str() {
            "done" => Deleted::Done,
            "nothing" => Deleted::Nothing,
            "conflict" => match self.fresh(&mut reply)? {
                Some(snapshot) => Deleted::Conflict(snapshot),
                None => Deleted::Nothing,
            },
            "ended" => Deleted::Ended,
            "locked" => Deleted::Locked,
            "lost" => Deleted::LockLost,
            _ => return Err(strange()),
        };
        self.wake(&mut reply)?;
        Ok(deleted)
    }

    /// The record that a refusal carries: its bytes, what is left of it, the time.
    pub(crate) fn fresh(&self, reply: &mut Reply) -> Result<Option<Snapshot>> {
        let data = reply.bytes()?;
        let left = reply.left()?;
        let now = reply.time()?;
        self.snapshot(Value::BulkString(data), left, now)
    }

    /// What a read answered, `None` when there is no record (any more).
    pub(crate) fn snapshot(
        &self,
        data: Value,
        left: Left,
        now: Timestamp,
    ) -> Result<Option<Snapshot>> {
        let data = match data {
            Value::BulkString(data) => data,
            Value::Nil => return Ok(None),
            _ => return Err(strange()),
        };
        let left = match left {
            Left::Gone => return Ok(None),
            Left::Lost => {
                self.inner.tally.lost_lifetimes.add();
                tracing::warn!("a session was read that would never end; its next save ends that");
                None
            }
            Left::For(left) => Some(left),
        };
        let record = record::read(data)?;
        Ok(Some(Snapshot {
            version: record.version,
            stamp: record.stamp,
            data: record.data,
            left,
            now,
        }))
    }

    /// What PTTL answered.
    pub(crate) fn left_of(&self, value: &Value) -> Result<Left> {
        match value {
            Value::Int(pttl) => Ok(Left::of(*pttl, self.slower())),
            _ => Err(strange()),
        }
    }

    /// Wakes the waiters next door that a reply names next, if it names any.
    pub(crate) fn wake(&self, reply: &mut Reply) -> Result<()> {
        if !reply.is_over() {
            self.inner.hub.wake_next_door(&reply.bytes()?);
        }
        Ok(())
    }

    /// Whether changes are told to subscribers.
    fn publishes(&self) -> bool {
        self.inner.settings.notifications
    }

    /// Whether bytes go ahead of their script, and not along with it.
    fn is_large(&self, len: usize) -> bool {
        len > self.inner.settings.stage_above
    }
}

pub(crate) fn flag(is: bool) -> &'static str {
    if is { "1" } else { "0" }
}
