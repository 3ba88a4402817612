//! What a driver can be told.

use std::{
    fmt::{self, Debug},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use asm_core::{Clock, Error, ErrorKind, Result, Timestamp};
use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use crate::{
    RedisDriver,
    access::{Access, Credentials, Place, Topology},
    driver::Settings,
    keys::Prefix,
    time::MonotonicClock,
};

/// Where the sessions are, and how to get at them: made by [`RedisDriver::builder`].
///
/// ```no_run
/// use std::time::Duration;
/// use asm_redis::RedisDriver;
///
/// # async fn example() -> asm_core::Result<()> {
/// let driver = RedisDriver::builder()
///     .url("rediss://db.example.org/2")
///     .credentials("asm", "a password from elsewhere")
///     .prefix("shop")
///     .deadline(Duration::from_secs(2))
///     .connect()
///     .await?;
/// # drop(driver);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is connected before `connect`"]
pub struct RedisBuilder {
    url: String,
    servers: Servers,
    credentials: Credentials,
    sentinel_credentials: Credentials,
    protocol: Option<ProtocolVersion>,
    #[cfg(feature = "tls")]
    certificates: Option<redis::TlsCertificates>,
    prefix: String,
    connections: usize,
    deadline: Duration,
    connect_timeout: Duration,
    recheck: Duration,
    max_record: usize,
    stage_above: usize,
    notifications: bool,
    check: bool,
    clock: Option<Arc<dyn Clock>>,
    time: Option<SteppedTime>,
}

/// Which servers, beside the URL.
#[derive(Clone)]
enum Servers {
    /// The one of the URL.
    One,
    /// The master of this name, as the sentinels tell it.
    Sentinel {
        sentinels: Vec<String>,
        name: String,
    },
    /// A cluster, found from any of these nodes.
    Cluster { nodes: Vec<String> },
    /// The pool, and whom to listen to.
    #[cfg(feature = "deadpool")]
    Pool(deadpool_redis::Pool, Option<redis::Client>),
}

/// Time that a test moves, for all drivers that share it. It is what scripts take for the time, and
/// what is kept for a while is kept [`SteppedTime::SLOWER`] times as long, so that the time that
/// passes on the server cannot be told.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct SteppedTime(Arc<AtomicU64>);

impl SteppedTime {
    /// How much slower everything ends on the server.
    pub const SLOWER: u32 = 10_000;

    /// A time that begins here.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(now.as_micros())))
    }

    /// Moves it.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl RedisBuilder {
    pub(crate) fn new() -> Self {
        Self::on(Servers::One)
    }

    #[cfg(feature = "deadpool")]
    pub(crate) fn from_pool(pool: deadpool_redis::Pool) -> Self {
        Self::on(Servers::Pool(pool, None))
    }

    fn on(servers: Servers) -> Self {
        Self {
            url: "redis://127.0.0.1".to_owned(),
            servers,
            credentials: Credentials::default(),
            sentinel_credentials: Credentials::default(),
            protocol: None,
            #[cfg(feature = "tls")]
            certificates: None,
            prefix: "asm".to_owned(),
            connections: 1,
            deadline: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            recheck: Duration::from_secs(1),
            max_record: 1 << 20,
            stage_above: 1024,
            notifications: true,
            check: true,
            clock: None,
            time: None,
        }
    }

    /// The server: `redis://[user[:password]@]host[:port][/database]`, `rediss://…` for TLS,
    /// `redis+unix:///path` for a unix socket; `?protocol=resp3` speaks RESP3. By default
    /// `redis://127.0.0.1`.
    ///
    /// With [`sentinel`](Self::sentinel) or [`cluster`](Self::cluster) the user, password, database
    /// and protocol of this URL, and whether it says TLS, are those of the nodes; its host is not
    /// looked at.
    ///
    /// Two more forms stand for those methods: `redis+sentinel://[user[:password]@]host:port[,…]/name[/database]`
    /// and `redis+cluster://[user[:password]@]host:port[,…]`, or `rediss+…` for TLS.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// The master that Sentinel calls by this name, found and found again by asking these sentinels
    /// (`redis://host:port`, or `rediss://…`). Whoever says to be the master is asked for its role.
    pub fn sentinel(
        mut self,
        name: impl Into<String>,
        sentinels: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.servers = Servers::Sentinel {
            sentinels: sentinels.into_iter().map(Into::into).collect(),
            name: name.into(),
        };
        self
    }

    /// A cluster, found from any of these nodes (`redis://host:port`, or `rediss://…`).
    pub fn cluster(mut self, nodes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.servers = Servers::Cluster {
            nodes: nodes.into_iter().map(Into::into).collect(),
        };
        self
    }

    /// Who we are to the servers, instead of what the URL says. An empty user is `default`.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Credentials::new(user.into(), password.into());
        self
    }

    /// Who we are to the sentinels, instead of what their URLs say.
    pub fn sentinel_credentials(
        mut self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        self.sentinel_credentials = Credentials::new(user.into(), password.into());
        self
    }

    /// Which protocol to speak, instead of what the URL says; RESP2 by default.
    pub fn protocol(mut self, protocol: ProtocolVersion) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Certificates for TLS in PEM: of the authority that signed the servers' (`None` for those of
    /// the system), and our own with its key if the servers ask for one.
    #[cfg(feature = "tls")]
    pub fn certificates(
        mut self,
        authority: Option<Vec<u8>>,
        own: Option<redis::ClientTlsConfig>,
    ) -> Self {
        self.certificates = Some(redis::TlsCertificates {
            client_tls: own,
            root_cert: authority,
        });
        self
    }

    /// Whom to listen to for wake-ups and changes: the server of the pool. A pool hands out no
    /// connection that can listen; without this a waiter learns of its turn by its recheck alone,
    /// and there is no feed. For a driver without a pool this does nothing.
    #[cfg(feature = "deadpool")]
    pub fn listen_to(mut self, client: redis::Client) -> Self {
        if let Servers::Pool(_, listener) = &mut self.servers {
            *listener = Some(client);
        }
        self
    }

    /// What all keys and channels begin with, `asm` by default: 1 to 64 bytes of letters, digits
    /// and `-`, `_`, `.`, `:`, `/`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many connections to hold to each node, 1 by default and 64 at most. They are shared by
    /// all callers; all commands of a session go through the same one. One is enough up to about
    /// 10^5 commands in a second.
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }

    /// When a call ends at the latest, 2 s by default, whatever the servers do, and however many
    /// commands it consists of. A lock that is waited for has its own time; this begins anew with
    /// each look that the wait consists of.
    pub fn deadline(mut self, longest: Duration) -> Self {
        self.deadline = longest;
        self
    }

    /// How long making one connection may take, 1 s by default.
    pub fn connect_timeout(mut self, longest: Duration) -> Self {
        self.connect_timeout = longest;
        self
    }

    /// How often a waiter looks again when nothing wakes it: 1 s by default, 1 ms at least. A
    /// hand-off is provisional for twice that time. All processes should agree.
    pub fn recheck(mut self, interval: Duration) -> Self {
        self.recheck = interval.max(Duration::from_millis(1));
        self
    }

    /// The largest record in bytes, 1 MiB by default and 256 MiB at most; also the most that the
    /// lockless fields of one session may weigh. More is refused as `TooLarge`.
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.max_record = bytes.min(256 << 20);
        self
    }

    /// Above which size in bytes a record is written beside its place first and then moved there, in
    /// the same round trip, so that it does not travel through a script: 1 KiB by default. From there on
    /// that costs the server less: 10.9 µs for a save of 2 KiB instead of 12.9, and 25 for one of
    /// 64 KiB instead of 166 (Redis 7.0).
    pub fn stage_above(mut self, bytes: usize) -> Self {
        self.stage_above = bytes;
        self
    }

    /// Without notifications a waiter learns of its turn by its recheck alone, and there is no
    /// feed: for users who may not subscribe.
    pub fn without_notifications(mut self) -> Self {
        self.notifications = false;
        self
    }

    /// Leaves the check of the server out that [`connect`](Self::connect) makes.
    pub fn without_check(mut self) -> Self {
        self.check = false;
        self
    }

    /// What waits of this driver's waiters are timed with; tokio's time by default. The time of
    /// everything that is stored is the server's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Lets a test move the time of what is stored.
    #[doc(hidden)]
    pub fn time(mut self, time: SteppedTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Connects, loads the scripts and checks the server: its version, that it evicts nothing (a
    /// warning), and that we may do what the driver does.
    ///
    /// Needs a tokio runtime, which the driver keeps using.
    ///
    /// # Errors
    /// `Invalid` for a URL, prefix or certificate that cannot be used; `Unsupported` for a server
    /// that is too old; `Denied` and `Unauthenticated` when it does not let us; those of the
    /// connection.
    pub async fn connect(self) -> Result<RedisDriver> {
        let check = self.check;
        let driver = self.build().map_err(connecting)?;
        if check {
            driver.check().await.map_err(connecting)?;
        }
        Ok(driver)
    }

    fn build(self) -> Result<RedisDriver> {
        let settings = Settings {
            prefix: Prefix::new(&self.prefix)?,
            deadline: self.deadline,
            recheck: self.recheck,
            max_record: self.max_record,
            stage_above: self.stage_above,
            clock: self
                .clock
                .clone()
                .unwrap_or_else(|| Arc::new(MonotonicClock::new())),
            time: self.time.clone(),
            notifications: self.notifications,
        };
        let connections = self.connections.clamp(1, 64);
        RedisDriver::over(self.topology()?, connections, settings)
    }

    fn topology(self) -> Result<Topology> {
        let place = Place::parse(&self.url)?;
        let servers = match (self.servers, place.servers) {
            (Servers::One, crate::access::Named::Sentinel(sentinels, name)) => {
                Servers::Sentinel { sentinels, name }
            }
            (Servers::One, crate::access::Named::Cluster(nodes)) => Servers::Cluster { nodes },
            (servers, _) => servers,
        };
        let (address, mut login) = place.node;
        if let Some(protocol) = self.protocol {
            login = login.set_protocol(protocol);
        }
        let access = Access {
            login: self.credentials.apply(login),
            tls: matches!(address, ConnectionAddr::TcpTls { .. }),
            insecure: matches!(address, ConnectionAddr::TcpTls { insecure: true, .. }),
            #[cfg(feature = "tls")]
            certificates: self.certificates,
            connect_timeout: self.connect_timeout,
        };
        Ok(match servers {
            Servers::One => Topology::One(access.client(address)?),
            Servers::Sentinel { sentinels, name } => {
                let sentinels = sentinels
                    .iter()
                    .map(|url| sentinel(url, &access, &self.sentinel_credentials))
                    .collect::<Result<Vec<_>>>()?;
                if sentinels.is_empty() {
                    return Err(invalid("no sentinel is named"));
                }
                Topology::Sentinel {
                    sentinels,
                    name,
                    access,
                }
            }
            Servers::Cluster { nodes } => {
                let nodes = nodes
                    .iter()
                    .map(|url| Ok(parse(url)?.addr().clone()))
                    .collect::<Result<Vec<_>>>()?;
                if nodes.is_empty() {
                    return Err(invalid("no node of the cluster is named"));
                }
                Topology::Cluster { nodes, access }
            }
            #[cfg(feature = "deadpool")]
            Servers::Pool(pool, listener) => Topology::Pool { pool, listener },
        })
    }
}

impl Debug for RedisBuilder {
    /// Shows no server and no credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("prefix", &self.prefix)
            .field("connections", &self.connections)
            .field("deadline", &self.deadline)
            .field("recheck", &self.recheck)
            .field("max_record", &self.max_record)
            .finish_non_exhaustive()
    }
}

/// How to ask a sentinel: as we reach the nodes, but as whom its own URL or the option says.
fn sentinel(url: &str, nodes: &Access, credentials: &Credentials) -> Result<redis::Client> {
    let info = parse(url)?;
    let login = RedisConnectionInfo::default();
    let login = Credentials::of(info.redis_settings()).apply(login);
    let access = Access {
        login: credentials.apply(login),
        ..nodes.clone()
    };
    access.client(info.addr().clone())
}

pub(crate) fn parse(url: &str) -> Result<redis::ConnectionInfo> {
    // The source is not kept: it may show the URL, and with it the password.
    url.into_connection_info()
        .map_err(|_| invalid("this is not the URL of a Redis server"))
}

pub(crate) fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn connecting(error: Error) -> Error {
    error.during("connect").by("redis")
}
