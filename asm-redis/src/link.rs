//! Connections to the nodes, and calls on them: deadlines, redirections, sending again.
//!
//! A call goes over a long-lived connection that many callers share. All calls of one session take
//! the same one, so that they arrive in the order in which they were made. A connection that failed,
//! or on which a deadline passed, is replaced by the next caller.

use std::{
    collections::{HashMap, HashSet},
    fmt::{self, Debug},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use asm_core::{Error, ErrorKind, Result};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, select_ok},
};
use redis::{Client, Pipeline, Value};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    access::{Topology, find_master},
    builder::invalid,
    connection::{Connection, connect},
    counters::Tally,
    errors::{self, Failure},
    keys,
};

/// How often a call is sent again after its connection failed.
const RESENDS: u32 = 3;

/// How many nodes are asked for the slots at the same time.
const ASKED_AT_ONCE: usize = 3;

/// The first pause before trying again; it doubles up to [`LONGEST`].
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(100);

/// How a call is sent this time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sending {
    /// Whether it may have happened already.
    pub(crate) again: bool,
    /// Whether the server needs the source of the script.
    pub(crate) source: bool,
}

/// How a call goes on while it does not go well.
struct Course {
    slot: u16,
    end: Instant,
    /// Whether it may happen twice.
    may_repeat: bool,
    sending: Sending,
    /// The node that another one has named, for the next attempt only.
    asked: Option<Arc<Node>>,
    /// How many connections failed.
    broken: u32,
    pause: Duration,
    /// What the server last refused it for.
    refused: Option<Error>,
}

impl Course {
    fn new(slot: u16, end: Instant, may_repeat: bool) -> Self {
        Self {
            slot,
            end,
            may_repeat,
            sending: Sending::default(),
            asked: None,
            broken: 0,
            pause: PAUSE,
            refused: None,
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// The error as the caller is told it: a refusal says that nothing happened, which is not known
    /// of what was sent before.
    fn told(&self, error: Error) -> Error {
        if !self.sending.again || !error.kind().is_refusal() {
            return error;
        }
        let what = "the server refused it when it was sent again, and may have done it before";
        Error::new(ErrorKind::Unavailable, what).because(error)
    }

    /// Pauses; `false` when there is no time for it.
    async fn wait(&mut self) -> bool {
        if Instant::now() + self.pause >= self.end {
            return false;
        }
        pause_for(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST);
        true
    }
}

/// Where an attempt failed, and how.
type Failed = (Option<Arc<Address>>, Failure);

/// Connections to all nodes.
pub(crate) struct Links {
    topology: Topology,
    count: usize,
    pub(crate) deadline: Duration,
    /// Where connections live, whoever asks for one first.
    runtime: Handle,
    /// The only node, unless it is a cluster.
    only: Arc<Node>,
    cluster: Cluster,
    pub(crate) tally: Arc<Tally>,
}

/// What is known of a cluster.
#[derive(Default)]
struct Cluster {
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    slots: RwLock<Slots>,
    /// While they are asked for, by a task.
    asking: Mutex<Option<Asking>>,
}

/// Which master has which slot, as far as that is known.
#[derive(Default)]
struct Slots {
    masters: Vec<Option<Arc<Address>>>,
    /// The first slot of each master, in order.
    firsts: Vec<u16>,
}

impl Slots {
    const COUNT: usize = keys::SLOTS as usize;

    fn new(masters: Vec<Option<Arc<Address>>>) -> Self {
        let (mut seen, mut firsts, mut last) = (HashSet::new(), Vec::new(), None);
        let known = (0..).zip(&masters);
        for (slot, master) in known.filter_map(|(slot, master)| Some((slot, master.as_ref()?))) {
            // Neighbours mostly have the same one.
            let same = last.is_some_and(|last| Arc::ptr_eq(last, master));
            if !same && seen.insert(master) {
                firsts.push(slot);
            }
            last = Some(master);
        }
        Self { masters, firsts }
    }
}

type Asking = Shared<BoxFuture<'static, Result<(), Arc<Failure>>>>;

type Address = (String, u16);

/// The connections to one node.
struct Node {
    lines: Box<[Arc<Line>]>,
    /// `None` for the node of a topology with only one.
    address: Option<Arc<Address>>,
}

/// One connection, made when it is needed.
#[derive(Default)]
struct Line {
    current: Mutex<Option<Connected>>,
    /// While one is being made. A task does that, so that a caller who is not polled any more keeps
    /// nobody waiting.
    making: Mutex<Option<Making>>,
}

type Making = Shared<BoxFuture<'static, Result<Connected, Arc<Failure>>>>;

#[derive(Clone)]
struct Connected {
    number: u64,
    connection: Connection,
}

impl Links {
    pub(crate) fn new(
        topology: Topology,
        count: usize,
        deadline: Duration,
        runtime: Handle,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            runtime,
            topology,
            count,
            deadline,
            only: Arc::new(Node::new(count, None)),
            cluster: Cluster::default(),
            tally,
        }
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster { .. })
    }

