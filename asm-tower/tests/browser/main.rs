//! The cookie as a browser sees it.

use std::{future::Future, net::SocketAddr, time::Duration};

use asm_browser::Browser;
use asm_memory::MemoryDriver;
use asm_session::{Rotation, Sessions};
use asm_tower::{Result, SameSite, Session, SessionLayer, SessionLayerBuilder};
use axum::{
    Router,
    response::Html,
    routing::{get, post},
};
use http::{HeaderMap, Method, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

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

/// Goes there, and answers the text of the page.
async fn visit(browser: &Browser, site: &SocketAddr, path: &str) -> String {
    let url = format!("http://localhost:{}{path}", site.port());
    browser.visit(&url).await
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
    visit(browser, &site, "/page").await;
    assert!(
        browser.cookies().await.is_empty(),
        "an untouched page sets none"
    );

    assert_eq!(visit(browser, &site, "/count").await, "1");
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
    assert_eq!(visit(browser, &site, "/show").await, "11");
    assert_eq!(only(&browser.cookies().await)["value"], cookie["value"]);

    assert_eq!(visit(browser, &site, "/log-in").await, "in");
    assert_ne!(only(&browser.cookies().await)["value"], cookie["value"]);
    assert_eq!(visit(browser, &site, "/show").await, "11");
    assert_eq!(visit(browser, &site, "/log-out").await, "out");
    assert!(browser.cookies().await.is_empty(), "it was removed");
    assert_eq!(visit(browser, &site, "/show").await, "0");
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
    assert_eq!(visit(browser, &site, "/shop/count").await, "1");
    let cookies = browser.cookies().await;
    let cookie = only(&cookies);
    assert_eq!(cookie["name"], "__Secure-sid");
    assert_eq!(cookie["path"], "/shop");
    assert_eq!(cookie["sameSite"], "Strict");
    let first_life = cookie["expiry"].as_i64().expect("an end") - before;
    assert!((595..3600).contains(&first_life), "{first_life}");
    // It came back: a day from now on.
    assert_eq!(visit(browser, &site, "/shop/count").await, "2");
    let life = only(&browser.cookies().await)["expiry"]
        .as_i64()
        .expect("an end")
        - before;
    assert!(life > 23 * 3600, "{life}");
    assert_eq!(visit(browser, &site, "/show").await, "0", "another path");
    assert!(browser.cookies().await.is_empty());
    assert_eq!(visit(browser, &site, "/shop/log-out").await, "out");
    assert!(browser.cookies().await.is_empty());
}

async fn visible_to_scripts(browser: &Browser) {
    let site = site(|layer| layer.with_secure(false).with_http_only(false)).await;
    assert_eq!(visit(browser, &site, "/count").await, "1");
    let cookies = browser.cookies().await;
    let cookie = only(&cookies);
    assert_eq!(cookie["name"], "sid");
    assert_eq!(
        (&cookie["secure"], &cookie["httpOnly"]),
        (&json!(false), &json!(false))
    );
    let seen = browser.run("return document.cookie").await;
    assert!(seen.starts_with("sid="), "no value here: {}", seen.len());
    assert_eq!(visit(browser, &site, "/log-out").await, "out");
}

/// `127.0.0.1` is another site than `localhost`.
async fn from_another_site(browser: &Browser) {
    for (same_site, sent) in [(SameSite::Lax, "1"), (SameSite::Strict, "0")] {
        let site = site(|layer| layer.with_same_site(same_site)).await;
        let port = site.port();
        assert_eq!(visit(browser, &site, "/count").await, "1");
        let elsewhere = format!("http://127.0.0.1:{port}/page");
        browser.visit(&elsewhere).await;
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
        visit(browser, &site, "/log-out").await;
    }
}

/// Each site that embeds the shop has a jar of its own for it.
async fn embedded_in_two_sites(browser: &Browser) {
    let site = site(|layer| layer.with_same_site(SameSite::None).with_partitioned(true)).await;
    let port = site.port();
    for (top, count) in [("one", "1"), ("two", "1"), ("one", "2"), ("shop", "1")] {
        let url = format!("http://{top}.localhost:{port}/embedding");
        browser.visit(&url).await;
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
