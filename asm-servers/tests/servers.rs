//! Servers alone: what they can be asked to be, and what can be done to them.

use std::{
    error::Error as _,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

use asm_servers::{Error, Server};

#[test]
fn answers_over_tcp_and_over_its_socket() {
    let server = Server::start().expect("a server");
    assert_eq!(say(tcp(&server), b"PING\r\n"), b"+PONG\r\n");
    let socket = UnixStream::connect(server.socket()).expect("a socket");
    assert_eq!(say(socket, b"PING\r\n"), b"+PONG\r\n");
    assert_eq!(server.info("role").expect("a field"), "master");
    assert!(server.info("colour").is_err());
}

#[test]
fn ends_with_its_value_and_leaves_nothing() {
    let server = Server::start().expect("a server");
    let (addr, directory) = (server.addr(), server.directory().to_owned());
    drop(server);
    assert_eq!(
        TcpStream::connect(addr).expect_err("it ended").kind(),
        ErrorKind::ConnectionRefused
    );
    assert!(!directory.exists());
}

#[test]
fn a_stopped_one_is_silent_until_it_goes_on() {
    let server = Server::start().expect("a server");
    let mut client = tcp(&server);
    server.stop().expect("a signal");
    client.write_all(b"PING\r\n").expect("the kernel takes it");
    client
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a timeout");
    let silence = client.read(&mut [0]).expect_err("nothing comes");
    assert!(
        matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{silence}"
    );
    server.cont().expect("a signal");
    client.set_read_timeout(None).expect("no timeout");
    let mut answer = [0; 7];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_killed_one_refuses_and_comes_back_where_it_was() {
    let server = Server::builder()
        .line("appendonly yes")
        .line("appendfsync always")
        .start()
        .expect("a server");
    server.call::<()>(&["SET", "a", "1"]).expect("stored");
    server.kill().expect("a signal");
    assert_eq!(server.pid(), None);
    assert_eq!(
        TcpStream::connect(server.addr()).expect_err("gone").kind(),
        ErrorKind::ConnectionRefused
    );
    assert!(server.stop().is_err(), "there is no process to stop");
    let addr = server.addr();
    server.restart().expect("a new process");
    assert_eq!(server.addr(), addr);
    assert_eq!(server.call::<String>(&["GET", "a"]).expect("kept"), "1");
}

#[test]
fn what_was_wished_is_so() {
    let server = Server::builder()
        .memory(64 << 20, "allkeys-lru")
        .databases(3)
        .line("maxclients 77")
        .start()
        .expect("a server");
    for (name, expected) in [
        ("maxmemory", "67108864"),
        ("maxmemory-policy", "allkeys-lru"),
        ("databases", "3"),
        ("maxclients", "77"),
    ] {
        let value: Vec<String> = server.call(&["CONFIG", "GET", name]).expect("a setting");
        assert_eq!(value[1], expected, "{name}");
    }
}

#[test]
fn passwords_and_users_are_asked_for() {
    let server = Server::builder()
        .password("secret")
        .user("reader", "on >key ~a:* +get")
        .start()
        .expect("a server");
    let refused = say(tcp(&server), b"GET a:1\r\n");
    assert!(refused.starts_with(b"-NOAUTH"), "{refused:?}");
    assert_eq!(say(tcp(&server), b"AUTH secret\r\n"), b"+OK\r\n");
    let denied = say(tcp(&server), b"AUTH reader key\r\nSET a:1 1\r\n");
    assert!(denied.starts_with(b"+OK\r\n-NOPERM"), "{denied:?}");
    let shown = format!("{server:?}");
    assert!(
        !shown.contains("secret") && !shown.contains(">key"),
        "{shown}"
    );
}

#[test]
fn tells_why_it_does_not_start() {
    let wrong = Server::builder().line("maxmemory much").start();
    let Err(error @ Error::Ended { .. }) = wrong else {
        panic!("{wrong:?}");
    };
    assert!(error.source().is_none());
}

#[test]
fn counts_its_commands() {
    let server = Server::start().expect("a server");
    server.call::<()>(&["CONFIG", "RESETSTAT"]).expect("reset");
    for _ in 0..3 {
        server.call::<()>(&["SET", "a", "1"]).expect("stored");
    }
    let stats = server.command_stats().expect("counts");
    assert!(stats.contains(&("set".to_owned(), 3)), "{stats:?}");
}

/// The TLS library of the tests is that of the drivers; here it is enough that plain words are
/// refused, that the administrator gets through, and that the files are there.
#[test]
fn speaks_tls_only() {
    let server = Server::builder().tls().start().expect("a server");
    let files = server.certificates().expect("certificates");
    for path in [
        &files.authority.certificate,
        &files.server.certificate,
        &files.server.key,
        &files.client.certificate,
        &files.client.key,
    ] {
        let pem = std::fs::read_to_string(path).expect("a file");
        assert!(pem.starts_with("-----BEGIN "), "{}", path.display());
    }
    assert!(server.url().starts_with("rediss://"));
    let answer = say(tcp(&server), b"PING\r\n");
    assert_ne!(answer, b"+PONG\r\n");
    assert_eq!(server.call::<String>(&["PING"]).expect("an answer"), "PONG");
}

fn tcp(server: &Server) -> TcpStream {
    TcpStream::connect(server.addr()).expect("a connection")
}

/// Says this and nothing more, and answers all that comes.
fn say(mut stream: impl Read + Write + Half, words: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    stream.write_all(words).expect("heard");
    stream.over();
    // A server that speaks TLS may cut the connection instead of answering.
    let _ = stream.read_to_end(&mut answer);
    answer
}

trait Half {
    fn over(&self);
}

impl Half for TcpStream {
    fn over(&self) {
        self.shutdown(std::net::Shutdown::Write)
            .expect("half closed");
    }
}

impl Half for UnixStream {
    fn over(&self) {
        self.shutdown(std::net::Shutdown::Write)
            .expect("half closed");
    }
}
