//! The driver: what an application is given.

use std::{
    collections::VecDeque,
    fmt::{self, Debug},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use asm_core::{
    ChangeFeed, Clock, Driver, DriverInfo, Error, ErrorKind, Inventory, Key, LockToken,
    LocklessFields, Result, Shared, SubjectIndex, Timestamp,
};
use redis::{Cmd, Pipeline, Value};
use tokio::{runtime::Handle, time::Instant};

use crate::{
    Counters, RedisBuilder,
    access::Topology,
    builder::SteppedTime,
    counters::Tally,
    hub::Hub,
    keys::{Prefix, SessionKeys},
    link::{Links, Sending},
    scripts::{self, Reply, Script, micros, millis, strange},
    switches::Switches,
};

/// Sessions in Redis or Valkey. A clone is a further handle; so is another driver with the same
/// prefix on the same server, in this process or on another machine.
///
/// It holds connections that live as long as the last of its clones, and works in the tokio runtime
/// in which it was connected.
#[derive(Clone)]
pub struct RedisDriver {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) links: Arc<Links>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) runtime: Handle,
    pub(crate) settings: Settings,
    pub(crate) tally: Arc<Tally>,
    doubtful: Mutex<VecDeque<LockToken>>,
    #[expect(dead_code, reason = "it listens until it is dropped")]
    switches: Switches,
}

/// What the builder was told.
pub(crate) struct Settings {
    pub(crate) prefix: Prefix,
    pub(crate) deadline: Duration,
    pub(crate) recheck: Duration,
    pub(crate) max_record: usize,
    pub(crate) stage_above: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) time: Option<SteppedTime>,
    pub(crate) notifications: bool,
}

/// How many recheck intervals the connection that listens may be silent before it is asked for a sign
/// of life.
const SILENCE: u32 = 5;

/// How many tokens of attempts without an answer are remembered.
const DOUBTFUL: usize = 1024;

