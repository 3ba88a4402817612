//! The cookie as a browser sees it: Chromium, without a screen, driven by its own driver over the
//! protocol of the W3C.

use std::{
    future::Future,
    io::{BufRead, BufReader, Lines},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use asm_memory::MemoryDriver;
use asm_session::{Rotation, Sessions};
use asm_tower::{Result, SameSite, Session, SessionLayer, SessionLayerBuilder};
use axum::{
    Router,
    response::Html,
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

/// A browser, and the program that drives it.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// Kept open: it may say more.
    _said: Lines<BufReader<ChildStdout>>,
    _profile: TempDir,
}

impl Browser {
    async fn start() -> Self {
        let program = std::env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".into());
        let started = Command::new(&program)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = started.unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut said = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let port = said.find_map(|line| {
            let line = line.expect("it says where it listens");
            let (_, port) = line.rsplit_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        let profile = tempfile::tempdir().expect("a directory");
        let mut browser = Self {
            driver,
            port: port.expect("it listens"),
            session: String::new(),
            _said: said,
            _profile: profile,
        };
        let folder = format!("--user-data-dir={}", browser._profile.path().display());
        let options = json!({ "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", folder,
        ]});
        let wish = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options }}});
        let opened = browser.call(Method::POST, "/session", &wish).await;
        browser.session = opened["sessionId"].as_str().expect("an id").to_owned();
        browser
    }

    /// Goes there, and answers the text of the page.
    async fn visit(&self, site: &SocketAddr, path: &str) -> String {
        let url = format!("http://localhost:{}{path}", site.port());
        self.ask(Method::POST, "/url", &json!({ "url": url })).await;
        self.run("return document.body.innerText").await
    }

    /// Runs a script in the page. A promise is waited for.
    async fn run(&self, script: &str) -> String {
        let call = json!({ "script": script, "args": [] });
        let answer = self.ask(Method::POST, "/execute/sync", &call).await;
        match answer {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// The cookies that the page at hand would send.
    async fn cookies(&self) -> Vec<Value> {
        let cookies = self.ask(Method::GET, "/cookie", &Value::Null).await;
        cookies.as_array().expect("a list").clone()
    }

    async fn ask(&self, method: Method, what: &str, with: &Value) -> Value {
        let path = format!("/session/{}{what}", self.session);
        self.call(method, &path, with).await
    }

    async fn call(&self, method: Method, path: &str, with: &Value) -> Value {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await;
        let stream = TokioIo::new(stream.expect("it listens"));
        let (mut send, connection) = http1::handshake(stream).await.expect("http");
        tokio::spawn(connection);
        let body = match with {
            Value::Null => Bytes::new(),
            with => with.to_string().into(),
        };
        let request = Request::builder().method(method).uri(path);
        let request = request
            .header("host", "localhost")
            .header("content-type", "application/json");
        let request = request.body(Full::new(body)).expect("a request");
        let response = send.send_request(request).await.expect("answered");
        let body = response.into_body().collect().await.expect("a body");
        let answer: Value = serde_json::from_slice(&body.to_bytes()).expect("json");
        assert!(answer["value"]["error"].is_null(), "{answer}");
        answer["value"].clone()
    }

    async fn quit(mut self) {
        self.ask(Method::DELETE, "", &Value::Null).await;
        self.call(Method::GET, "/shutdown", &Value::Null).await;
        self.driver.wait().expect("it ends");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

async fn count(session: Session) -> Result<String> {
    Ok(session.add("n", 1)?.to_string())
}

async fn show(session: Session) -> Result<String> {
    Ok(session.get_or("n", 0)?.to_string())
}

async fn log_in(session: Session) -> Result<&'static str> {
    session.regenerate(Rotation::Authenticate)?;
    Ok("in")
}

async fn log_out(session: Session) -> Result<&'static str> {
    session.delete().await?;
    Ok("out")
}

async fn page() -> Html<&'static str> {
    Html("<!doctype html><title>a page</title>page")
}