    /// The sentinels, and what they call the master.
    pub(crate) fn sentinels(&self) -> (&[Client], &str) {
        match &self.topology {
            Topology::Sentinel {
                sentinels, name, ..
            } => (sentinels, name),
            _ => (&[], ""),
        }
    }

    /// Another server is the master: whoever calls next looks for it.
    pub(crate) fn leave_the_master(&self) {
        for line in &self.only.lines {
            *line.current() = None;
        }
    }

    /// When a call of the driver is over that begins now, whatever it consists of.
    pub(crate) fn end(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// Whether there is anybody to listen to.
    pub(crate) fn can_listen(&self) -> bool {
        #[cfg(feature = "deadpool")]
        if let Topology::Pool { listener, .. } = &self.topology {
            return listener.is_some();
        }
        true
    }

    /// A call on the node of this name, which is over by then: what `pack` makes of it, answered by
    /// as many values. None of them is a refusal.
    pub(crate) async fn call(
        self: &Arc<Self>,
        name: &str,
        end: Instant,
        pack: impl Fn(Sending) -> Pipeline,
    ) -> Result<Vec<Value>> {
        self.repeat(keys::slot(name), end, true, pack).await
    }

    /// The same on the master of this slot.
    pub(crate) async fn call_at(
        self: &Arc<Self>,
        slot: u16,
        end: Instant,
        pack: impl Fn(Sending) -> Pipeline,
    ) -> Result<Vec<Value>> {
        self.repeat(slot, end, true, pack).await
    }

    /// The same, of what must not happen twice: it is not sent again once it may have happened.
    pub(crate) async fn call_once(
        self: &Arc<Self>,
        name: &str,
        end: Instant,
        pack: impl Fn(Sending) -> Pipeline,
    ) -> Result<Vec<Value>> {
        self.repeat(keys::slot(name), end, false, pack).await
    }

    async fn repeat(
        self: &Arc<Self>,
        slot: u16,
        end: Instant,
        may_repeat: bool,
        pack: impl Fn(Sending) -> Pipeline,
    ) -> Result<Vec<Value>> {
        let mut course = Course::new(slot, end, may_repeat);
        loop {
            self.tally.calls.add();
            let asked = course.asked.take();
            let attempt = self.attempt(slot, asked, &pack, course.sending, end);
            match attempt.await {
                Ok(values) => return Ok(values),
                // Boxed: the future of every call would have room for all that may go wrong.
                Err(failed) => {
                    let gone_on = Box::pin(self.go_on(&mut course, failed)).await;
                    gone_on.map_err(|error| course.told(error))?;
                }
            }
        }
    }

    /// Prepares another attempt after one that failed, or answers why there is none.
    async fn go_on(self: &Arc<Self>, course: &mut Course, failed: Failed) -> Result<()> {
        let (place, failure) = failed;
        match failure {
            Failure::NoScript if !course.sending.source => {
                self.tally.scripts.add();
                course.sending.source = true;
            }
            Failure::Moved(..) | Failure::Ask(..) if !self.is_cluster() => {
                return Err(errors::is_a_node());
            }
            Failure::Moved(host, port) => {
                self.tally.redirects.add();
                self.moved(course.slot, place, host, port, course.end).await;
            }
            Failure::Ask(host, port) => {
                self.tally.redirects.add();
                course.asked = Some(self.node(resolved(host, port, place.as_deref())));
            }
            Failure::Later(error) => {
                if error.kind() == ErrorKind::ReadOnly {
                    self.leave(course.slot, place.as_deref());
                }
                self.look_around(course.end).await;
                // Also when the pause took longer than it should: what is known is told.
                if !course.wait().await || course.is_over() {
                    return Err(error);
                }
                course.refused = Some(error);
            }
            Failure::Broken { error, sent } => {
                course.sending.again |= sent;
                course.broken += 1;
                if course.is_over() {
                    self.tally.timeouts.add();
                    // Why it took so long says more, unless the last sending may have arrived.
                    let refused = course.refused.take().filter(|_| !course.sending.again);
                    return Err(refused.unwrap_or(error));
                }
                if course.sending.again && !course.may_repeat {
                    return Err(error);
                }
                self.look_around(course.end).await;
                if course.broken > RESENDS || !course.wait().await {
                    return Err(error);
                }
                self.tally.resends.add();
            }
            failure => return Err(failure.into_error()),
        }
        Ok(())
    }

    /// Sends it once.
    async fn attempt(
        self: &Arc<Self>,
        slot: u16,
        asked: Option<Arc<Node>>,
        pack: impl Fn(Sending) -> Pipeline,
        sending: Sending,
        end: Instant,
    ) -> Result<Vec<Value>, Failed> {
        let asking = asked.is_some();
        let found = match asked {
            Some(node) => Ok(node),
            None => self.node_of(slot, end).await,
        };
        let node = found.map_err(|failure| (None, failure))?;
        let place = || node.address.clone();
        let line = &node.lines[usize::from(slot) % self.count];
        let made = self.connected(&node, line, end).await;
        let mut connected = made.map_err(|failure| (place(), failure))?;
        let mut pipeline = pack(sending);
        if asking {
            pipeline = with_asking(&pipeline);
        }
        let count = pipeline.len();
        let answered = timeout_at(
            end,
            connected
                .connection
                .commands
                .send_packed_commands(&pipeline, 0, count),
        );
        let answered = answered.await;
        let values = match answered {
            Ok(Ok(values)) => values,
            Ok(Err(error)) => {
                line.discard(connected.number);
                return Err((place(), errors::broken(&error, true)));
            }
            // A connection that does not answer may never do so again.
            Err(_) => {
                line.discard(connected.number);
                return Err((place(), too_late(true)));
            }
        };
        // The first says more than that of what was to follow it.
        let refused = values.iter().find_map(|value| match value {
            Value::ServerError(error) => Some(errors::refusal(error)),
            _ => None,
        });
        match refused {
            None if asking => Ok(values.into_iter().skip(1).step_by(2).collect()),
            None => Ok(values),
            Some(failure) => Err((place(), failure)),
        }
    }

    /// The line's connection, made if there is none.
    async fn connected(
        self: &Arc<Self>,
        node: &Arc<Node>,
        line: &Arc<Line>,
        end: Instant,
    ) -> Result<Connected, Failure> {
        let making = {
            let current = line.current();
            if let Some(connected) = &*current {
                return Ok(connected.clone());
            }
            let mut making = lock(&line.making);
            making.get_or_insert_with(|| self.begin(node, line)).clone()
        };
        let made = timeout_at(end, making).await;
        made.unwrap_or_else(|_| Err(Arc::new(too_late(false))))
            .map_err(Failure::for_another)
    }

    fn begin(self: &Arc<Self>, node: &Arc<Node>, line: &Arc<Line>) -> Making {
        let (links, node, line) = (Arc::clone(self), Arc::clone(node), Arc::clone(line));
        let task = self.runtime.spawn(async move {
            let made = links.make(&node).await;
            let made = made.map(|connection| Connected {
                number: links.tally.connections.add(),
                connection,
            });
            let mut current = line.current();
            if let Ok(connected) = &made {
                *current = Some(connected.clone());
            }
            *lock(&line.making) = None;
            made.map_err(Arc::new)
        });
        let ended = |_| Err(Arc::new(too_late(false)));
        task.map(move |made| made.unwrap_or_else(ended))
            .boxed()
            .shared()
    }

    async fn make(&self, node: &Node) -> Result<Connection, Failure> {
        let client = match (&self.topology, node.address.as_deref()) {
            #[cfg(feature = "deadpool")]
            (Topology::Pool { pool, .. }, _) => return from_pool(pool, self.deadline).await,
            (Topology::One(client), _) => client.clone(),
            (
                Topology::Sentinel {
                    sentinels,
                    name,
                    access,
                },
                _,
            ) => {
                let (_, connection) = find_master(sentinels, name, access).await?;
                return Ok(connection);
            }
            (Topology::Cluster { access, .. }, Some((host, port))) => {
                let client = access.node(host.clone(), *port);
                client.map_err(Failure::Final)?
            }
            (Topology::Cluster { .. }, None) => {
                return Err(Failure::Final(invalid(
                    "a node of a cluster has an address",
                )));
            }
        };
        let timeout = self.connect_timeout();
        let connection = connect(&client, timeout).await;
        connection.map_err(|error| errors::broken(&error, false))
    }

    fn connect_timeout(&self) -> Duration {
        match &self.topology {
            Topology::Sentinel { access, .. } | Topology::Cluster { access, .. } => {
                access.connect_timeout
            }
            _ => self.deadline,
        }
    }

    /// Whom to listen to. Any node of a cluster tells what is published at the others.
    pub(crate) async fn listener(&self, attempt: usize) -> Result<Client> {
        match &self.topology {
            Topology::One(client) => Ok(client.clone()),
            #[cfg(feature = "deadpool")]
            Topology::Pool { listener, .. } => listener
                .clone()
                .ok_or_else(|| invalid("a pool has no connection that can listen")),
            Topology::Sentinel {
                sentinels,
                name,
                access,
            } => {
                let found = find_master(sentinels, name, access).await;
                found.map(|(client, _)| client).map_err(Failure::into_error)
            }
            Topology::Cluster { nodes, access } => {
                let known: Vec<_> = lock(&self.cluster.nodes).keys().cloned().collect();
                match known.len() {
                    0 => access.client(nodes[attempt % nodes.len()].clone()),
                    count => {
                        let (host, port) = known[attempt % count].clone();
                        access.node(host, port)
                    }
                }
            }
        }
    }

    /// One call on each master.
    pub(crate) async fn on_each(
        self: &Arc<Self>,
        pack: impl Fn() -> Pipeline,
    ) -> Result<Vec<Vec<Value>>> {
        let end = self.end();
        let slots = self.masters(end).await?;
        let mut answers = Vec::with_capacity(slots.len());
        for slot in slots {
            let sent = self.attempt(slot, None, |_| pack(), Sending::default(), end);
            let sent = sent.await.map_err(|(_, failure)| failure.into_error());
            answers.push(sent?);
        }
        Ok(answers)
    }

    /// The first slot of each master, in order.
    pub(crate) async fn masters(self: &Arc<Self>, end: Instant) -> Result<Vec<u16>> {
        if self.is_cluster() {
            self.node_of(0, end).await.map_err(Failure::into_error)?;
        }
        Ok(self.known_masters())
    }

    /// The same, as far as they are known.
    pub(crate) fn known_masters(&self) -> Vec<u16> {
        if !self.is_cluster() {
            return vec![0];
        }
        let slots = self.cluster.slots.read();
        let slots = slots.unwrap_or_else(PoisonError::into_inner);
        slots.firsts.clone()
    }

    /// Waits until everything is answered that was sent before.
    pub(crate) async fn caught_up(&self) {
        let mut nodes: Vec<_> = lock(&self.cluster.nodes).values().cloned().collect();
        nodes.push(Arc::clone(&self.only));
        for line in nodes.iter().flat_map(|node| &node.lines) {
            let making = lock(&line.making).clone();
            if let Some(making) = making {
                let _ = making.await;
            }
            let current = line.current().clone();
            if let Some(mut connected) = current {
                let ping = redis::cmd("PING");
                let answered = connected.connection.commands.send_packed_command(&ping);
                let _ = timeout(self.deadline, answered).await;
            }
        }
    }

    /// The node of a slot.
    async fn node_of(self: &Arc<Self>, slot: u16, end: Instant) -> Result<Arc<Node>, Failure> {
        if !self.is_cluster() {
            return Ok(Arc::clone(&self.only));
        }
        if let Some(node) = self.known(slot) {
            return Ok(node);
        }
        let refreshed = timeout_at(end, Box::pin(self.refresh())).await;
        refreshed.unwrap_or_else(|_| Err(too_late(false)))?;
        self.known(slot).ok_or_else(|| {
            let error = "no node of the cluster has this slot";
            Failure::Later(Error::new(ErrorKind::NotReady, error))
        })
    }

    fn known(&self, slot: u16) -> Option<Arc<Node>> {
        let slots = self.cluster.slots.read();
        let slots = slots.unwrap_or_else(PoisonError::into_inner);
        let address = slots.masters.get(usize::from(slot))?.clone()?;
        drop(slots);
        Some(self.node(address))
    }

    fn node(&self, address: Arc<Address>) -> Arc<Node> {
        let mut nodes = lock(&self.cluster.nodes);
        let node = nodes.entry((*address).clone());
        let node = node.or_insert_with(|| Arc::new(Node::new(self.count, Some(address))));
        Arc::clone(node)
    }

    /// A node has told where the slot is; where the others are may have changed too.
    async fn moved(
        self: &Arc<Self>,
        slot: u16,
        from: Option<Arc<Address>>,
        host: String,
        port: u16,
        end: Instant,
    ) {
        let address = resolved(host, port, from.as_deref());
        let _ = timeout_at(end, self.refresh()).await;
        let slots = self.cluster.slots.write();
        let mut slots = slots.unwrap_or_else(PoisonError::into_inner);
        let mut masters = mem::take(&mut slots.masters);
        masters.resize(Slots::COUNT, None);
        masters[usize::from(slot)] = Some(address);
        *slots = Slots::new(masters);
    }

    /// A node is no master any more: whoever calls next looks for the one that is.
    fn leave(&self, slot: u16, place: Option<&Address>) {
        let node = match place {
            Some(place) => lock(&self.cluster.nodes).get(place).cloned(),
            None => Some(Arc::clone(&self.only)),
        };
        if let Some(node) = node {
            *node.lines[usize::from(slot) % self.count].current() = None;
        }
    }

    /// In a cluster, another node may have taken over.
    async fn look_around(self: &Arc<Self>, end: Instant) {
        if self.is_cluster() {
            let longest = end.min(Instant::now() + self.connect_timeout());
            let _ = timeout_at(longest, self.refresh()).await;
        }
    }

    /// Asks which node has which slot: once for all who want to know at the same time.
    async fn refresh(self: &Arc<Self>) -> Result<(), Failure> {
        let asking = {
            let mut asking = lock(&self.cluster.asking);
            asking.get_or_insert_with(|| self.begin_asking()).clone()
        };
        asking.await.map_err(Failure::for_another)
    }

    fn begin_asking(self: &Arc<Self>) -> Asking {
        let links = Arc::clone(self);
        let task = self.runtime.spawn(async move {
            let asked = links.ask_for_slots().await;
            *lock(&links.cluster.asking) = None;
            asked.map_err(Arc::new)
        });
        let ended = |_| Err(Arc::new(too_late(false)));
        task.map(move |asked| asked.unwrap_or_else(ended))
            .boxed()
            .shared()
    }

    async fn ask_for_slots(&self) -> Result<(), Failure> {
        let Topology::Cluster { nodes, access } = &self.topology else {
            return Ok(());
        };
        let known: Vec<_> = lock(&self.cluster.nodes).keys().cloned().collect();
        let known = known
            .into_iter()
            .map(|(host, port)| access.node(host, port));
        let seeds = nodes.iter().map(|address| access.client(address.clone()));
        let clients = known.chain(seeds).collect::<Result<Vec<_>>>();
        let clients = clients.map_err(Failure::Final)?;
        let mut last = None;
        // A few at a time, so that one that is gone costs no time.
        for some in clients.chunks(ASKED_AT_ONCE) {
            let asked = some
                .iter()
                .map(|client| slots_of(client, access.connect_timeout).boxed());
            match select_ok(asked).await {
                Ok((slots, _)) => {
                    self.learn(slots);
                    return Ok(());
                }
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| too_late(false)))
    }

    fn learn(&self, ranges: Vec<(u16, u16, Address)>) {
        let mut slots = vec![None; Slots::COUNT];
        for (first, last, address) in &ranges {
            let address = Arc::new(address.clone());
            let until = usize::from(*last) + 1;
            for slot in slots.iter_mut().take(until).skip(usize::from(*first)) {
                *slot = Some(Arc::clone(&address));
            }
        }
        let masters: HashSet<_> = ranges.into_iter().map(|(_, _, address)| address).collect();
        // Nodes that have gone, and replicas, are let go of.
        lock(&self.cluster.nodes).retain(|address, _| masters.contains(address));
        let known = self.cluster.slots.write();
        *known.unwrap_or_else(PoisonError::into_inner) = Slots::new(slots);
    }
}

impl Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topology = match &self.topology {
            Topology::One(_) => "one server",
            #[cfg(feature = "deadpool")]
            Topology::Pool { .. } => "pool",
            Topology::Sentinel { .. } => "sentinel",
            Topology::Cluster { .. } => "cluster",
        };
        f.write_str(topology)
    }
}

