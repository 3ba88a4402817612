//! Three masters, each with a replica.

use std::{sync::Arc, time::Duration};

use redis::Value;

use crate::{
    Error, Result, Server, ServerBuilder,
    sentinels::follows,
    server::{Kind, field_of},
    until,
    warden::Warden,
};

/// Three masters, each with a replica, and all slots served.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    ids: Vec<String>,
}

/// What the Cluster should be like.
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    server: ServerBuilder,
    node_timeout: Duration,
    warden: Option<Arc<Warden>>,
}

/// How a replica becomes master: the options of `CLUSTER FAILOVER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// The master helps: no write is lost.
    Graceful,
    /// The master is not asked, the other masters are: its last writes may be lost.
    Force,
    /// Nobody is asked.
    Takeover,
}

/// A slot on its way from one master to another. While it is under way its owner answers `ASK` for
/// keys that it has not, and `TRYAGAIN` for several keys of which it has some.
#[derive(Debug)]
pub struct Migration<'a> {
    cluster: &'a Cluster,
    slot: u16,
    from: usize,
    to: usize,
}

const SLOTS: u16 = 16384;
const MASTERS: u16 = 3;

impl Cluster {
    /// A Cluster whose servers have no password.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// A Cluster with wishes.
    #[must_use]
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            server: Server::builder(),
            node_timeout: Duration::from_secs(2),
            warden: None,
        }
    }

    /// The six nodes. The first three have begun as masters, with a third of the slots each; node
    /// n + 3 has begun as replica of node n.
    #[must_use]
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The URLs of all nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }

    /// The slot of a key.
    ///
    /// # Errors
    /// When no node answers.
    pub fn slot_of(&self, key: &str) -> Result<u16> {
        self.living()?.call(&["CLUSTER", "KEYSLOT", key])
    }

    /// Which node owns a slot, as the nodes that answer say in agreement.
    ///
    /// # Errors
    /// When they do not agree in time, or nobody owns it.
    pub fn owner(&self, slot: u16) -> Result<usize> {
        until("an agreement on the owner of a slot", || {
            let mut said: Vec<_> = self.nodes.iter().filter_map(view).collect();
            let seen = format!("{} of {} nodes answer", said.len(), self.nodes.len());
            said.sort();
            let owners: Vec<_> = said.iter().map(|view| owner_in(view, slot)).collect();
            match owners.first() {
                Some(Some(first)) if owners.iter().all(|owner| owner.as_ref() == Some(first)) => {
                    let port = *first;
                    let mut nodes = self.nodes.iter();
                    nodes
                        .position(|node| node.port() == port)
                        .ok_or_else(|| format!("a stranger on port {port}"))
                }
                _ => Err(format!("{seen}, owners {owners:?}")),
            }
        })
    }

    /// A replica of this node now.
    ///
    /// # Errors
    /// When it has none that answers.
    pub fn replica_of(&self, node: usize) -> Result<usize> {
        let addr = self.nodes[node].port().to_string();
        until("a replica", || {
            let mut nodes = self.nodes.iter();
            nodes
                .position(|node| {
                    let info = node.ask::<String>(&["INFO", "replication"], SHORT);
                    info.is_ok_and(|info| {
                        field_of(&info, "master_port") == Some(&addr)
                            && field_of(&info, "master_link_status") == Some("up")
                    })
                })
                .ok_or_else(|| "none".to_owned())
        })
    }

    /// Makes a replica of this slot's owner the owner, and answers which node that is when all
    /// nodes that answer agree on it.
    ///
    /// # Errors
    /// When it does not happen in time.
    pub fn failover(&self, slot: u16, how: Failover) -> Result<usize> {
        let owner = self.owner(slot)?;
        let replica = self.replica_of(owner)?;
        let command: &[&str] = match how {
            Failover::Graceful => &["CLUSTER", "FAILOVER"],
            Failover::Force => &["CLUSTER", "FAILOVER", "FORCE"],
            Failover::Takeover => &["CLUSTER", "FAILOVER", "TAKEOVER"],
        };
        self.nodes[replica].call::<()>(command)?;
        self.owned_by_another(slot, owner)
    }

    /// Waits until another node than this owns the slot, after that was killed or stopped, and
    /// answers which.
    ///
    /// # Errors
    /// When it does not happen in time.
    pub fn owned_by_another(&self, slot: u16, than: usize) -> Result<usize> {
        until("another owner of a slot", || {
            match self.owner(slot).map_err(|error| error.to_string())? {
                owner if owner == than => Err(format!("node {owner}")),
                owner => Ok(owner),
            }
        })
    }

    /// Begins to move a slot to another master. Dropped, it stays where it is.
    ///
    /// # Errors
    /// When a node refuses.
    pub fn migrate(&self, slot: u16, to: usize) -> Result<Migration<'_>> {
        let from = self.owner(slot)?;
        if from == to {
            return Err(Error::Impossible(format!("node {to} owns slot {slot}")));
        }
        let text = slot.to_string();
        let setslot = |node: usize, state: &str, other: usize| {
            let other = &self.ids[other];
            self.nodes[node].call::<()>(&["CLUSTER", "SETSLOT", &text, state, other])
        };
        setslot(to, "IMPORTING", from)?;
        setslot(from, "MIGRATING", to)?;
        Ok(Migration {
            cluster: self,
            slot,
            from,
            to,
        })
    }

    /// Waits until all six nodes answer, serve all slots, and each replica follows its master.
    ///
    /// # Errors
    /// When it does not happen in time.
    pub fn ready(&self) -> Result<()> {
        for node in &self.nodes {
            until("a cluster that is well", || well(node))?;
        }
        for node in &self.nodes {
            until("replicas that follow", || {
                let info = node.ask::<String>(&["INFO", "replication"], SHORT);
                let info = info.map_err(|error| error.to_string())?;
                match field_of(&info, "role") {
                    Some("slave") => follows(node),
                    _ => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    pub(crate) fn leave(self) {
        self.nodes.into_iter().for_each(Server::leave);
    }

    fn living(&self) -> Result<&Server> {
        let mut nodes = self.nodes.iter();
        nodes
            .find(|node| node.ask::<String>(&["PING"], SHORT).is_ok())
            .ok_or_else(|| Error::Impossible("no node answers".to_owned()))
    }
}

impl Migration<'_> {
    /// Which slot, from which node, to which.
    #[must_use]
    pub fn route(&self) -> (u16, usize, usize) {
        (self.slot, self.from, self.to)
    }

    /// Moves up to so many keys, and answers how many there were to move.
    ///
    /// # Errors
    /// When a node refuses.
    pub fn move_keys(&self, count: usize) -> Result<usize> {
        let (slot, count) = (self.slot.to_string(), count.to_string());
        let from = &self.cluster.nodes[self.from];
        let keys: Vec<Vec<u8>> = from.call(&["CLUSTER", "GETKEYSINSLOT", &slot, &count])?;
        let to = &self.cluster.nodes[self.to];
        for key in &keys {
            let key = str::from_utf8(key)
                .map_err(|_| Error::Impossible("a key that is no text".to_owned()))?;
            let port = to.port().to_string();
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, key, "0", "5000"];
            if let Some(password) = to.password() {
                command.extend(["AUTH", password]);
            }
            from.call::<Value>(&command)?;
        }
        Ok(keys.len())
    }

    /// Moves what is left of the keys, and the slot with them.
    ///
    /// # Errors
    /// When a node refuses, or the nodes do not agree in time.
    pub fn finish(self) -> Result<()> {
        while self.move_keys(100)? > 0 {}
        let slot = self.slot.to_string();
        let id = &self.cluster.ids[self.to];
        // The new owner first: it takes the slot with a new epoch, whoever hears of it when.
        for node in [self.to, self.from] {
            let command = ["CLUSTER", "SETSLOT", &slot, "NODE", id];
            self.cluster.nodes[node].call::<()>(&command)?;
        }
        let to = self.to;
        until("the new owner of a slot", || {
            match self
                .cluster
                .owner(self.slot)
                .map_err(|error| error.to_string())?
            {
                owner if owner == to => Ok(()),
                owner => Err(format!("node {owner}")),
            }
        })
    }

    /// Leaves the slot where it was. Keys that have moved are moved back by nobody.
    ///
    /// # Errors
    /// When a node refuses.
    pub fn give_up(self) -> Result<()> {
        let slot = self.slot.to_string();
        for node in [self.to, self.from] {
            self.cluster.nodes[node].call::<()>(&["CLUSTER", "SETSLOT", &slot, "STABLE"])?;
        }
        Ok(())
    }
}

impl ClusterBuilder {
    /// Clients need this password.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.server = self.server.password(password);
        self
    }

    /// How long a node must be silent before it counts as failed (`cluster-node-timeout`); two
    /// seconds otherwise.
    #[must_use]
    pub fn node_timeout(mut self, silence: Duration) -> Self {
        self.node_timeout = silence;
        self
    }

    /// A line of the configuration of each node.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.server = self.server.line(line);
        self
    }

    /// Starts it; [`Cluster::ready`] when this returns.
    ///
    /// # Errors
    /// As [`ServerBuilder::start`].
    pub fn start(self) -> Result<Cluster> {
        let mut nodes = Vec::new();
        for number in 0..2 * MASTERS {
            nodes.push(self.node(number)?);
        }
        let mut ids = Vec::new();
        for node in &nodes {
            ids.push(node.call::<String>(&["CLUSTER", "MYID"])?);
        }
        for (number, node) in (0..).zip(&nodes) {
            let epoch = (number + 1).to_string();
            node.call::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])?;
            if number < MASTERS {
                let (first, last) = slots_of(number);
                let (first, last) = (first.to_string(), last.to_string());
                node.call::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])?;
            }
        }
        for node in &nodes {
            for other in nodes.iter().filter(|other| other.port() != node.port()) {
                let bus: String = other
                    .call::<Vec<String>>(&["CONFIG", "GET", "cluster-port"])?
                    .pop()
                    .unwrap_or_default();
                let port = other.port().to_string();
                node.call::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
            }
        }
        for (replica, master) in nodes.iter().skip(MASTERS.into()).zip(&ids) {
            // It must have heard of its master.
            until("a replica that knows its master", || {
                replica
                    .call::<()>(&["CLUSTER", "REPLICATE", master])
                    .map_err(|error| error.to_string())
            })?;
        }
        let cluster = Cluster { nodes, ids };
        cluster.ready()?;
        Ok(cluster)
    }

    pub(crate) fn warden(mut self, warden: Arc<Warden>) -> Self {
        self.warden = Some(warden);
        self
    }

    fn node(&self, number: u16) -> Result<Server> {
        loop {
            let bus = crate::place::free_port()?;
            let node = self
                .server
                .clone()
                .kind(Kind::Node)
                .name(format!("node {number}"))
                .warden(self.warden.clone())
                .line(format!("cluster-port {bus}"))
                .line(format!(
                    "cluster-node-timeout {}",
                    self.node_timeout.as_millis()
                ))
                // A replica takes over however long it was cut off before.
                .line("cluster-replica-validity-factor 0")
                .line("cluster-allow-replica-migration no")
                .start();
            match node {
                Err(Error::Ended { log, .. }) if log.contains("Failed listening on port") => {}
                node => return node,
            }
        }
    }
}

