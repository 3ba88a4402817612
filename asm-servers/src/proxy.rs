//! Between a client and a server: counts, and makes trouble.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt, io, mem,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, oneshot, watch},
};

use crate::{Error, Result, frames};

/// A proxy on a free port of the loopback interface, in front of a server that speaks RESP over
/// plain TCP.
///
/// It runs on a thread of its own, until it is dropped.
///
/// ```no_run
/// use asm_servers::{Fate, Proxy, Server};
///
/// let server = Server::start()?;
/// let proxy = Proxy::start(server.addr())?;
/// // ... connect a client to `proxy.url()`, and look what a call of it costs:
/// let before = proxy.counts();
/// // ... one call
/// assert_eq!(proxy.counts().since(&before).round_trips, 1);
///
/// // Every save is done, and nobody is told.
/// proxy.decide(|command| match command.is("EVALSHA") {
///     true => Fate::LoseAnswer,
///     false => Fate::Pass,
/// });
/// # Ok::<(), asm_servers::Error>(())
/// ```
///
/// # What is counted
///
/// Commands are counted as they arrive, and so are *round trips*: a client that writes commands
/// after it was answered, or for the first time, begins one. So a pipeline is one round trip of many
/// commands. When several callers share a connection, the round trips of one are not told from
/// those of another; then only commands mean something.
pub struct Proxy {
    addr: SocketAddr,
    inner: Arc<Inner>,
    /// Dropped, it ends the thread.
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What clients say.
    ToServer,
    /// What the server says.
    ToClient,
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, and its answer too.
    Pass,
    /// The connection ends before it arrives.
    Lose,
    /// It arrives and is run; when its answer comes, the connection ends instead.
    LoseAnswer,
    /// It arrives and is run; neither its answer nor any other comes after it, on this connection.
    NoAnswer,
    /// It arrives after [`Proxy::resume`], also when its client has gone by then; so does what comes
    /// along with it or after it on its connection.
    Late,
}

/// A command on its way.
#[derive(Debug)]
pub struct Command<'a> {
    arguments: &'a [&'a [u8]],
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that clients have made.
    pub connections: u64,
    /// Commands that clients have sent.
    pub commands: u64,
    /// How often a client has sent something after it was answered.
    pub round_trips: u64,
    /// Answers that came back, those included that were then lost.
    pub answers: u64,
    /// Answers that were lost after their command was run.
    pub lost: u64,
    /// Commands by name.
    pub by_name: BTreeMap<String, u64>,
}

/// On all connections together, which may be very many, and on each by its number.
#[derive(Default)]
struct Counted {
    all: Counts,
    each: HashMap<u64, Counts>,
}

