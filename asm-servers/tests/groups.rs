//! Servers in groups: Sentinel and Cluster.

use asm_servers::{Cluster, Failover, Sentinels, Shared};

#[test]
fn sentinels_make_a_replica_the_master() {
    let group = Sentinels::builder()
        .password("data")
        .start()
        .expect("a group");
    let master = group.master().expect("a master");
    assert_eq!(group.replicas().expect("replicas").len(), 2);
    master.call::<()>(&["SET", "a", "1"]).expect("stored");
    assert_eq!(master.call::<u64>(&["WAIT", "2", "0"]).expect("copied"), 2);

    let switch = group.failover().expect("a failover");
    assert_eq!(switch.from, master.addr());
    assert_ne!(switch.to, switch.from);
    let now = group.master().expect("a master");
    assert_eq!(now.addr(), switch.to);
    assert_eq!(now.call::<String>(&["GET", "a"]).expect("kept"), "1");
}

#[test]
fn sentinels_replace_a_master_that_was_killed() {
    let group = Sentinels::start().expect("a group");
    let master = group.master().expect("a master");
    let from = master.addr();
    master.kill().expect("a signal");
    let switch = group.switched(from).expect("another master");
    assert_ne!(switch.to, from);
    master.restart().expect("a new process");
    assert_eq!(master.call::<String>(&["PING"]).expect("an answer"), "PONG");
}

#[test]
fn a_cluster_serves_all_slots_and_changes_their_owners() {
    let cluster = Cluster::start().expect("a cluster");
    assert_eq!(cluster.nodes().len(), 6);
    assert_eq!(cluster.slot_of("{a}:lock").expect("a slot"), 15495);
    assert_eq!(cluster.owner(0).expect("an owner"), 0);
    assert_eq!(cluster.owner(15495).expect("an owner"), 2);

    let owner = cluster.failover(0, Failover::Graceful).expect("a failover");
    assert_eq!(owner, 3);
    assert_eq!(cluster.replica_of(3).expect("a replica"), 0);

    cluster.nodes()[3].kill().expect("a signal");
    assert_eq!(cluster.owned_by_another(0, 3).expect("another owner"), 0);
    cluster.nodes()[3].restart().expect("a new process");
    cluster.ready().expect("a cluster that is well");
}

#[test]
fn a_slot_moves_with_its_keys() {
    let cluster = Cluster::builder()
        .password("data")
        .start()
        .expect("a cluster");
    let slot = cluster.slot_of("{a}").expect("a slot");
    let from = cluster.owner(slot).expect("an owner");
    let to = (from + 1) % 3;
    for key in ["{a}1", "{a}2", "{a}3"] {
        cluster.nodes()[from]
            .call::<()>(&["SET", key, key])
            .expect("stored");
    }
    let migration = cluster.migrate(slot, to).expect("a migration");
    assert_eq!(migration.route(), (slot, from, to));
    assert_eq!(migration.move_keys(1).expect("moved"), 1);
    let refused = cluster.nodes()[from].call::<Vec<String>>(&["MGET", "{a}1", "{a}2", "{a}3"]);
    let refused = format!("{:?}", refused.expect_err("some are there, some here"));
    assert!(
        refused.contains("TRYAGAIN") || refused.contains("TryAgain"),
        "{refused}"
    );
    migration.finish().expect("moved");
    assert_eq!(cluster.owner(slot).expect("an owner"), to);
    for key in ["{a}1", "{a}2", "{a}3"] {
        let value: String = cluster.nodes()[to].call(&["GET", key]).expect("kept");
        assert_eq!(value, key);
    }
}

#[test]
fn groups_are_shared() {
    type Start = fn() -> asm_servers::Result<Shared>;
    for (start, servers, sentinels) in [
        (Shared::sentinel as Start, 3, 3),
        (Shared::cluster as Start, 6, 0),
    ] {
        let (one, two) = (start().expect("a group"), start().expect("a group"));
        assert_eq!(one.servers().len(), servers);
        assert_eq!(one.sentinels().len(), sentinels);
        for (one, two) in one.servers().iter().zip(two.servers()) {
            assert_eq!(one.addr, two.addr);
            let client = redis::Client::open(two.socket_url()).expect("a URL");
            let mut client = client.get_connection().expect("a connection");
            let answer: String = redis::cmd("PING").query(&mut client).expect("an answer");
            assert_eq!(answer, "PONG");
        }
    }
}
