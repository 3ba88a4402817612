//! A replica takes the place of a master.

use std::collections::HashMap;

use asm_servers::{Cluster, Failover, Sentinels, Server, until};
use asm_testkit::history::Switch;

use crate::{place::Place, trouble::lasts, worker::now};

/// Why it does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    /// An operator wishes it, and all are well.
    Asked,
    /// The master is killed.
    Killed,
    /// The master stands still, and goes on when it is one no more: it does not know that.
    Stopped,
    /// The master is killed after no replica has followed it for a while.
    Behind,
}

impl Reason {
    pub(crate) const ALL: [Self; 4] = [Self::Asked, Self::Killed, Self::Stopped, Self::Behind];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Asked => "failover asked for",
            Self::Killed => "master killed",
            Self::Stopped => "master stopped",
            Self::Behind => "master killed, replicas behind",
        }
    }

    /// Makes it happen to the master that has this record. All servers are there again, in their new
    /// roles, when this returns.
    pub(crate) fn strike(self, place: &Place, record: &str) -> Switch {
        match place {
            Place::Sentinels(group) => self.on_sentinels(group),
            Place::Cluster(cluster) => self.on_cluster(cluster, record),
            other => panic!("{other:?} has no replicas"),
        }
        .expect("a failover")
    }

    fn on_sentinels(self, group: &Sentinels) -> asm_servers::Result<Switch> {
        let master = group.master()?;
        let replicas = group.replicas()?;
        let in_sync = caught_up(master, &replicas)?;
        if let Self::Behind = self {
            fall_behind(master, &replicas)?;
        }
        let mut began = now();
        match self {
            Self::Asked => drop(group.failover()?),
            _ => {
                self.harm(master)?;
                began = now();
                self.catch_up(&replicas)?;
                group.switched(master.addr())?;
                self.heal(master)?;
            }
        }
        group.ready()?;
        let ended = now();
        Ok(Switch {
            in_sync,
            began,
            ended,
        })
    }

    fn on_cluster(self, cluster: &Cluster, record: &str) -> asm_servers::Result<Switch> {
        let slot = cluster.slot_of(record)?;
        let owner = cluster.owner(slot)?;
        let master = &cluster.nodes()[owner];
        let replicas = [&cluster.nodes()[cluster.replica_of(owner)?]];
        let in_sync = caught_up(master, &replicas)?;
        if let Self::Behind = self {
            fall_behind(master, &replicas)?;
        }
        let mut began = now();
        match self {
            Self::Asked => drop(cluster.failover(slot, Failover::Graceful)?),
            _ => {
                self.harm(master)?;
                began = now();
                self.catch_up(&replicas)?;
                cluster.owned_by_another(slot, owner)?;
                self.heal(master)?;
            }
        }
        until("a replica that was the master", || {
            let role = master.info("role").map_err(|error| error.to_string())?;
            (role == "slave").then_some(()).ok_or(role)
        })?;
        cluster.ready()?;
        let ended = now();
        Ok(Switch {
            in_sync,
            began,
            ended,
        })
    }

    fn harm(self, master: &Server) -> asm_servers::Result<()> {
        match self {
            Self::Stopped => master.stop(),
            _ => master.kill(),
        }
    }

    fn heal(self, master: &Server) -> asm_servers::Result<()> {
        match self {
            Self::Stopped => master.cont(),
            _ => master.restart(),
        }
    }

    fn catch_up(self, replicas: &[&Server]) -> asm_servers::Result<()> {
        match self {
            Self::Behind => replicas.iter().try_for_each(|replica| replica.cont()),
            _ => Ok(()),
        }
    }
}

/// Waits until the replicas have what the master had when this began. Answers when that was.
fn caught_up(master: &Server, replicas: &[&Server]) -> asm_servers::Result<u64> {
    let at = now();
    let offset = |server: &Server, field| -> Result<u64, String> {
        let offset = server.info(field).map_err(|error| error.to_string())?;
        offset.parse().map_err(|_| offset)
    };
    let all = until("the offset of a master", || {
        offset(master, "master_repl_offset")
    })?;
    for replica in replicas {
        until("a replica that has caught up", || {
            let has = offset(replica, "slave_repl_offset")?;
            (has >= all).then_some(()).ok_or_else(|| has.to_string())
        })?;
    }
    Ok(at)
}

/// Nothing of what the master is told reaches its replicas any more, whatever it does.
fn fall_behind(master: &Server, replicas: &[&Server]) -> asm_servers::Result<()> {
    for replica in replicas {
        replica.stop()?;
    }
    // What is on its way does not arrive.
    master.call::<u64>(&["CLIENT", "KILL", "TYPE", "replica"])?;
    lasts(300..600);
    Ok(())
}

/// A number that only grows, with each change of a master. All servers must be there.
pub(crate) fn count(place: &Place) -> u64 {
    match place {
        // Not all have heard of it.
        Place::Sentinels(group) => group.sentinels().iter().map(config).max().expect("some"),
        Place::Cluster(cluster) => cluster.nodes().iter().map(epoch).max().expect("nodes"),
        Place::File(_) | Place::Redis { .. } => 0,
    }
}

/// The newest of which a sentinel has heard.
fn config(sentinel: &Server) -> u64 {
    let ask = ["SENTINEL", "MASTER", Sentinels::MASTER];
    let known = sentinel.call::<HashMap<String, String>>(&ask);
    let epoch = &known.expect("a master")["config-epoch"];
    epoch.parse().expect("a number")
}

/// The newest of which a node of a cluster has heard.
fn epoch(node: &Server) -> u64 {
    let info: String = node.call(&["CLUSTER", "INFO"]).expect("an answer");
    let mut fields = info.lines().filter_map(|line| line.split_once(':'));
    let epoch = fields.find(|(name, _)| *name == "cluster_current_epoch");
    epoch.expect("an epoch").1.trim().parse().expect("a number")
}
