//! Servers that the processes of a test run share.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    Cluster, Error, Result, Sentinels, Server, place, until,
    warden::{self, Warden},
};

/// Servers that are there once for all processes of a test run, on one machine.
///
/// The first process that asks starts them; they end some seconds after the last value of this
/// kind is gone, in whichever process, and however that ended. So a suite pays for a Cluster once,
/// also when each of its tests is a process of its own.
///
/// They are for cases that do their server no harm, and that bring a namespace of their own: others
/// use them at the same moment. None has a password, but the sentinels have their own.
///
/// ```no_run
/// use asm_servers::Shared;
///
/// let cluster = Shared::cluster()?;
/// let nodes: Vec<String> = cluster.servers().iter().map(|node| node.url()).collect();
/// # Ok::<(), asm_servers::Error>(())
/// ```
#[derive(Debug)]
pub struct Shared {
    found: Found,
    /// Held open for as long as this value lives.
    _user: File,
}

/// What there is to know about one of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Address {
    /// Where it listens on the loopback interface.
    pub addr: SocketAddr,
    /// Its unix socket. A sentinel has none.
    pub socket: PathBuf,
}

/// What the first process tells the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Found {
    directory: PathBuf,
    servers: Vec<Address>,
    sentinels: Vec<Address>,
    password: String,
}

/// How long they stay when nobody is left, for a test that is about to begin.
const LINGER: Duration = Duration::from_secs(10);

/// A machine under load is no reason to change the roles of those that everybody uses.
const UNDISTURBED: Duration = Duration::from_secs(30);

impl Shared {
    /// One server.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn server() -> Result<Self> {
        Self::named("server", |warden| {
            let server = Server::builder().warden(Some(warden)).start()?;
            let found = (addresses([&server]), Vec::new(), String::new());
            server.leave();
            Ok(found)
        })
    }

    /// A master with two replicas and three sentinels.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn sentinel() -> Result<Self> {
        Self::named("sentinel", |warden| {
            let builder = Sentinels::builder().down_after(UNDISTURBED);
            let group = builder.warden(warden).start()?;
            let servers = addresses(group.servers());
            let found = (
                servers,
                addresses(group.sentinels()),
                group.password().to_owned(),
            );
            group.leave();
            Ok(found)
        })
    }

    /// Three masters with a replica each.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn cluster() -> Result<Self> {
        Self::named("cluster", |warden| {
            let builder = Cluster::builder().node_timeout(UNDISTURBED);
            let cluster = builder.warden(warden).start()?;
            let found = (addresses(cluster.nodes()), Vec::new(), String::new());
            cluster.leave();
            Ok(found)
        })
    }

    /// The servers, those with data: the one, the master first, or the masters of the Cluster
    /// first.
    #[must_use]
    pub fn servers(&self) -> &[Address] {
        &self.found.servers
    }

    /// The sentinels, if there are any.
    #[must_use]
    pub fn sentinels(&self) -> &[Address] {
        &self.found.sentinels
    }

    /// The password of the sentinels, if there are any.
    #[must_use]
    pub fn sentinel_password(&self) -> &str {
        &self.found.password
    }

    /// Joins those of this kind, and starts them if there are none.
    fn named(
        kind: &str,
        start: impl FnOnce(Arc<Warden>) -> Result<(Vec<Address>, Vec<Address>, String)>,
    ) -> Result<Self> {
        let registry = place::registry()?;
        let entry = registry.join(kind);
        // One at a time: whoever comes while they are being started waits for that.
        let path = registry.join(format!("{kind}.lock"));
        let lock = File::create(&path).map_err(Error::io("make", &path))?;
        lock.lock().map_err(Error::io("lock", &path))?;
        if let Some(shared) = joined(&entry) {
            return Ok(shared);
        }
        let warden = Warden::of_all_processes(LINGER)?;
        let directory = warden.directory().to_owned();
        let (servers, sentinels, password) = start(Arc::clone(&warden))?;
        let found = Found {
            directory,
            servers,
            sentinels,
            password,
        };
        let text = serde_json::to_vec(&found).expect("paths that are text");
        fs::write(&entry, text).map_err(Error::io("write", &entry))?;
        // It has read all that it was told before it reads this.
        until("the shared servers", || {
            joined(&entry).ok_or_else(|| "nothing".to_owned())
        })
    }
}

impl Address {
    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// The URL of its unix socket.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("redis+unix://{}", self.socket.display())
    }
}

fn addresses<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Vec<Address> {
    let servers = servers.into_iter();
    servers
        .map(|server| Address {
            addr: server.addr(),
            socket: server.socket(),
        })
        .collect()
}

/// One more user of what stands there, if it is alive.
fn joined(entry: &Path) -> Option<Shared> {
    let found: Found = serde_json::from_slice(&fs::read(entry).ok()?).ok()?;
    let user = warden::join(&found.directory)?;
    let mut all = found.servers.iter().chain(&found.sentinels);
    let alive = all.all(|address| TcpStream::connect(address.addr).is_ok());
    alive.then_some(Shared { found, _user: user })
}
