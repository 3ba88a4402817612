//! A master with two replicas, watched by three sentinels.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Error, Result, Server, ServerBuilder,
    server::{Kind, field_of},
    until,
    warden::Warden,
};

/// A master with two replicas, watched by three sentinels that have a password of their own.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
    password: String,
}

/// What the group should be like.
#[derive(Clone, Debug)]
pub struct SentinelsBuilder {
    server: ServerBuilder,
    password: String,
    down_after: Duration,
    warden: Option<Arc<Warden>>,
}

/// A change of master, as the sentinels have told it.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    /// The master before.
    pub from: SocketAddr,
    /// The master now: it has the role and takes writes.
    pub to: SocketAddr,
    /// When the first sentinel named the new one.
    pub seen: Instant,
}

impl Sentinels {
    /// The name under which the sentinels know the master.
    pub const MASTER: &str = "asm";

    /// A group whose servers have no password.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// A group with wishes.
    #[must_use]
    pub fn builder() -> SentinelsBuilder {
        SentinelsBuilder {
            server: Server::builder(),
            password: "of-the-sentinels".to_owned(),
            down_after: Duration::from_millis(500),
            warden: None,
        }
    }

    /// The password of the sentinels, which is not that of the servers.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The three sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// The three servers; which of them is the master changes.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Who is the master now, as the sentinels that answer say in agreement.
    ///
    /// # Errors
    /// When no sentinel answers, or they do not agree in time.
    pub fn master(&self) -> Result<&Server> {
        let addr = until("an agreement on the master", || self.agreed())?;
        self.at(addr)
    }

    /// The servers that are not the master.
    ///
    /// # Errors
    /// As [`Sentinels::master`].
    pub fn replicas(&self) -> Result<Vec<&Server>> {
        let master = self.master()?.port();
        let servers = self.servers.iter();
        Ok(servers.filter(|server| server.port() != master).collect())
    }

    /// Makes a replica the master, as an operator would: `SENTINEL FAILOVER`. Returns when the new
    /// one is master.
    ///
    /// # Errors
    /// When it does not happen in time.
    pub fn failover(&self) -> Result<Switch> {
        let from = self.master()?.addr();
        let sentinel = self.sentinels.first().expect("there are three");
        until("a failover", || {
            // There may be no replica that is good enough yet, or another failover under way.
            sentinel
                .call::<()>(&["SENTINEL", "FAILOVER", Self::MASTER])
                .map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))
        })?;
        self.switched(from)
    }

    /// Waits until another than this is the master, after it was killed or stopped.
    ///
    /// # Errors
    /// When it does not happen in time.
    pub fn switched(&self, from: SocketAddr) -> Result<Switch> {
        let to = until("another master", || {
            let said = self.said();
            said.iter()
                .copied()
                .find(|addr| *addr != from)
                .ok_or_else(|| format!("{said:?}"))
        })?;
        let seen = Instant::now();
        let server = self.at(to)?;
        until("the role of a master", || role_is(server, "master"))?;
        Ok(Switch { from, to, seen })
    }

    /// Waits until each server is there, the master has two replicas that follow it, and each
    /// sentinel knows the others.
    ///
    /// # Errors
    /// When it does not happen in time.
    pub fn ready(&self) -> Result<()> {
        until("a group that is whole", || self.whole())
    }

    /// Whether all of this is so at the same time: the master may change meanwhile.
    fn whole(&self) -> Result<(), String> {
        let master = self.agreed()?;
        for server in &self.servers {
            match server.addr() == master {
                true => two_replicas(server)?,
                false => follows(server)?,
            }
        }
        self.sentinels.iter().try_for_each(knows_all)
    }

    fn agreed(&self) -> Result<SocketAddr, String> {
        let mut said = self.said();
        said.dedup();
        match said[..] {
            [addr] => Ok(addr),
            _ => Err(format!("{said:?}")),
        }
    }

    pub(crate) fn leave(self) {
        self.servers.into_iter().for_each(Server::leave);
        self.sentinels.into_iter().for_each(Server::leave);
    }

    /// What each sentinel that answers says about the master's address.
    fn said(&self) -> Vec<SocketAddr> {
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::MASTER];
        let answers = self.sentinels.iter().filter_map(|sentinel| {
            let (ip, port): (String, String) =
                sentinel.ask(&question, Duration::from_millis(500)).ok()?;
            Some(SocketAddr::new(
                ip.parse::<IpAddr>().ok()?,
                port.parse().ok()?,
            ))
        });
        answers.collect()
    }

    fn at(&self, addr: SocketAddr) -> Result<&Server> {
        let mut servers = self.servers.iter();
        servers
            .find(|server| server.addr() == addr)
            .ok_or_else(|| Error::Impossible(format!("the master is a stranger, {addr}")))
    }
}