type Decide = dyn FnMut(&Command<'_>) -> Fate + Send;

struct Inner {
    upstream: SocketAddr,
    counts: Mutex<Counted>,
    decide: Mutex<Box<Decide>>,
    ways: [Way; 2],
    next: AtomicU64,
    drops: Notify,
    resumes: Notify,
}

/// One direction, for all connections.
struct Way {
    held: watch::Sender<bool>,
    delay: Mutex<Duration>,
}

impl Proxy {
    /// One in front of this server.
    ///
    /// # Errors
    /// When there is no port or thread to be had.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let wrong = |source| Error::io("start", "a proxy")(source);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(wrong)?;
        listener.set_nonblocking(true).map_err(wrong)?;
        let addr = listener.local_addr().map_err(wrong)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(wrong)?;
        let inner = Arc::new(Inner::before(upstream));
        let (end, ended) = oneshot::channel();
        let serving = Arc::clone(&inner);
        let thread = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let listener = TcpListener::from_std(listener).expect("it is non-blocking");
                    tokio::select! {
                        _ = ended => {}
                        () = serving.serve(listener) => {}
                    }
                });
                // Connections end with their tasks, and those with the runtime.
            })
            .map_err(wrong)?;
        Ok(Self {
            addr,
            inner,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// What was counted up to now, on all connections together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        locked(&self.inner.counts).all.clone()
    }

    /// What was counted up to now on each connection, the oldest first, those included that have
    /// ended.
    #[must_use]
    pub fn connections(&self) -> Vec<Counts> {
        let counts = &locked(&self.inner.counts).each;
        let mut numbers: Vec<_> = counts.keys().copied().collect();
        numbers.sort_unstable();
        numbers
            .iter()
            .map(|number| counts[number].clone())
            .collect()
    }

    /// Decides from now on what becomes of each command.
    pub fn decide(&self, decide: impl FnMut(&Command<'_>) -> Fate + Send + 'static) {
        *locked(&self.inner.decide) = Box::new(decide);
    }

    /// Lets every command pass from now on.
    pub fn pass(&self) {
        self.decide(|_| Fate::Pass);
    }

    /// Delays whatever goes this way by so much from now on.
    pub fn delay(&self, direction: Direction, by: Duration) {
        *locked(&self.inner.way(direction).delay) = by;
    }

    /// Holds back whatever goes this way, on every connection, until [`Proxy::resume`]: they stay
    /// open, and half of them is dead.
    pub fn hold(&self, direction: Direction) {
        self.inner.way(direction).held.send_replace(true);
    }

    /// Lets go what was held back.
    pub fn resume(&self) {
        for way in &self.inner.ways {
            way.held.send_replace(false);
        }
        self.inner.resumes.notify_waiters();
    }

    /// Ends every connection that there is.
    pub fn drop_connections(&self) {
        self.inner.drops.notify_waiters();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("addr", &self.addr)
            .field("upstream", &self.inner.upstream)
            .finish_non_exhaustive()
    }
}

impl Command<'_> {
    /// Its name and what follows.
    #[must_use]
    pub fn arguments(&self) -> &[&[u8]] {
        self.arguments
    }

    /// Its name, in capitals.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.arguments.first().copied().unwrap_or_default();
        String::from_utf8_lossy(name).to_ascii_uppercase()
    }

    /// Whether this is its name, whatever the case of its letters.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.arguments
            .first()
            .is_some_and(|own| own.eq_ignore_ascii_case(name.as_bytes()))
    }
}

impl Counts {
    /// What came after an earlier look.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let by_name = self.by_name.iter().filter_map(|(name, count)| {
            let before = earlier.by_name.get(name).copied().unwrap_or(0);
            (*count > before).then(|| (name.clone(), count - before))
        });
        Self {
            connections: self.connections - earlier.connections,
            commands: self.commands - earlier.commands,
            round_trips: self.round_trips - earlier.round_trips,
            answers: self.answers - earlier.answers,
            lost: self.lost - earlier.lost,
            by_name: by_name.collect(),
        }
    }

    /// How many commands of this name there were.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.by_name.get(name).copied().unwrap_or(0)
    }
}

impl Inner {
    fn before(upstream: SocketAddr) -> Self {
        let way = || Way {
            held: watch::Sender::new(false),
            delay: Mutex::default(),
        };
        Self {
            upstream,
            counts: Mutex::default(),
            decide: Mutex::new(Box::new(|_| Fate::Pass)),
            ways: [way(), way()],
            next: AtomicU64::new(0),
            drops: Notify::new(),
            resumes: Notify::new(),
        }
    }

    fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::ToServer => &self.ways[0],
            Direction::ToClient => &self.ways[1],
        }
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            // A client that is gone before it was accepted is no reason to end.
            let Ok((client, _)) = listener.accept().await else {
                continue;
            };
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let inner = Arc::clone(&self);
            tokio::spawn(async move {
                let dropped = inner.drops.notified();
                tokio::select! {
                    () = dropped => {}
                    // Either side has ended, and so ends the other.
                    _ = inner.connect(number, client) => {}
                }
            });
        }
    }

    async fn connect(&self, number: u64, client: TcpStream) -> io::Result<()> {
        self.count(number, |counts| counts.connections += 1);
        let server = TcpStream::connect(self.upstream).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let line = Line::default();
        tokio::select! {
            over = self.carry_commands(number, &line, from_client, to_server) => over,
            over = self.carry_answers(number, &line, from_server, to_client) => over,
        }
    }

    async fn carry_commands(
        &self,
        number: u64,
        line: &Line,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> io::Result<()> {
        let (mut bytes, mut seen) = (Vec::new(), 0);
        loop {
            read_some(&mut from, &mut bytes).await?;
            while let Some(found) = frames::command(&bytes[seen..])? {
                let frame = &bytes[seen..seen + found.length];
                let arguments: Vec<_> = found
                    .arguments
                    .into_iter()
                    .map(|range| &frame[range])
                    .collect();
                let command = Command {
                    arguments: &arguments,
                };
                let mut fate = (locked(&self.decide))(&command);
                if fate == Fate::Late {
                    self.resumes.notified().await;
                    fate = Fate::Pass;
                }
                if fate == Fate::Lose {
                    return self
                        .forward(Direction::ToServer, &mut to, &bytes[..seen])
                        .await;
                }
                let begins = line.sent(fate);
                self.count(number, |counts| {
                    counts.commands += 1;
                    counts.round_trips += u64::from(begins);
                    *counts.by_name.entry(command.name()).or_default() += 1;
                });
                seen += found.length;
            }
            // Else the rest is on its way. What a client writes at once the server gets at once,
            // and does not answer one half before it has seen the other.
            if seen == bytes.len() {
                self.forward(Direction::ToServer, &mut to, &bytes).await?;
                (bytes, seen) = (Vec::new(), 0);
            }
        }
    }

    async fn carry_answers(
        &self,
        number: u64,
        line: &Line,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            read_some(&mut from, &mut bytes).await?;
            let mut whole = 0;
            while let Some(answer) = frames::answer(&bytes[whole..])? {
                let fate = match answer.push {
                    true => Fate::Pass,
                    false => line.answered(),
                };
                self.count(number, |counts| {
                    counts.answers += u64::from(!answer.push);
                    counts.lost += u64::from(fate != Fate::Pass);
                });
                if fate != Fate::Pass {
                    self.forward(Direction::ToClient, &mut to, &bytes[..whole])
                        .await?;
                    if fate == Fate::NoAnswer {
                        std::future::pending::<()>().await;
                    }
                    return Ok(());
                }
                whole += answer.length;
            }
            let rest = bytes.split_off(whole);
            self.forward(Direction::ToClient, &mut to, &bytes).await?;
            bytes = rest;
        }
    }

    async fn forward(
        &self,
        direction: Direction,
        to: &mut OwnedWriteHalf,
        bytes: &[u8],
    ) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let way = self.way(direction);
        let delay = *locked(&way.delay);
        if !delay.is_zero() {
            pause(delay).await;
        }
        // The sender lives as long as this.
        let _ = way.held.subscribe().wait_for(|held| !held).await;
        to.write_all(bytes).await
    }

    fn count(&self, number: u64, change: impl Fn(&mut Counts)) {
        let mut counts = locked(&self.counts);
        change(&mut counts.all);
        change(counts.each.entry(number).or_default());
    }
}

/// What is under way on one connection.
#[derive(Default)]
struct Line(Mutex<UnderWay>);

#[derive(Default)]
struct UnderWay {
    /// The fates of the commands that are not answered yet.
    open: VecDeque<Fate>,
    /// Whether a command has been sent after the last answer.
    spoken: bool,
}

impl Line {
    /// Whether this command begins a round trip.
    fn sent(&self, fate: Fate) -> bool {
        let mut under_way = locked(&self.0);
        under_way.open.push_back(fate);
        !mem::replace(&mut under_way.spoken, true)
    }

    /// The fate of the command that is answered now.
    fn answered(&self) -> Fate {
        let mut under_way = locked(&self.0);
        under_way.spoken = false;
        // What is published needs no command.
        under_way.open.pop_front().unwrap_or(Fate::Pass)
    }
}

impl From<frames::Malformed> for io::Error {
    fn from(_: frames::Malformed) -> Self {
        Self::new(io::ErrorKind::InvalidData, "no RESP")
    }
}

/// Reads all that is there, at least one byte.
async fn read_some(from: &mut OwnedReadHalf, bytes: &mut Vec<u8>) -> io::Result<()> {
    if from.read_buf(bytes).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    loop {
        match from.try_read_buf(bytes) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a slow network is what is asked for"
)]
async fn pause(by: Duration) {
    tokio::time::sleep(by).await;
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