impl Node {
    fn new(count: usize, address: Option<Arc<Address>>) -> Self {
        let lines = std::iter::repeat_with(Arc::<Line>::default).take(count);
        Self {
            lines: lines.collect(),
            address,
        }
    }
}

impl Line {
    fn current(&self) -> MutexGuard<'_, Option<Connected>> {
        lock(&self.current)
    }

    /// Lets go of a connection, unless it was replaced already.
    fn discard(&self, number: u64) {
        self.current().take_if(|current| current.number == number);
    }
}

/// What is behind it is whole between any two statements of ours.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A node that names no host means its own.
fn resolved(host: String, port: u16, from: Option<&Address>) -> Arc<Address> {
    let host = match (host.is_empty(), from) {
        (true, Some((own, _))) => own.clone(),
        _ => host,
    };
    Arc::new((host, port))
}

fn with_asking(pipeline: &Pipeline) -> Pipeline {
    let mut asking = Pipeline::new();
    for cmd in pipeline.cmd_iter() {
        asking.cmd("ASKING");
        asking.add_command(cmd.clone());
    }
    asking
}

fn too_late(sent: bool) -> Failure {
    let error = Error::new(
        ErrorKind::Timeout,
        "the server did not answer before the deadline of the call",
    );
    Failure::Broken { error, sent }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a real server is given real time"
)]
pub(crate) async fn pause_for(pause: Duration) {
    tokio::time::sleep(pause).await;
}

