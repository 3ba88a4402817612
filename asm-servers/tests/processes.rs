//! Servers end when the process that uses them has ended, however it ended.

use std::{
    env,
    io::{BufRead, BufReader, Lines},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use asm_servers::{Server, Shared, until};

#[test]
fn a_process_that_is_killed_leaves_no_server() {
    let (mut child, mut lines) = start("holds_a_server");
    let (addr, directory) = (said(&mut lines), said(&mut lines));
    let addr: SocketAddr = addr.parse().expect("an address");
    TcpStream::connect(addr).expect("it is there");
    child.kill().expect("a signal");
    child.wait().expect("its end");
    until("the end of the server", || match TcpStream::connect(addr) {
        Ok(_) => Err("it is there".to_owned()),
        Err(_) => Ok(()),
    })
    .expect("no server");
    until("the end of its directory", || {
        match Path::new(&directory).exists() {
            true => Err("it is there".to_owned()),
            false => Ok(()),
        }
    })
    .expect("no directory");
}

#[test]
fn a_test_that_panics_leaves_no_server() {
    let server = std::panic::catch_unwind(|| {
        let server = Server::start().expect("a server");
        std::panic::panic_any(server.addr());
    });
    let panic = server.expect_err("a panic");
    let addr: &SocketAddr = panic.downcast_ref().expect("an address");
    TcpStream::connect(addr).expect_err("no server");
}

#[test]
fn processes_share_servers_while_one_of_them_lives() {
    let shared = Shared::server().expect("a server");
    let here = shared.servers()[0].addr.to_string();
    let (mut one, mut lines) = start("shares_a_server");
    assert_eq!(said(&mut lines), here);
    one.kill().expect("a signal");
    one.wait().expect("its end");
    let (mut two, mut lines) = start("shares_a_server");
    assert_eq!(said(&mut lines), here);
    drop(shared);
    TcpStream::connect(&here).expect("it is still used");
    two.kill().expect("a signal");
    two.wait().expect("its end");
    // Others may use it now, and it may linger; that it ends is the next test.
}

#[test]
#[ignore = "waits for some seconds that nobody needs in between, and wants no other user"]
fn shared_servers_end_when_nobody_is_left() {
    let (mut child, mut lines) = start("shares_a_server");
    let addr: SocketAddr = said(&mut lines).parse().expect("an address");
    child.kill().expect("a signal");
    child.wait().expect("its end");
    TcpStream::connect(addr).expect("it lingers");
    until("the end of the server", || match TcpStream::connect(addr) {
        Ok(_) => Err("it is there".to_owned()),
        Err(_) => Ok(()),
    })
    .expect("no server");
}

#[test]
#[ignore = "is started by the others"]
fn holds_a_server() {
    if is_started_by_another() {
        let server = Server::start().expect("a server");
        println!("\nsays {}", server.addr());
        println!("says {}", server.directory().display());
        wait_for_the_end();
    }
}

#[test]
#[ignore = "is started by the others"]
fn shares_a_server() {
    if is_started_by_another() {
        let shared = Shared::server().expect("a server");
        println!("\nsays {}", shared.servers()[0].addr);
        wait_for_the_end();
    }
}

const STARTED: &str = "ASM_SERVERS_STARTED";

fn is_started_by_another() -> bool {
    env::var_os(STARTED).is_some()
}

fn wait_for_the_end() {
    loop {
        std::thread::park();
    }
}

fn start(what: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", what, "--ignored", "--nocapture"])
        .env(STARTED, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let lines = BufReader::new(child.stdout.take().expect("its words")).lines();
    (child, lines)
}

fn said(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("says ").map(str::to_owned))
        .expect("a word")
}
