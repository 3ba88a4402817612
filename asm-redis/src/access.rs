//! How to reach servers: addresses, credentials, TLS.

use std::{
    fmt::{self, Debug},
    time::Duration,
};

use asm_core::{Error, ErrorKind, Result};
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    Value, io::tcp::TcpSettings,
};

use crate::{
    builder::{invalid, parse},
    connection::{Connection, connect, in_time},
    errors::{self, Failure},
};

/// Where connections come from.
pub(crate) enum Topology {
    /// One server.
    One(Client),
    /// One server, or whatever the pool connects to.
    #[cfg(feature = "deadpool")]
    Pool {
        pool: deadpool_redis::Pool,
        listener: Option<Client>,
    },
    /// The master that the sentinels name.
    Sentinel {
        sentinels: Vec<Client>,
        name: String,
        access: Access,
    },
    /// The nodes of a cluster.
    Cluster {
        nodes: Vec<ConnectionAddr>,
        access: Access,
    },
}

/// Everything about a connection but its address.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) login: RedisConnectionInfo,
    pub(crate) tls: bool,
    pub(crate) insecure: bool,
    #[cfg(feature = "tls")]
    pub(crate) certificates: Option<redis::TlsCertificates>,
    pub(crate) connect_timeout: Duration,
}

impl Access {
    /// A client for this address.
    pub(crate) fn client(&self, address: ConnectionAddr) -> Result<Client> {
        let info = address
            .into_connection_info()
            .map_err(|_| invalid("this is not the address of a Redis server"))?
            .set_redis_settings(self.login.clone())
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        self.open(info)
            .map_err(|error| invalid("no client can be made with these settings").because(error))
    }

    /// A client for a node that another one has named.
    pub(crate) fn node(&self, host: String, port: u16) -> Result<Client> {
        self.client(if self.tls {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: self.insecure,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        })
    }

    #[cfg(feature = "tls")]
    fn open(&self, info: ConnectionInfo) -> redis::RedisResult<Client> {
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            provide_cryptography();
        }
        match (&self.certificates, info.addr()) {
            (Some(certificates), ConnectionAddr::TcpTls { .. }) => {
                Client::build_with_tls(info, certificates.clone())
            }
            _ => Client::open(info),
        }
    }

    #[cfg(not(feature = "tls"))]
    fn open(&self, info: ConnectionInfo) -> redis::RedisResult<Client> {
        Client::open(info)
    }
}

/// TLS takes the process's provider of cryptography, and panics where there is none and several could
/// be meant: then it is this one.
#[cfg(feature = "tls")]
fn provide_cryptography() {
    use rustls::crypto::{CryptoProvider, ring};
    if CryptoProvider::get_default().is_none() {
        // Fails when somebody else was first, which is as good.
        let _ = ring::default_provider().install_default();
    }
}

/// A user and a password, or neither.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    user: Option<String>,
    password: Option<String>,
}

impl Credentials {
    pub(crate) fn new(user: String, password: String) -> Self {
        Self {
            user: Some(user).filter(|user| !user.is_empty()),
            password: Some(password),
        }
    }

    pub(crate) fn of(login: &RedisConnectionInfo) -> Self {
        Self {
            user: login.username().map(str::to_owned),
            password: login.password().map(str::to_owned),
        }
    }

    /// These, where there are any.
    pub(crate) fn apply(&self, mut login: RedisConnectionInfo) -> RedisConnectionInfo {
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        login
    }
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// What a URL says.
pub(crate) struct Place {
    pub(crate) node: (ConnectionAddr, RedisConnectionInfo),
    pub(crate) servers: Named,
}

/// Which servers a URL names.
pub(crate) enum Named {
    /// The one.
    One,
    /// Sentinels, and what they call the master.
    Sentinel(Vec<String>, String),
    /// Nodes of a cluster.
    Cluster(Vec<String>),
}

impl Place {
    /// Reads a URL of the server, or one of our forms for several.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let several = url.split_once("://").and_then(|(scheme, rest)| {
            let (scheme, kind) = scheme.split_once('+')?;
            Some((scheme, kind, rest))
        });
        match several {
            Some((scheme, "sentinel", rest)) => Self::sentinel(scheme, rest),
            Some((scheme, "cluster", rest)) => Self::cluster(scheme, rest),
            _ => Self::one(url, Named::One),
        }
    }

    fn one(url: &str, servers: Named) -> Result<Self> {
        let info = parse(url)?;
        Ok(Self {
            node: (info.addr().clone(), info.redis_settings().clone()),
            servers,
        })
    }

    fn sentinel(scheme: &str, rest: &str) -> Result<Self> {
        let several = Several::split(rest);
        let (name, database) = several.path.split_once('/').unwrap_or((several.path, ""));
        if name.is_empty() {
            return Err(invalid("the URL does not say what the master is called"));
        }
        let node = several.node(scheme, database)?;
        Self::one(
            &node,
            Named::Sentinel(several.urls(scheme), name.to_owned()),
        )
    }

    fn cluster(scheme: &str, rest: &str) -> Result<Self> {
        let several = Several::split(rest);
        let node = several.node(scheme, "")?;
        Self::one(&node, Named::Cluster(several.urls(scheme)))
    }
}

