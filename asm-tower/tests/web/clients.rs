//! Who a request comes from.

use std::net::SocketAddr;

use asm_session::{Bots, Client, ClientKind, Event, Events, Lifetimes};
use asm_tower::{ForwardedHeader, Peer, SessionLayer, SessionLayerBuilder, kind_by_name};
use async_trait::async_trait;
use axum::{Extension, Router, extract::ConnectInfo, routing::post};
use http::{HeaderName, Method, header};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::handlers::count;
use crate::world::{Browser, World, watched};

/// Hands on who brought an invalid id: a way to see what the session layer is told of a client.
struct Reporter(UnboundedSender<Client>);

#[async_trait]
impl Events for Reporter {
    async fn on(&self, event: Event) {
        if let Event::Invalid { client, .. } = event {
            self.0.send(client).expect("the test listens");
        }
    }
}

fn site(
    world: &World,
    set: impl FnOnce(SessionLayerBuilder) -> SessionLayerBuilder,
) -> (Router, UnboundedReceiver<Client>) {
    let (tell, told) = unbounded_channel();
    let sessions = world.builder().events(Reporter(tell)).build();
    let layer = set(SessionLayer::new(sessions.expect("sound")));
    let app = Router::new().route("/count", post(count));
    (app.layer(layer.build().expect("consistent")), told)
}

/// What the session layer is told of this browser.
async fn seen(browser: &Browser, told: &mut UnboundedReceiver<Client>) -> Client {
    let nobody = browser.with_id("nonsense");
    nobody.send(Method::POST, "/count").await.ok();
    watched(told.recv()).await.expect("told")
}

#[tokio::test]
async fn a_client_is_known_by_its_address_its_name_and_what_the_application_adds() {
    let world = World::new();
    let (app, mut told) = site(&world, |layer| {
        layer
            .with_trusted_proxies(
                ForwardedHeader::XForwardedFor,
                ["192.0.2.0/24".parse().expect("a net")],
            )
            .with_client_extra(|headers| Some(headers.get("x-ja4")?.to_str().ok()?.to_owned()))
    });
    let forwarded = HeaderName::from_static("x-forwarded-for");
    let peer: SocketAddr = ([192, 0, 2, 1], 443).into();
    let through_proxy = [
        app.clone().layer(Extension(Peer(peer.ip()))),
        app.clone().layer(Extension(ConnectInfo(peer))),
        app.clone().layer(Extension(peer)),
    ];
    for app in through_proxy {
        let browser = Browser::of(&app)
            .with_header(forwarded.clone(), "198.51.100.7")
            .with_header(header::USER_AGENT, "Mozilla/5.0 Gecko/1 Firefox/140")
            .with_header(HeaderName::from_static("x-ja4"), "t13d");
        let client = seen(&browser, &mut told).await;
        assert_eq!(client.ip, Some([198, 51, 100, 7].into()));
        let name = client.user_agent.as_deref();
        assert_eq!(name, Some("Mozilla/5.0 Gecko/1 Firefox/140"));
        assert_eq!(client.kind, ClientKind::Human);
        assert_eq!(client.extra.as_deref(), Some("t13d"));
    }
    // Somebody else's header is not believed.
    let direct = app.layer(Extension(Peer([203, 0, 113, 9].into())));
    let browser = Browser::of(&direct).with_header(forwarded, "198.51.100.7");
    let client = seen(&browser, &mut told).await;
    assert_eq!(client.ip, Some([203, 0, 113, 9].into()));
    assert_eq!((client.user_agent, client.extra), (None, None));
}

#[tokio::test]
async fn the_session_of_a_bot_may_not_be_stored_at_all() {
    let world = World::new();
    let lifetimes = Lifetimes::builder().bots(Bots::NoStore).build();
    let sessions = world
        .builder()
        .lifetimes(lifetimes.expect("sound"))
        .build()
        .expect("sound");
    let router = |layer: SessionLayerBuilder| {
        let layer = layer.build().expect("consistent");
        Router::new().route("/count", post(count)).layer(layer)
    };
    let by_name = router(SessionLayer::new(sessions.clone()));
    let crawler = Browser::of(&by_name).with_header(header::USER_AGENT, "Googlebot/2.1");
    let answer = crawler.send(Method::POST, "/count").await;
    assert_eq!(answer.ok(), "1");
    assert_eq!(answer.cookie("__Host-sid"), None);
    assert_eq!(world.memory.sessions(), 0);

    // The application knows better: its own client is no bot, whatever it is called.
    let asked = router(SessionLayer::new(sessions.clone()).with_bots(|client| {
        match client.user_agent.as_deref() {
            Some("our-app/1.0") => ClientKind::Human,
            name => kind_by_name(name),
        }
    }));
    for (name, stored) in [("our-app/1.0", true), ("other-app/1.0", false)] {
        let client = Browser::of(&asked).with_header(header::USER_AGENT, name);
        let answer = client.send(Method::POST, "/count").await;
        assert_eq!(answer.cookie("__Host-sid").is_some(), stored, "{name}");
    }
    let nobody = router(SessionLayer::new(sessions).without_bots());
    let crawler = Browser::of(&nobody).with_header(header::USER_AGENT, "Googlebot/2.1");
    let answer = crawler.send(Method::POST, "/count").await;
    assert!(answer.cookie("__Host-sid").is_some());
}