#[cfg(feature = "deadpool")]
async fn from_pool(pool: &deadpool_redis::Pool, deadline: Duration) -> Result<Connection, Failure> {
    use deadpool_redis::PoolError;
    let taken = timeout(deadline, pool.get()).await;
    match taken {
        Ok(Ok(connection)) => {
            let mut connection = deadpool_redis::Connection::take(connection);
            // Deadlines are the driver's own; the library's would come after half a second.
            connection.set_response_timeout(2 * deadline);
            Ok(Connection::of(connection))
        }
        Ok(Err(PoolError::Backend(error))) => Err(errors::broken(&error, false)),
        Ok(Err(error)) => {
            let full = Error::new(
                ErrorKind::Unavailable,
                "the pool has no connection to spare",
            );
            Err(Failure::Final(full.because(error)))
        }
        Err(_) => Err(too_late(false)),
    }
}

async fn slots_of(client: &Client, longest: Duration) -> Result<Vec<(u16, u16, Address)>, Failure> {
    let connection = connect(client, longest).await;
    let mut connection = connection.map_err(|error| errors::broken(&error, false))?;
    let mut ask = redis::cmd("CLUSTER");
    ask.arg("SLOTS");
    let answer = timeout(longest, ask.query_async::<Value>(&mut connection.commands)).await;
    let answer = answer.map_err(|_| too_late(false))?;
    let answer = answer.map_err(|error| errors::broken(&error, false))?;
    let own = match client.get_connection_info().addr() {
        redis::ConnectionAddr::Tcp(host, _) | redis::ConnectionAddr::TcpTls { host, .. } => {
            host.as_str()
        }
        _ => "",
    };
    match parse_slots(&answer, own) {
        // A node that was taken out of its cluster says so.
        Some(slots) if slots.is_empty() => {
            let error = "the node is in a cluster of no slots";
            Err(Failure::Later(Error::new(ErrorKind::NotReady, error)))
        }
        Some(slots) => Ok(slots),
        None => {
            let error = "the node does not say which slots there are";
            Err(Failure::Final(Error::new(ErrorKind::Unsupported, error)))
        }
    }
}