impl RedisDriver {
    /// A driver on the servers of this URL, with the defaults of [`RedisDriver::builder`]. See
    /// [`RedisBuilder::url`] for what a URL can say.
    ///
    /// # Errors
    /// Those of [`RedisBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> Result<Self> {
        Self::builder().url(url).connect().await
    }

    /// Servers, credentials, limits and times to choose.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::new()
    }

    /// A driver whose connections come from this pool. It takes as many as
    /// [`RedisBuilder::connections`] says, for good, and another one when one has failed.
    ///
    /// A pool hands out no connection that can listen: see [`RedisBuilder::listen_to`].
    #[cfg(feature = "deadpool")]
    pub fn from_pool(pool: deadpool_redis::Pool) -> RedisBuilder {
        RedisBuilder::from_pool(pool)
    }

    /// What it has met so far, and what it has to do.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let tally = &self.inner.tally;
        Counters {
            calls: tally.calls.get(),
            resends: tally.resends.get(),
            timeouts: tally.timeouts.get(),
            redirects: tally.redirects.get(),
            scripts: tally.scripts.get(),
            connections: tally.connections.get(),
            wakes: tally.wakes.get(),
            wakes_next_door: tally.wakes_next_door.get(),
            lost_lifetimes: tally.lost_lifetimes.get(),
            waiting: self.inner.hub.waiting(),
            following: self.inner.hub.following(),
            under_way: usize::try_from(tally.under_way.get()).unwrap_or(usize::MAX),
        }
    }

    /// Waits until everything has been answered that was sent before, and heard that was published.
    #[doc(hidden)]
    pub async fn caught_up(&self) {
        self.inner.links.caught_up().await;
        self.inner.hub.caught_up().await;
    }

    pub(crate) fn over(topology: Topology, connections: usize, settings: Settings) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|error| {
            let what = "a driver is connected inside of a tokio runtime";
            Error::new(ErrorKind::Invalid, what).because(error)
        })?;
        let mut process = [0; 8];
        getrandom::fill(&mut process).map_err(|error| {
            Error::new(ErrorKind::Other, "the system gives no random bytes").because(error)
        })?;
        let tally = Arc::new(Tally::default());
        let links = Links::new(
            topology,
            connections,
            settings.deadline,
            runtime.clone(),
            Arc::clone(&tally),
        );
        let links = Arc::new(links);
        let silence = settings.recheck.saturating_mul(SILENCE);
        let hub = Hub::new(
            Arc::clone(&links),
            settings.prefix.clone(),
            &process,
            settings.notifications,
            silence,
            Arc::clone(&tally),
        );
        let hub = Arc::new(hub);
        Ok(Self {
            inner: Arc::new(Inner {
                switches: Switches::watch(&links, &hub, silence, &runtime),
                links,
                hub,
                runtime,
                settings,
                tally,
                doubtful: Mutex::default(),
            }),
        })
    }

    pub(crate) fn keys(&self, key: &Key) -> SessionKeys {
        self.inner.settings.prefix.session(key)
    }

    /// The time for a script on an index: empty for that of the server.
    pub(crate) fn time(&self) -> String {
        let time = &self.inner.settings.time;
        let time = time.as_ref().map(|time| time.now().as_micros());
        time.map_or_else(String::new, |micros| micros.to_string())
    }

    /// What every script on a session is told of its caller.
    fn caller(&self) -> Vec<u8> {
        let Settings { time, recheck, .. } = &self.inner.settings;
        let time = time.as_ref().map_or(0, |time| time.now().as_micros());
        let channel = self.inner.hub.channel().as_bytes();
        [
            &time.to_be_bytes(),
            &micros(2 * *recheck).to_be_bytes(),
            channel,
        ]
        .concat()
    }

    /// What the server answered to TIME, unless a test has a time of its own.
    pub(crate) fn time_of(&self, answer: Value) -> Result<Timestamp> {
        match &self.inner.settings.time {
            Some(time) => Ok(time.now()),
            None => scripts::time(answer),
        }
    }

    /// How long the server keeps what is to be kept that long, in milliseconds.
    pub(crate) fn keep(&self, duration: Duration) -> u64 {
        millis(duration).saturating_mul(self.slower().into())
    }

    /// How much slower everything ends on the server: 1, but in tests.
    pub(crate) fn slower(&self) -> u32 {
        let time = &self.inner.settings.time;
        time.as_ref().map_or(1, |_| SteppedTime::SLOWER)
    }

    pub(crate) fn check_size(&self, len: usize) -> Result<()> {
        let most = self.inner.settings.max_record;
        if len <= most {
            return Ok(());
        }
        let message = format!("the record has {len} bytes, the limit is {most}");
        Err(Error::new(ErrorKind::TooLarge, message))
    }

    /// Runs a script on a session, beside what else there is to send.
    pub(crate) async fn run(
        &self,
        keys: &SessionKeys,
        script: &Script,
        names: &[&str],
        around: Around<'_>,
        arguments: impl Fn(&mut Cmd, Sending),
    ) -> Result<Answered> {
        let caller = self.caller();
        let pack = |sending: Sending| {
            let mut pipeline = Pipeline::with_capacity(4);
            if let Some((stage, bytes)) = &around.staged {
                let longest = millis(2 * self.inner.settings.deadline);
                let mut set = redis::cmd("SET");
                set.arg(*stage).arg(*bytes).arg("PX").arg(longest);
                pipeline.add_command(set);
            }
            let mut cmd = script.command(sending, names, around.content);
            cmd.arg(&caller);
            arguments(&mut cmd, sending);
            pipeline.add_command(cmd);
            for (command, name) in around.then {
                pipeline.cmd(command).arg(*name);
            }
            pipeline
        };
        let links = &self.inner.links;
        let end = around.end.unwrap_or_else(|| links.end());
        let values = if around.once {
            links.call_once(keys.record(), end, pack).await?
        } else {
            links.call(keys.record(), end, pack).await?
        };
        let mut values = values.into_iter();
        if around.staged.is_some() {
            values.next();
        }
        let reply = values.next().ok_or_else(strange)?;
        Ok(Answered {
            reply: Reply::of(reply, self.slower()),
            then: values,
        })
    }

    /// Runs a script that may change who holds the lock.
    pub(crate) async fn run_locking(
        &self,
        keys: &SessionKeys,
        script: &Script,
        around: Around<'_>,
        arguments: impl Fn(&mut Cmd, Sending),
    ) -> Result<Answered> {
        let (queue, fields) = (keys.queue(), keys.fields());
        let stage = around.staged.map_or("", |(stage, _)| stage);
        let names = [keys.record(), &queue, &fields, stage];
        let count = if stage.is_empty() { 3 } else { 4 };
        self.run(keys, script, &names[..count], around, arguments)
            .await
    }

    /// Goes on without its caller.
    pub(crate) fn detach(&self, task: impl Future<Output = ()> + Send + 'static) {
        let busy = self.inner.tally.busy();
        self.inner.runtime.spawn(async move {
            task.await;
            drop(busy);
        });
    }

    /// An attempt to lock under this token was not answered: it may still be under way.
    pub(crate) fn doubt(&self, token: &LockToken) {
        let mut doubtful = self.doubtful();
        if !doubtful.contains(token) {
            if doubtful.len() == DOUBTFUL {
                doubtful.pop_front();
            }
            doubtful.push_back(*token);
        }
    }

    pub(crate) fn is_doubtful(&self, token: &LockToken) -> bool {
        self.doubtful().contains(token)
    }

    pub(crate) fn trust(&self, token: &LockToken) {
        self.doubtful().retain(|doubtful| doubtful != token);
    }

    fn doubtful(&self) -> MutexGuard<'_, VecDeque<LockToken>> {
        let doubtful = self.inner.doubtful.lock();
        doubtful.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is sent in the same round trip as a script.
