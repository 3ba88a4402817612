//! The index of a subject's sessions.

use asm_core::{
    Bound, Key, Listing, Reserve, Reserved, Result, Revoked, Subject, SubjectIndex, Timestamp,
};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::{Cmd, Pipeline, Value};
use tokio::time::Instant;

use crate::{
    RedisDriver,
    driver::during,
    record,
    scripts::{
        Reply, SUBJECT_FORGET, SUBJECT_LIST, SUBJECT_RESERVE, SUBJECT_REVOKE, Script, micros,
        strange,
    },
};

/// How many sessions are looked at at the same time.
const AT_ONCE: usize = 128;

/// How many handles one call names at most, so that no script runs for long.
const FORGET_AT_ONCE: usize = 1000;

#[async_trait]
impl SubjectIndex for RedisDriver {
    async fn reserve(&self, subject: &Subject, req: Reserve) -> Result<Reserved> {
        let end = self.inner.links.end();
        let reserved = async {
            let reserved = self.try_reserve(subject, &req, end).await?;
            if reserved != Reserved::Full {
                return Ok(reserved);
            }
            // A listing drops the dead, who do not count.
            self.list_living(subject, end).await?;
            self.try_reserve(subject, &req, end).await
        };
        reserved.await.map_err(during("reserve"))
    }

    async fn list(&self, subject: &Subject) -> Result<Listing> {
        let end = self.inner.links.end();
        let listed = self.list_living(subject, end).await;
        listed.map_err(during("list"))
    }

    async fn revoke(&self, subject: &Subject, keep: Option<Key>) -> Result<Revoked> {
        let kept = |cmd: &mut Cmd| {
            match &keep {
                Some(key) => cmd.arg(key.as_bytes()),
                None => cmd.arg(""),
            };
        };
        let revoked = async {
            let end = self.inner.links.end();
            let revoked = self.on_index(subject, end, &SUBJECT_REVOKE, kept);
            let mut reply = Reply::of(revoked.await?, 1);
            let generation = reply.decimal()?;
            let keys = reply.list()?.all_bytes()?;
            Ok(Revoked {
                generation,
                keys: keys.iter().map(|key| key_of(key)).collect(),
            })
        };
        revoked.await.map_err(during("revoke"))
    }

    async fn forget(&self, subject: &Subject, keys: Vec<Key>) -> Result<usize> {
        let end = self.inner.links.end();
        let forgotten = self.forget_some(subject, &keys, end).await;
        forgotten.map_err(during("forget"))
    }
}

impl RedisDriver {
    async fn try_reserve(
        &self,
        subject: &Subject,
        req: &Reserve,
        end: Instant,
    ) -> Result<Reserved> {
        let Reserve { key, ttl, cap } = req;
        let answer = self.on_index(subject, end, &SUBJECT_RESERVE, |cmd| {
            cmd.arg(key.as_bytes()).arg(micros(*ttl));
            match cap {
                Some(cap) => cmd.arg(cap.get()),
                None => cmd.arg(""),
            };
        });
        let mut reply = Reply::of(answer.await?, 1);
        match reply.word()?.as_str() {
            "done" => Ok(Reserved::Done {
                generation: reply.decimal()?,
            }),
            "full" => Ok(Reserved::Full),
            _ => Err(strange()),
        }
    }

    async fn list_living(&self, subject: &Subject, end: Instant) -> Result<Listing> {
        let listed = self.on_index(subject, end, &SUBJECT_LIST, |_| {});
        let mut reply = Reply::of(listed.await?, 1);
        let generation = reply.decimal()?;
        let now = reply.time()?;
        let entries = reply.list()?.all_bytes()?;
        let mut entries: Vec<_> = entries.chunks_exact(2).map(Entry::of).collect();
        entries.sort_by_key(|entry| entry.place);
        let mut sessions = Vec::with_capacity(entries.len());
        let mut dead = Vec::new();
        for some in entries.chunks(AT_ONCE) {
            let lives = some.iter().map(|entry| self.life(&entry.key, end));
            for (entry, life) in some.iter().zip(try_join_all(lives).await?) {
                match life {
                    Some(life) => sessions.push(Bound {
                        key: entry.key,
                        since: entry.since,
                        generation: entry.generation,
                        left: life.left.duration(),
                    }),
                    None => dead.push(entry.key),
                }
            }
        }
        if !dead.is_empty() {
            self.forget_some(subject, &dead, end).await?;
        }
        Ok(Listing {
            generation,
            sessions,
            now,
        })
    }

    async fn forget_some(&self, subject: &Subject, keys: &[Key], end: Instant) -> Result<usize> {
        let mut forgotten = 0;
        for keys in keys.chunks(FORGET_AT_ONCE) {
            let answer = self.on_index(subject, end, &SUBJECT_FORGET, |cmd| {
                for key in keys {
                    cmd.arg(key.as_bytes());
                }
            });
            match answer.await? {
                Value::Int(dropped) => forgotten += usize::try_from(dropped).unwrap_or(0),
                _ => return Err(strange()),
            }
        }
        Ok(forgotten)
    }

    async fn on_index(
        &self,
        subject: &Subject,
        end: Instant,
        script: &Script,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value> {
        let keys = self.inner.settings.prefix.subject(subject);
        let until = keys.until();
        let time = self.time();
        let pack = |sending| {
            let mut cmd = script.command(sending, &[keys.index(), &until], 0);
            cmd.arg(&time);
            arguments(&mut cmd);
            let mut pipeline = Pipeline::with_capacity(1);
            pipeline.add_command(cmd);
            pipeline
        };
        let mut values = self.inner.links.call(keys.index(), end, pack).await?;
        values.pop().ok_or_else(strange)
    }
}

/// One entry of an index.
struct Entry {
    key: Key,
    since: Timestamp,
    generation: u64,
    place: u64,
}

impl Entry {
    /// Of a handle and the bytes stored for it.
    fn of(pair: &[Vec<u8>]) -> Self {
        let stored = &pair[1];
        let number = |at: usize| record::number(stored.get(at..).unwrap_or_default());
        Self {
            key: key_of(&pair[0]),
            since: Timestamp::from_micros(number(0)),
            generation: number(8),
            place: number(16),
        }
    }
}

fn key_of(handle: &[u8]) -> Key {
    Key::from_bytes(record::bytes(handle))
}
