//! What the proxy counts, and the trouble that it makes.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use asm_servers::{Direction, Fate, Proxy, Server, until};
use redis::{Commands, RedisResult};

#[test]
fn counts_commands_and_round_trips() {
    let (_server, proxy) = started();
    let mut client = client(&proxy);
    let before = proxy.counts();
    let _: () = client.set("a", 1).expect("stored");
    let _: i64 = client.incr("a", 1).expect("counted");
    let counts = proxy.counts().since(&before);
    assert_eq!(
        (counts.commands, counts.round_trips, counts.answers),
        (2, 2, 2)
    );
    assert_eq!((counts.of("SET"), counts.of("INCRBY")), (1, 1));

    // However large, a pipeline is one.
    for size in [1, 1 << 10, 1 << 16, 1 << 20] {
        let before = proxy.counts();
        let mut pipeline = redis::pipe();
        pipeline.set("b", vec![0_u8; size]).get("a").get("b");
        let answers: (String, i64, Vec<u8>) = pipeline.query(&mut client).expect("answers");
        assert_eq!((answers.1, answers.2.len()), (2, size));
        let counts = proxy.counts().since(&before);
        assert_eq!(
            (counts.commands, counts.round_trips),
            (3, 1),
            "{size} bytes"
        );
    }
    assert_eq!(proxy.connections().len(), 1);
    assert_eq!(proxy.counts().connections, 1);
}

#[test]
fn loses_the_answer_of_what_was_run() {
    let (server, proxy) = started();
    let mut client = client(&proxy);
    proxy.decide(|command| match command.is("incrby") {
        true => Fate::LoseAnswer,
        false => Fate::Pass,
    });
    let lost: RedisResult<i64> = client.incr("a", 1);
    assert!(lost.expect_err("no answer").is_connection_dropped());
    assert_eq!(server.call::<u64>(&["GET", "a"]).expect("run"), 1);
    assert_eq!(proxy.counts().lost, 1);
}

#[test]
fn loses_what_was_said_before_it_arrives() {
    let (server, proxy) = started();
    let mut client = client(&proxy);
    let count = Arc::new(AtomicU32::new(0));
    proxy.decide({
        let count = Arc::clone(&count);
        move |command| match (
            command.name().as_str(),
            count.fetch_add(1, Ordering::Relaxed),
        ) {
            ("INCRBY", 0) => Fate::Lose,
            _ => Fate::Pass,
        }
    });
    let lost: RedisResult<i64> = client.incr("a", 1);
    lost.expect_err("no connection");
    assert_eq!(
        server.call::<Option<u64>>(&["GET", "a"]).expect("run"),
        None
    );
    let mut client = self::client(&proxy);
    let counted: i64 = client.incr("a", 1).expect("an answer");
    assert_eq!(counted, 1);
}

#[test]
fn an_open_connection_may_be_half_dead() {
    let (server, proxy) = started();
    for (direction, arrives) in [(Direction::ToServer, 0), (Direction::ToClient, 1)] {
        let mut client = client(&proxy);
        let _: () = client.set("a", 0).expect("stored");
        proxy.hold(direction);
        client
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        let silence: RedisResult<i64> = client.incr("a", 1);
        assert!(silence.expect_err("no answer").is_timeout());
        if arrives == 1 {
            until("the command", || match server.call::<u64>(&["GET", "a"]) {
                Ok(1) => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .expect("it arrives");
        }
        assert_eq!(server.call::<u64>(&["GET", "a"]).expect("a look"), arrives);
        proxy.resume();
        until("the command", || match server.call::<u64>(&["GET", "a"]) {
            Ok(1) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .expect("it arrives after all");
    }
}

#[test]
fn no_answer_leaves_the_connection_open() {
    let (server, proxy) = started();
    let mut client = client(&proxy);
    proxy.decide(|command| match command.is("SET") {
        true => Fate::NoAnswer,
        false => Fate::Pass,
    });
    client
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a timeout");
    let silence: RedisResult<()> = client.set("a", 1);
    assert!(silence.expect_err("no answer").is_timeout());
    assert_eq!(server.call::<u64>(&["GET", "a"]).expect("run"), 1);
    proxy.pass();
    let mut other = self::client(&proxy);
    let _: () = other.set("a", 2).expect("another connection");
}

#[test]
fn what_is_late_arrives_after_its_client_has_gone() {
    let (server, proxy) = started();
    let mut client = client(&proxy);
    proxy.decide(|command| match command.is("SET") {
        true => Fate::Late,
        false => Fate::Pass,
    });
    client
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a timeout");
    let silence: RedisResult<()> = client.set("a", 1);
    assert!(silence.expect_err("no answer").is_timeout());
    drop(client);
    // Others are not held up.
    let mut other = self::client(&proxy);
    let found: Option<u64> = other.get("a").expect("an answer");
    assert_eq!(found, None);
    proxy.resume();
    until("the command", || match server.call::<u64>(&["GET", "a"]) {
        Ok(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .expect("it arrives after all");
}

#[test]
fn drops_all_connections() {
    let (_server, proxy) = started();
    let mut clients: Vec<_> = (0..3).map(|_| client(&proxy)).collect();
    proxy.drop_connections();
    for client in &mut clients {
        let dropped: RedisResult<()> = client.set("a", 1);
        let dropped = dropped.expect_err("no connection");
        assert!(
            dropped.is_connection_dropped() || dropped.is_io_error(),
            "{dropped}"
        );
    }
}

#[test]
fn delays_what_is_said() {
    let (_server, proxy) = started();
    let mut client = client(&proxy);
    proxy.delay(Direction::ToClient, Duration::from_millis(30));
    let began = std::time::Instant::now();
    let _: () = client.set("a", 1).expect("stored");
    assert!(began.elapsed() >= Duration::from_millis(30));
}

#[test]
fn many_connections_are_counted_together() {
    let (_server, proxy) = started();
    let addr = proxy.addr();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(move || {
                let mut client = client_at(addr);
                for _ in 0..100 {
                    let _: i64 = client.incr("a", 1).expect("counted");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a client");
    }
    assert_eq!(proxy.counts().of("INCRBY"), 800);
    assert_eq!(proxy.counts().connections, 8);
    let each = proxy.connections();
    assert!(
        each.iter().all(|counts| counts.of("INCRBY") == 100),
        "{each:?}"
    );
}

#[test]
fn ends_with_its_value() {
    let (_server, proxy) = started();
    let addr = proxy.addr();
    let mut client = client(&proxy);
    drop(proxy);
    let gone: RedisResult<()> = client.set("a", 1);
    gone.expect_err("no connection");
    assert_eq!(
        std::net::TcpStream::connect(addr).expect_err("gone").kind(),
        ErrorKind::ConnectionRefused
    );
}

fn started() -> (Server, Proxy) {
    let server = Server::start().expect("a server");
    let proxy = Proxy::start(server.addr()).expect("a proxy");
    (server, proxy)
}

fn client(proxy: &Proxy) -> redis::Connection {
    client_at(proxy.addr())
}

fn client_at(addr: SocketAddr) -> redis::Connection {
    let client = redis::Client::open(format!("redis://{addr}")).expect("a URL");
    client.get_connection().expect("a connection")
}