#[derive(Clone, Copy, Default)]
pub(crate) struct Around<'a> {
    /// Before it: bytes to keep under a name for a while.
    pub(crate) staged: Option<(&'a str, &'a [u8])>,
    /// After it: commands on names.
    pub(crate) then: &'a [(&'static str, &'a str)],
    /// Whether it must not happen twice.
    pub(crate) once: bool,
    /// When it is over: that of the call that it is a part of, if it is not all of it.
    pub(crate) end: Option<Instant>,
    /// How many bytes of content are among the arguments.
    pub(crate) content: usize,
}

/// What came back.
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    pub(crate) then: std::vec::IntoIter<Value>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.hub.stop();
    }
}

impl Debug for RedisDriver {
    /// Shows no server and no credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDriver")
            .field("servers", &self.inner.links)
            .field("prefix", &self.inner.settings.prefix.as_str())
            .field("counters", &self.counters())
            .finish()
    }
}

impl Driver for RedisDriver {
    fn info(&self) -> DriverInfo {
        let mut info = DriverInfo::new("redis", Shared::Network);
        info.max_record = self.inner.settings.max_record;
        info
    }

    fn fields(&self) -> Option<&dyn LocklessFields> {
        Some(self)
    }

    fn changes(&self) -> Option<&dyn ChangeFeed> {
        self.inner.hub.is_enabled().then_some(self as _)
    }

    fn subjects(&self) -> Option<&dyn SubjectIndex> {
        Some(self)
    }

    fn inventory(&self) -> Option<&dyn Inventory> {
        Some(self)
    }
}

/// Names where an error happened.
pub(crate) fn during(op: &'static str) -> impl Fn(Error) -> Error {
    move |error| error.during(op).by("redis")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_driver_shows_its_prefix_and_neither_server_nor_password() {
        let builder = RedisDriver::builder().url("redis://:secret@db.example.org");
        let driver = builder.prefix("shop").without_check().connect().await;
        let shown = format!("{:?}", driver.expect("a driver"));
        assert!(shown.contains(r#"prefix: "shop""#), "{shown}");
        for hidden in ["secret", "example"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}