/// Ranges of slots, each with its master: the first node that is named.
fn parse_slots(answer: &Value, own: &str) -> Option<Vec<(u16, u16, Address)>> {
    let Value::Array(ranges) = answer else {
        return None;
    };
    let number = |value: Option<&Value>| match value {
        Some(Value::Int(number)) => u16::try_from(*number).ok(),
        _ => None,
    };
    let range = |range: &Value| {
        let Value::Array(range) = range else {
            return None;
        };
        let Some(Value::Array(master)) = range.get(2) else {
            return None;
        };
        let host = match master.first() {
            Some(Value::BulkString(host)) if !host.is_empty() => {
                String::from_utf8(host.clone()).ok()?
            }
            _ => own.to_owned(),
        };
        let address = (host, number(master.get(1))?);
        Some((number(range.first())?, number(range.get(1))?, address))
    };
    ranges.iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use redis::{ConnectionAddr, RedisConnectionInfo};
    use tokio::time::advance;

    use super::*;
    use crate::access::Access;

    const DEADLINE: Duration = Duration::from_secs(1);

    fn links(topology: Topology) -> Arc<Links> {
        let runtime = Handle::current();
        let tally = Arc::default();
        Arc::new(Links::new(topology, 1, DEADLINE, runtime, tally))
    }

    /// Nobody connects.
    fn one() -> Arc<Links> {
        let client = Client::open("redis://127.0.0.1").expect("a URL");
        links(Topology::One(client))
    }

    fn later() -> Failed {
        let error = Error::new(ErrorKind::NotReady, "the server loads its data");
        (None, Failure::Later(error))
    }

    fn broken(sent: bool) -> Failed {
        let error = Error::new(ErrorKind::Unavailable, "the connection failed");
        (None, Failure::Broken { error, sent })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_now_is_tried_again_and_again_and_never_in_haste() {
        let links = one();
        let mut course = Course::new(0, links.end(), true);
        let (began, mut pauses) = (Instant::now(), Vec::new());
        let refused = loop {
            let before = Instant::now();
            match links.go_on(&mut course, later()).await {
                Ok(()) => pauses.push(before.elapsed().as_millis()),
                Err(error) => break error,
            }
            assert!(pauses.len() < 100, "{pauses:?}");
        };
        assert_eq!(refused.kind(), ErrorKind::NotReady);
        assert_eq!(pauses[..6], [10, 20, 40, 80, 100, 100]);
        // The next would come too late.
        let left = DEADLINE - began.elapsed();
        assert!(left <= LONGEST, "{left:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_deadline_a_refusal_is_told_of_what_cannot_have_happened() {
        let links = one();
        for (sent, kind) in [(false, ErrorKind::NotReady), (true, ErrorKind::Timeout)] {
            let mut course = Course::new(0, links.end(), true);
            let tried = links.go_on(&mut course, later()).await;
            tried.expect("it is tried again");
            advance(DEADLINE).await;
            let failed = (None, too_late(sent));
            let error = links.go_on(&mut course, failed).await;
            assert_eq!(error.expect_err("it is over").kind(), kind);
        }
        assert_eq!(links.tally.timeouts.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_sent_again_three_times() {
        let links = one();
        let mut course = Course::new(0, links.end(), true);
        for _ in 0..3 {
            let resent = links.go_on(&mut course, broken(true)).await;
            resent.expect("it is sent again");
        }
        let error = links.go_on(&mut course, broken(true)).await;
        let error = error.expect_err("that was enough");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(links.tally.resends.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_happened_once_may_have_happened() {
        let links = one();
        let mut course = Course::new(0, links.end(), true);
        for (sent, again) in [(false, false), (true, true), (false, true)] {
            let resent = links.go_on(&mut course, broken(sent)).await;
            resent.expect("it is sent again");
            assert_eq!(course.sending.again, again);
        }
        // What must not happen twice is sent again only as long as it cannot have happened.
        let mut course = Course::new(0, links.end(), false);
        let resent = links.go_on(&mut course, broken(false)).await;
        resent.expect("it is sent again");
        let error = links.go_on(&mut course, broken(true)).await;
        error.expect_err("it may have happened");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_know_what_it_was_just_told_is_left_alone() {
        let links = one();
        let mut course = Course::new(0, links.end(), true);
        let unknown = || (None, Failure::NoScript);
        let resent = links.go_on(&mut course, unknown()).await;
        resent.expect("it is sent with its source");
        assert!(course.sending.source);
        let error = links.go_on(&mut course, unknown()).await;
        assert_eq!(error.expect_err("no more").kind(), ErrorKind::Other);
    }

    #[tokio::test]
    async fn the_nodes_of_a_cluster_are_listened_to_in_turn() {
        let host = || "10.0.0.1".to_owned();
        let nodes = [1, 2, 3].map(|port| ConnectionAddr::Tcp(host(), port));
        let access = Access {
            login: RedisConnectionInfo::default(),
            tls: false,
            insecure: false,
            #[cfg(feature = "tls")]
            certificates: None,
            connect_timeout: DEADLINE,
        };
        let links = links(Topology::Cluster {
            nodes: nodes.to_vec(),
            access,
        });
        let ports = async || {
            let mut ports = Vec::new();
            for attempt in 0..5 {
                let client = links.listener(attempt).await.expect("a node");
                match client.get_connection_info().addr() {
                    ConnectionAddr::Tcp(_, port) => ports.push(*port),
                    other => panic!("{other:?}"),
                }
            }
            ports
        };
        // Those that were named, until others are known.
        assert_eq!(ports().await, [1, 2, 3, 1, 2]);
        for port in [11, 12] {
            links.node(Arc::new((host(), port)));
        }
        let ports = ports().await;
        assert!(
            ports[..2] == [11, 12] || ports[..2] == [12, 11],
            "{ports:?}"
        );
        assert_eq!((ports[2], ports[3]), (ports[0], ports[1]));
    }

    #[test]
    fn a_node_may_leave_its_own_host_out() {
        let master = Value::Array(vec![Value::BulkString(Vec::new()), Value::Int(7001)]);
        let range = Value::Array(vec![Value::Int(0), Value::Int(100), master]);
        let slots = parse_slots(&Value::Array(vec![range]), "10.0.0.1").expect("slots");
        assert_eq!(slots, [(0, 100, ("10.0.0.1".to_owned(), 7001))]);
        assert_eq!(parse_slots(&Value::Nil, ""), None);
    }

    #[test]
    fn each_master_is_met_at_its_first_slot() {
        let master = |port| Some(Arc::new((String::new(), port)));
        let (one, two, again) = (master(1), master(2), master(1));
        let slots = [None, one.clone(), one.clone(), two, again, None, one];
        assert_eq!(Slots::new(slots.to_vec()).firsts, [1, 3]);
        assert_eq!(Slots::default().firsts, []);
    }
}