impl SentinelsBuilder {
    /// Clients of the three servers need this password.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.server = self.server.password(password);
        self
    }

    /// Clients of the sentinels need this password.
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.password = password.into();
        self
    }

    /// How long a master must be silent before the sentinels replace it; half a second otherwise.
    #[must_use]
    pub fn down_after(mut self, silence: Duration) -> Self {
        self.down_after = silence;
        self
    }

    /// A line of the configuration of each of the three servers.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.server = self.server.line(line);
        self
    }

    /// Starts it; [`Sentinels::ready`] when this returns.
    ///
    /// # Errors
    /// As [`ServerBuilder::start`].
    pub fn start(self) -> Result<Sentinels> {
        let server = self.server.clone().warden(self.warden.clone());
        let master = server.clone().name("master").start()?;
        let port = master.port();
        let mut servers = vec![master];
        for name in ["replica 1", "replica 2"] {
            let follow = format!("replicaof 127.0.0.1 {port}");
            servers.push(server.clone().name(name).line(follow).start()?);
        }
        let mut sentinels = Vec::new();
        for number in 1..=3 {
            let sentinel = self
                .sentinel(&servers[0])
                .name(format!("sentinel {number}"));
            sentinels.push(sentinel.start()?);
        }
        let group = Sentinels {
            servers,
            sentinels,
            password: self.password,
        };
        group.ready()?;
        Ok(group)
    }

    pub(crate) fn warden(mut self, warden: Arc<Warden>) -> Self {
        self.warden = Some(warden);
        self
    }

    fn sentinel(&self, master: &Server) -> ServerBuilder {
        let name = Sentinels::MASTER;
        let milliseconds = self.down_after.as_millis();
        let mut sentinel = Server::builder()
            .kind(Kind::Sentinel)
            .warden(self.warden.clone())
            .password(&self.password)
            .line(format!("sentinel sentinel-pass {}", self.password))
            .line(format!(
                "sentinel monitor {name} 127.0.0.1 {} 2",
                master.port()
            ))
            .line(format!(
                "sentinel down-after-milliseconds {name} {milliseconds}"
            ))
            .line(format!("sentinel failover-timeout {name} 2000"));
        if let Some(password) = master.password() {
            sentinel = sentinel.line(format!("sentinel auth-pass {name} {password}"));
        }
        sentinel
    }
}

fn role_is(server: &Server, role: &str) -> Result<(), String> {
    match field(server, "role")? {
        now if now == role => Ok(()),
        now => Err(now),
    }
}

fn two_replicas(server: &Server) -> Result<(), String> {
    match field(server, "connected_slaves")? {
        count if count == "2" => Ok(()),
        count => Err(count),
    }
}

pub(crate) fn follows(server: &Server) -> Result<(), String> {
    match field(server, "master_link_status")? {
        status if status == "up" => Ok(()),
        status => Err(status),
    }
}

fn field(server: &Server, name: &str) -> Result<String, String> {
    let info: String = server
        .ask(&["INFO", "replication"], Duration::from_secs(1))
        .map_err(|error| error.to_string())?;
    let value = field_of(&info, name);
    value.map(str::to_owned).ok_or_else(|| format!("no {name}"))
}

fn knows_all(sentinel: &Server) -> Result<(), String> {
    let info: String = sentinel
        .ask(&["INFO", "sentinel"], Duration::from_secs(1))
        .map_err(|error| error.to_string())?;
    let line = field_of(&info, "master0").unwrap_or_default();
    let known = ["status=ok", "slaves=2", "sentinels=3"];
    match known
        .iter()
        .all(|word| line.split(',').any(|part| part == *word))
    {
        true => Ok(()),
        false => Err(line.to_owned()),
    }
}