/// The parts of `[user[:password]@]host:port[,host:port…][/path][?query]`.
struct Several<'a> {
    login: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
    query: &'a str,
}

impl<'a> Several<'a> {
    fn split(rest: &'a str) -> Self {
        let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let at = authority.rfind('@').map_or(0, |at| at + 1);
        let (login, hosts) = authority.split_at(at);
        Self {
            login,
            hosts: hosts.split(',').filter(|host| !host.is_empty()).collect(),
            path,
            query,
        }
    }

    fn node(&self, scheme: &str, database: &str) -> Result<String> {
        let host = self.hosts.first();
        let host = host.ok_or_else(|| invalid("the URL names no server"))?;
        let (login, query) = (self.login, self.query);
        Ok(format!("{scheme}://{login}{host}/{database}{query}"))
    }

    fn urls(&self, scheme: &str) -> Vec<String> {
        let url = |host: &&str| format!("{scheme}://{host}");
        self.hosts.iter().map(url).collect()
    }
}

/// The master, and a connection to it: the first that a sentinel names and that has the role. After
/// a failover the sentinels learn of the new one at different moments, and one that is gone may not
/// hold up the others, so all are asked at once.
/// Source: "Guidelines for Redis clients with support for Redis Sentinel", redis.io.
pub(crate) async fn find_master(
    sentinels: &[Client],
    name: &str,
    access: &Access,
) -> Result<(Client, Connection), Failure> {
    let asked = sentinels
        .iter()
        .map(|sentinel| ask_sentinel(sentinel, name, access.connect_timeout));
    let mut answers: FuturesUnordered<_> = asked.collect();
    let (mut tried, mut refused, mut last) = (Vec::new(), None, None);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(Some(address)) if tried.contains(&address) => {}
            Ok(Some(address)) => {
                tried.push(address.clone());
                match connect_to_master(address, access).await {
                    Ok(found) => return Ok(found),
                    Err(failure @ Failure::Later(_)) => refused = Some(failure),
                    Err(failure) => last = Some(failure),
                }
            }
            Ok(None) => {}
            // How a master failed says more.
            Err(error) if tried.is_empty() => last = Some(errors::broken(&error, false)),
            Err(_) => {}
        }
    }
    let unknown = || Failure::Final(invalid("no sentinel knows a master of this name"));
    // What may go well later says more than what is broken.
    Err(refused.or(last).unwrap_or_else(unknown))
}

async fn ask_sentinel(
    sentinel: &Client,
    name: &str,
    longest: Duration,
) -> Result<Option<(String, u16)>, RedisError> {
    let asked = async {
        let mut connection = connect(sentinel, longest).await?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(name);
        ask.query_async(&mut connection.commands).await
    };
    in_time(longest, asked).await
}

async fn connect_to_master(
    (host, port): (String, u16),
    access: &Access,
) -> Result<(Client, Connection), Failure> {
    let client = access.node(host, port).map_err(Failure::Final)?;
    let longest = access.connect_timeout;
    let connected = in_time(longest, async {
        let mut connection = connect(&client, longest).await?;
        let role = redis::cmd("ROLE")
            .query_async(&mut connection.commands)
            .await?;
        Ok((connection, role))
    });
    match connected.await {
        Ok((connection, role)) if is_of_master(&role) => Ok((client, connection)),
        Ok(_) => Err(Failure::Later(Error::new(
            ErrorKind::ReadOnly,
            "the server that the sentinels name is not the master",
        ))),
        Err(error) => Err(errors::broken(&error, false)),
    }
}

fn is_of_master(role: &Value) -> bool {
    let Value::Array(parts) = role else {
        return false;
    };
    matches!(parts.first(), Some(Value::BulkString(role)) if role == b"master")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_one_server_or_several() {
        let place = Place::parse("redis://ann:secret@db:7000/3").expect("a URL");
        assert!(matches!(place.servers, Named::One));
        assert_eq!(place.node.1.db(), 3);

        let place = Place::parse("redis+sentinel://ann:se:c@a:1,b:2/main/4?protocol=resp3");
        let place = place.expect("a URL");
        let Named::Sentinel(urls, name) = place.servers else {
            panic!("it names sentinels")
        };
        assert_eq!(urls, ["redis://a:1", "redis://b:2"]);
        assert_eq!(name, "main");
        assert_eq!(place.node.1.db(), 4);
        assert_eq!(place.node.1.username(), Some("ann"));
        assert_eq!(place.node.1.protocol(), redis::ProtocolVersion::RESP3);

        let place = Place::parse("redis+cluster://a:1,b:2").expect("a URL");
        assert!(matches!(place.servers, Named::Cluster(urls) if urls.len() == 2));
        for wrong in [
            "",
            "http://a",
            "redis+sentinel://a:1",
            "redis+cluster://",
            "redis+x://a",
        ] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }
}
