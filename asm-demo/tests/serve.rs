//! The site without a browser: how it starts and ends, and what it refuses.

mod site;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
};

use site::Site;

/// What was answered.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The cookie that was set, as it is sent back.
    fn cookie(&self) -> &str {
        let set = self.header("set-cookie").expect("a cookie");
        set.split(';').next().expect("a pair")
    }
}

/// Where it listens.
fn address(site: &Site) -> &str {
    site.url.trim_start_matches("http://").trim_end_matches('/')
}

fn send(site: &Site, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address(site)).expect("it listens");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status");
    Answer {
        status: status.parse().expect("a number"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

fn get(site: &Site, path: &str, headers: &str) -> Answer {
    let host = address(site);
    send(
        site,
        &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"),
    )
}

fn posting(site: &Site, path: &str, headers: &str, form: &str) -> String {
    let (host, length) = (address(site), form.len());
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n{headers}\r\n{form}"
    )
}

fn post(site: &Site, path: &str, cookie: &str, form: &str) -> Answer {
    let cookie = format!("Cookie: {cookie}\r\n");
    send(site, &posting(site, path, &cookie, form))
}

/// Somebody who is signed in.
fn signed_in(site: &Site) -> String {
    let answer = send(site, &posting(site, "/sign-in", "", "name=Ada"));
    assert_eq!(answer.status, 303, "{}", answer.body);
    answer.cookie().to_owned()
}

fn refused(args: &[&str]) -> (Option<i32>, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_asm-demo"))
        .args(args)
        .stdout(Stdio::piped())
        .output()
        .expect("it starts");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(output.stdout.is_empty(), "it says no address");
    (output.status.code(), said)
}

#[test]
fn without_a_command_it_serves_on_this_machine_until_it_is_interrupted() {
    let site = Site::start(&[]);
    assert!(site.url.starts_with("http://127.0.0.1:"), "{}", site.url);
    let page = get(&site, "/", "");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Sessions that stay correct"));
    assert_eq!(site.interrupt(), Some(0));
}

#[test]
fn what_is_under_way_ends_with_the_site() {
    let site = Site::start(&["serve"]);
    let cookie = signed_in(&site);
    // Takes the message of the login out, for which it would wait for the lock later.
    get(&site, "/", &format!("Cookie: {cookie}\r\n"));
    let open = |request: &str| {
        let mut stream = TcpStream::connect(address(&site)).expect("it listens");
        stream.write_all(request.as_bytes()).expect("sent");
        BufReader::new(stream)
    };
    let host = address(&site);
    let mut feed = open(&format!(
        "GET /feed/events HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n"
    ));
    let mut line = String::new();
    while !line.contains("The feed has begun") {
        line.clear();
        feed.read_line(&mut line).expect("it goes on");
    }
    let cookie_line = format!("Cookie: {cookie}\r\nAccept: text/plain\r\n");
    let mut holding = open(&posting(&site, "/locks/hold", &cookie_line, "seconds=60"));
    while !get(&site, "/locks", &format!("Cookie: {cookie}\r\n"))
        .body
        .contains("POST /locks/hold</code>")
    {}
    assert_eq!(site.interrupt(), Some(0));
    let mut rest = String::new();
    feed.read_to_string(&mut rest).expect("it ends well");
    let mut told = String::new();
    holding.read_to_string(&mut told).expect("it ends well");
    assert!(told.contains("saved what it wanted to"), "{told}");
}

#[test]
fn what_hinders_it_is_said_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let (code, said) = refused(&["--port", &port]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("port {port} is taken")), "{said}");
    assert!(said.contains("--port 0"), "{said}");

    // A port on which nobody listens any more.
    drop(taken);
    let url = format!("redis://user:secret@127.0.0.1:{port}");
    let (code, said) = refused(&["serve", "--port", "0", "--driver", &url]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("redis"), "{said}");
    assert!(!said.contains("secret"), "{said}");

    let (code, said) = refused(&["--port", "0", "--driver", "file:/dev/null/sessions"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("file"), "{said}");

    let (code, said) = refused(&["--driver", "mongodb://here"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("redis://HOST:PORT"), "{said}");
}

#[test]
fn looking_around_needs_no_session_and_no_cookie() {
    let site = Site::start(&[]);
    for path in [
        "/",
        "/sign-in",
        "/cart",
        "/burst",
        "/rotation",
        "/tabs",
        "/devices",
        "/fields",
        "/feed",
        "/locks",
        "/stored",
    ] {
        let page = get(&site, path, "");
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("set-cookie"), None, "{path}");
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!page.body.contains("style="), "{path}");
        assert_eq!(page.body.matches("<script").count(), 1, "{path}");
        assert!(page.body.contains("<script src=\"/site.js\"></script>"));
    }
    for (path, kind) in [
        ("/site.css", "text/css; charset=utf-8"),
        ("/site.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let asset = get(&site, path, "");
        assert_eq!(asset.status, 200);
        assert_eq!(asset.header("content-type"), Some(kind));
        assert_eq!(asset.header("x-content-type-options"), Some("nosniff"));
    }
    let missing = get(&site, "/nothing", "");
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("There is no such page"));
}