const SHORT: Duration = Duration::from_millis(500);

/// The first and the last slot of a master.
fn slots_of(master: u16) -> (u16, u16) {
    let border = |number: u16| u32::from(SLOTS) * u32::from(number) / u32::from(MASTERS);
    let slot = |number: u32| u16::try_from(number).expect("below 16384");
    (slot(border(master)), slot(border(master + 1) - 1))
}

/// Ranges of slots with their owner's port, as a node sees it.
type View = Vec<(u16, u16, u16)>;

fn view(node: &Server) -> Option<View> {
    let ranges: Vec<Vec<Value>> = node.ask(&["CLUSTER", "SLOTS"], SHORT).ok()?;
    let range = |parts: Vec<Value>| {
        let [Value::Int(first), Value::Int(last), Value::Array(owner), ..] = &parts[..] else {
            return None;
        };
        let Some(Value::Int(port)) = owner.get(1) else {
            return None;
        };
        let short = |number: &i64| u16::try_from(*number).ok();
        Some((short(first)?, short(last)?, short(port)?))
    };
    ranges.into_iter().map(range).collect()
}

fn owner_in(view: &View, slot: u16) -> Option<u16> {
    let mut ranges = view.iter();
    ranges.find_map(|(first, last, port)| (*first..=*last).contains(&slot).then_some(*port))
}

fn well(node: &Server) -> Result<(), String> {
    let info: String = node
        .ask(&["CLUSTER", "INFO"], SHORT)
        .map_err(|error| error.to_string())?;
    let seen: Vec<_> = ["cluster_state", "cluster_slots_ok", "cluster_known_nodes"]
        .map(|field| field_of(&info, field).unwrap_or_default())
        .into();
    match seen[..] == ["ok", "16384", "6"] {
        true => Ok(()),
        false => Err(seen.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masters_share_all_slots() {
        assert_eq!(slots_of(0), (0, 5460));
        assert_eq!(slots_of(1), (5461, 10921));
        assert_eq!(slots_of(2), (10922, 16383));
    }
}