/// A page that embeds the shop, whatever site it is itself.
async fn embedding(headers: HeaderMap) -> Html<String> {
    let host = headers[header::HOST].to_str().expect("ascii");
    let (_, port) = host.rsplit_once(':').expect("a port");
    let shop = format!("http://shop.localhost:{port}/count");
    Html(format!(
        "<!doctype html><title>a page</title><iframe src='{shop}'></iframe>"
    ))
}

async fn site(set: impl FnOnce(SessionLayerBuilder) -> SessionLayerBuilder) -> SocketAddr {
    let sessions = Sessions::builder(MemoryDriver::new())
        .lock_queue(None)
        .build();
    let layer = SessionLayer::new(sessions.expect("sound"));
    let routes = Router::new()
        .route("/page", get(page))
        .route("/embedding", get(embedding))
        .route("/count", get(count).post(count))
        .route("/show", get(show))
        .route("/log-in", get(log_in).post(log_in))
        .route("/log-out", post(log_out).get(log_out));
    let app = Router::new()
        .merge(routes.clone())
        .nest("/shop", routes)
        .layer(set(layer).build().expect("consistent"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Ends a test that hangs.
async fn watched<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(600), work)
        .await
        .expect("it hangs")
}

fn only(cookies: &[Value]) -> &Value {
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    &cookies[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium and its driver: ./test browser"]
async fn a_browser_keeps_sends_and_forgets_the_cookie_as_it_should() {
    let browser = watched(Browser::start()).await;
    watched(strict_defaults(&browser)).await;
    watched(other_attributes(&browser)).await;
    watched(visible_to_scripts(&browser)).await;
    watched(from_another_site(&browser)).await;
    watched(embedded_in_two_sites(&browser)).await;
    watched(browser.quit()).await;
}

async fn strict_defaults(browser: &Browser) {
    let site = site(|layer| layer).await;
    browser.visit(&site, "/page").await;
    assert!(
        browser.cookies().await.is_empty(),
        "an untouched page sets none"
    );

    assert_eq!(browser.visit(&site, "/count").await, "1");
    let cookies = browser.cookies().await;
    let cookie = only(&cookies);
    assert_eq!(cookie["name"], "__Host-sid");
    assert_eq!(cookie["httpOnly"], true);
    assert_eq!(cookie["secure"], true);
    assert_eq!(cookie["sameSite"], "Lax");
    assert_eq!(cookie["path"], "/");
    assert_eq!(cookie["domain"], "localhost");
    assert!(cookie["expiry"].is_null(), "it ends with the browser");
    assert_eq!(cookie["value"].as_str().map(str::len), Some(54));
    assert_eq!(browser.run("return document.cookie").await, "");

    // Ten requests at once, as browsers send them.
    let burst = "return Promise.all([...Array(10)].map(
        () => fetch('/count', {method: 'POST'}).then(answer => answer.status)
    )).then(all => all.join())";
    assert_eq!(browser.run(burst).await, ["200"; 10].join(","));
    assert_eq!(browser.visit(&site, "/show").await, "11");
    assert_eq!(only(&browser.cookies().await)["value"], cookie["value"]);

    assert_eq!(browser.visit(&site, "/log-in").await, "in");
    assert_ne!(only(&browser.cookies().await)["value"], cookie["value"]);
    assert_eq!(browser.visit(&site, "/show").await, "11");
    assert_eq!(browser.visit(&site, "/log-out").await, "out");
    assert!(browser.cookies().await.is_empty(), "it was removed");
    assert_eq!(browser.visit(&site, "/show").await, "0");
}

async fn other_attributes(browser: &Browser) {
    let site = site(|layer| {
        layer
            .with_path("/shop")
            .with_same_site(SameSite::Strict)
            .with_persistent(true)
    })
    .await;
    let before = browser.run("return Math.floor(Date.now() / 1000)").await;
    let before: i64 = before.parse().expect("a number");
    assert_eq!(browser.visit(&site, "/shop/count").await, "1");
    let cookies = browser.cookies().await;
    let cookie = only(&cookies);
    assert_eq!(cookie["name"], "__Secure-sid");
    assert_eq!(cookie["path"], "/shop");
    assert_eq!(cookie["sameSite"], "Strict");
    let first_life = cookie["expiry"].as_i64().expect("an end") - before;
    assert!((595..3600).contains(&first_life), "{first_life}");
    // It came back: a day from now on.
    assert_eq!(browser.visit(&site, "/shop/count").await, "2");
    let life = only(&browser.cookies().await)["expiry"]
        .as_i64()
        .expect("an end")
        - before;
    assert!(life > 23 * 3600, "{life}");
    assert_eq!(browser.visit(&site, "/show").await, "0", "another path");
    assert!(browser.cookies().await.is_empty());
    assert_eq!(browser.visit(&site, "/shop/log-out").await, "out");
    assert!(browser.cookies().await.is_empty());
}

async fn visible_to_scripts(browser: &Browser) {
    let site = site(|layer| layer.with_secure(false).with_http_only(false)).await;
    assert_eq!(browser.visit(&site, "/count").await, "1");
    let cookies = browser.cookies().await;
    let cookie = only(&cookies);
    assert_eq!(cookie["name"], "sid");
    assert_eq!(
        (&cookie["secure"], &cookie["httpOnly"]),
        (&json!(false), &json!(false))
    );
    let seen = browser.run("return document.cookie").await;
    assert!(seen.starts_with("sid="), "no value here: {}", seen.len());
    assert_eq!(browser.visit(&site, "/log-out").await, "out");
}

/// `127.0.0.1` is another site than `localhost`.
async fn from_another_site(browser: &Browser) {
    for (same_site, sent) in [(SameSite::Lax, "1"), (SameSite::Strict, "0")] {
        let site = site(|layer| layer.with_same_site(same_site)).await;
        let port = site.port();
        assert_eq!(browser.visit(&site, "/count").await, "1");
        let elsewhere = format!("http://127.0.0.1:{port}/page");
        let there = json!({ "url": elsewhere });
        browser.ask(Method::POST, "/url", &there).await;
        let follow = format!("location.href = 'http://localhost:{port}/show'");
        browser.run(&follow).await;
        let arrived = || async {
            let here = browser
                .run("return location.host + document.readyState")
                .await;
            here == format!("localhost:{port}complete")
        };
        while !arrived().await {
            tokio::task::yield_now().await;
        }
        let text = browser.run("return document.body.innerText").await;
        assert_eq!(text, sent, "{same_site:?}");
        browser.visit(&site, "/log-out").await;
    }
}

/// Each site that embeds the shop has a jar of its own for it.
async fn embedded_in_two_sites(browser: &Browser) {
    let site = site(|layer| layer.with_same_site(SameSite::None).with_partitioned(true)).await;
    let port = site.port();
    for (top, count) in [("one", "1"), ("two", "1"), ("one", "2"), ("shop", "1")] {
        let url = format!("http://{top}.localhost:{port}/embedding");
        browser
            .ask(Method::POST, "/url", &json!({ "url": url }))
            .await;
        let first = json!({ "id": 0 });
        browser.ask(Method::POST, "/frame", &first).await;
        let text = browser.run("return document.body.innerText").await;
        assert_eq!(text, count, "in {top}");
        let top = json!({ "id": null });
        browser.ask(Method::POST, "/frame", &top).await;
    }
    let all = json!({ "cmd": "Storage.getCookies", "params": {} });
    let all = browser.ask(Method::POST, "/goog/cdp/execute", &all).await;
    let cookies = all["cookies"].as_array().expect("a list").iter();
    let ours = cookies.filter(|cookie| cookie["domain"] == "shop.localhost");
    let mut sites: Vec<_> = ours
        .map(|cookie| {
            assert_eq!(cookie["name"], "__Host-sid");
            assert_eq!(cookie["sameSite"], "None");
            assert_eq!(
                (&cookie["secure"], &cookie["httpOnly"]),
                (&json!(true), &json!(true))
            );
            cookie["partitionKey"]["topLevelSite"].clone()
        })
        .collect();
    sites.sort_by_key(Value::to_string);
    let expected = ["one", "shop", "two"].map(|site| format!("http://{site}.localhost"));
    assert_eq!(sites, expected);
}