#[test]
fn the_cookie_is_for_this_site_alone_and_shows_on_no_page() {
    let site = Site::start(&[]);
    let answer = send(&site, &posting(&site, "/sign-in", "", "name=Ada"));
    let set = answer.header("set-cookie").expect("a cookie").to_owned();
    let port = address(&site).rsplit_once(':').expect("a port").1;
    assert!(set.starts_with(&format!("asm-demo-{port}=")), "its name");
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(set.contains(attribute), "{attribute}");
    }
    assert!(!set.contains("Secure"), "there is no TLS");
    let cookie = answer.cookie();
    let (_, id) = cookie.split_once('=').expect("a value");
    for path in ["/sign-in", "/cart", "/devices", "/locks", "/stored"] {
        let page = get(&site, path, &format!("Cookie: {cookie}\r\n"));
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains("Signed in as <strong>Ada</strong>"));
        assert!(!page.body.contains(id), "{path} shows the id");
    }
}

#[test]
fn forms_of_other_sites_and_other_names_of_this_machine_are_refused() {
    let site = Site::start(&[]);
    let cookie = signed_in(&site);
    let host = address(&site).to_owned();
    let post = |origin: &str| {
        let request = posting(
            &site,
            "/sign-out",
            &format!("Cookie: {cookie}\r\nAccept: text/plain\r\n"),
            "",
        );
        let own = format!("Origin: http://{host}\r\n");
        send(&site, &request.replace(&own, origin))
    };
    for origin in [
        "",
        "Origin: null\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: http://127.0.0.1:1\r\n",
    ] {
        let answer = post(origin);
        assert_eq!(answer.status, 403, "{origin}");
        assert!(
            answer
                .body
                .contains("does not come from a page of this site")
        );
    }
    let page = get(&site, "/", &format!("Cookie: {cookie}\r\n"));
    assert!(page.body.contains("Signed in as"), "nothing happened");

    let rebound = "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(send(&site, rebound).status, 421);
}

#[test]
fn what_makes_no_sense_is_refused_in_one_sentence() {
    let site = Site::start(&[]);
    let cookie = signed_in(&site);
    let long = format!("note={}", "x".repeat(2001));
    for (path, form, status, said) in [
        ("/sign-in", "name=+", 422, "A name has 1 to 40 characters."),
        (
            "/cart/add",
            "item=Dragon",
            422,
            "There is no such thing in this shop.",
        ),
        ("/stored", "note=", 422, "A note has 1 to 2000 characters."),
        ("/stored", &long, 422, "A note has 1 to 2000 characters."),
        ("/burst", "mode=wild", 422, ""),
        ("/burst/hit", "", 404, ""),
        ("/rotation/hit", "", 404, ""),
        ("/nothing", "", 404, "There is no such page on this site."),
    ] {
        let answer = post(&site, path, &cookie, form);
        assert_eq!(answer.status, status, "{path} {}", answer.body);
        assert!(answer.body.contains(said), "{path}: {}", answer.body);
    }
    let foreign = "handle=00112233445566778899aabbccddeeff&fence=1";
    for (path, form) in [("/devices/end", &foreign[..39]), ("/locks/free", foreign)] {
        assert_eq!(post(&site, path, &cookie, form).status, 303);
        let page = get(&site, "/", &format!("Cookie: {cookie}\r\n"));
        let said = "That session is not one of this account, or has ended already.";
        assert!(page.body.contains(said), "{path}");
    }
}

#[test]
fn only_its_owner_sees_a_run() {
    let site = Site::start(&[]);
    let (ada, eve) = (signed_in(&site), signed_in(&site));
    let fired = post(&site, "/burst", &ada, "mode=on-open");
    let run = fired.header("location").expect("a page");
    let (run, _) = run.split_once('#').expect("a place on it");
    let shown = |cookie: &str| {
        get(&site, run, &format!("Cookie: {cookie}\r\n"))
            .body
            .contains("What happened")
    };
    assert!(shown(&ada));
    assert!(!shown(&eve));
    let id = run.rsplit_once('=').expect("an id").1;
    let live = format!("/runs/{id}/live");
    let stream = get(&site, &live, &format!("Cookie: {eve}\r\n"));
    assert_eq!((stream.status, stream.body.as_str()), (204, ""));
    let stream = get(&site, &live, &format!("Cookie: {ada}\r\n"));
    assert_eq!(stream.status, 200);
    assert!(stream.body.contains("event: replace"), "{}", stream.body);
    assert!(stream.body.contains("0 refused, 0 lost"), "{}", stream.body);
}
