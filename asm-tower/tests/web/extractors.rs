//! What is extracted from a request is one session.

use asm_core::ErrorKind;
use asm_session::{LockMode, SessionError as Inner};
use asm_testkit::{Fault, Verb};
use asm_tower::{
    Entry, FlashLevel, LazySession, LockedSession, ReadSession, Result, Session, SessionError,
    SessionLayer, Typed,
};
use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
    routing::{get, post},
};
use futures_util::future::join;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::handlers::count;
use crate::world::{Browser, World, plain, watched};

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cart(Vec<String>);

impl Entry for Cart {
    const KEY: &'static str = "cart";
}

#[tokio::test]
async fn all_extractors_of_a_handler_share_one_session_and_one_lock() {
    async fn all(
        read: ReadSession,
        session: Session,
        cart: Typed<Cart>,
        locked: LockedSession,
        lazy: LazySession,
        again: Session,
    ) -> Result<String> {
        session.insert("n", &5)?;
        cart.set(&Cart(vec!["book".into()]))?;
        assert_eq!(read.get_or("n", 0)?, 5);
        assert_eq!(again.get::<Cart>("cart")?, cart.get()?);
        assert!(locked.is_locked()? && lazy.is_open());
        assert_eq!(lazy.open().await?.handle()?, read.handle()?);
        Ok(lazy.lock().await?.add("n", 1)?.to_string())
    }
    let world = World::new();
    let app = Router::new()
        .route("/all", get(all).post(all))
        .route("/count", post(count))
        .layer(world.layer());
    let mut browser = Browser::known(&app).await;
    browser.post("/count").await.ok();
    for method in [http::Method::GET, http::Method::POST] {
        world.calls();
        let answer = watched(browser.ask(method.clone(), "/all")).await;
        assert_eq!(answer.ok(), "6");
        // One look, the lock when it was wanted after that, one save that gives it back.
        let calls = [(Verb::Open, 1), (Verb::Acquire, 1), (Verb::Save, 1)];
        world.calls().expect(&calls);
        assert!(world.lock_of(browser.id()).await.holder.is_none());
        browser.post("/count").await.ok();
    }
}

#[tokio::test]
async fn a_middleware_that_looks_first_shares_the_handlers_session() {
    async fn guard(lazy: LazySession, request: Request, next: Next) -> Result<Response> {
        if lazy.has_id() && lazy.read().await?.contains_key("banned")? {
            return Err(SessionError::Rejected(StatusCode::FORBIDDEN));
        }
        Ok(next.run(request).await)
    }
    async fn ban(session: Session) -> Result<()> {
        session.insert("banned", &true)
    }
    async fn hello() -> &'static str {
        "hello"
    }
    let world = World::new();
    let app = Router::new()
        .route("/count", get(count).post(count))
        .route("/ban", post(ban))
        .route("/hello", get(hello))
        .layer(from_fn(guard))
        .layer(world.layer());
    let mut browser = Browser::of(&app);
    let answer = browser.get("/hello").await;
    assert_eq!(answer.ok(), "hello");
    assert_eq!(answer.headers["vary"], "cookie", "it looked for a cookie");
    world.calls().expect(&[]);
    assert_eq!(browser.get("/count").await.ok(), "1");
    assert_eq!(browser.get("/count").await.ok(), "2");
    world.calls();
    assert_eq!(browser.get("/count").await.ok(), "3");
    world.calls().expect(&[(Verb::Open, 1), (Verb::Save, 1)]);
    assert_eq!(browser.post("/count").await.ok(), "4");
    world
        .calls()
        .expect(&[(Verb::Open, 1), (Verb::Acquire, 1), (Verb::Save, 1)]);
    browser.post("/ban").await.ok();
    assert_eq!(browser.get("/hello").await.status, 403);
}

#[tokio::test]
async fn a_read_session_waits_for_no_lock() {
    async fn read(session: ReadSession) -> Result<String> {
        assert_eq!(session.mode()?, LockMode::ReadOnly);
        Ok(session.get_or("n", 0)?.to_string())
    }
    let world = World::new();
    let app = Router::new()
        .route("/read", post(read))
        .route("/count", post(count))
        .layer(world.layer());
    let mut browser = Browser::known(&app).await;
    let locking = world.sessions().with_mode(LockMode::OnOpen);
    let client = asm_session::Client::default();
    let _holder = locking.open(browser.id(), &client).await.expect("free");
    assert_eq!(watched(browser.post("/read")).await.ok(), "1");
}

#[tokio::test]
async fn typed_entries_are_read_changed_and_taken() {
    async fn add(cart: Typed<Cart>) -> Result<String> {
        let cart = cart.update(|cart| {
            let mut cart = cart.unwrap_or_default();
            cart.0.push("book".into());
            Some(cart)
        })?;
        Ok(cart.unwrap_or_default().0.join(","))
    }
    async fn order(cart: Typed<Cart>) -> Result<String> {
        assert!(!cart.get_or_default()?.0.is_empty());
        let ordered = cart.take().await?.unwrap_or_default();
        assert_eq!(cart.get()?, None);
        assert!(!cart.remove()?);
        cart.session().insert("ordered", &ordered.0.len())?;
        Ok(ordered.0.join(","))
    }
    async fn spoil(session: Session) -> Result<()> {
        session.insert("cart", "no cart")
    }
    let app = Router::new()
        .route("/add", post(add))
        .route("/order", post(order))
        .route("/spoil", post(spoil))
        .layer(World::new().layer());
    let mut browser = Browser::of(&app);
    assert_eq!(browser.post("/add").await.ok(), "book");
    assert_eq!(browser.post("/add").await.ok(), "book,book");
    assert_eq!(browser.post("/order").await.ok(), "book,book");
    assert_eq!(browser.post("/add").await.ok(), "book");
    browser.post("/spoil").await.ok();
    assert_eq!(browser.post("/add").await.status, 500);
}

#[tokio::test]
async fn a_flash_message_is_shown_once_whoever_asks() {
    async fn leave(session: Session) -> Result<()> {
        session.flash(FlashLevel::Success, "saved")?;
        session.flash(FlashLevel::Warning, String::from("twice"))
    }
    async fn page(session: Session) -> Result<String> {
        let messages = session.flashes().await?;
        let lines = messages
            .iter()
            .map(|message| format!("{}: {}", message.level, message.text));
        Ok(lines.collect::<Vec<_>>().join("; "))
    }
    let world = World::new();
    let app = Router::new()
        .route("/leave", post(leave))
        .route("/page", get(page))
        .layer(world.layer());
    let mut browser = Browser::of(&app);
    browser.post("/leave").await.ok();
    browser.post("/leave").await.ok();
    let pages = (0..8).map(|_| tokio::spawn(browser.send(http::Method::GET, "/page")));
    let mut shown = Vec::new();
    for page in pages.collect::<Vec<_>>() {
        let page = page.await.expect("no panic");
        shown.extend(Some(page.ok().to_owned()).filter(|page| !page.is_empty()));
    }
    let two = "success: saved; warning: twice";
    assert_eq!(shown, [format!("{two}; {two}")]);
    world.calls();
    assert_eq!(browser.get("/page").await.ok(), "");
    world.calls().expect(&[(Verb::Open, 1)]);
}

#[tokio::test]
async fn what_one_future_is_doing_with_the_session_another_one_is_told() {
    async fn both(session: Session) -> Result<String> {
        session.insert("n", &1)?;
        let (saved, read) = join(session.save(), async { session.get_or("n", 0) }).await;
        saved?;
        assert!(matches!(read, Err(SessionError::Busy)), "{read:?}");
        // Those who wait do so one after the other.
        let (first, second) = join(session.save(), session.take::<i32>("n")).await;
        first?;
        Ok(second?.unwrap_or_default().to_string())
    }
    let world = World::new();
    let (chaos, sessions) = world.chaos();
    chaos.layer().pause(2);
    let layer = plain(sessions);
    let app = Router::new().route("/both", post(both)).layer(layer);
    assert_eq!(watched(Browser::of(&app).post("/both")).await.ok(), "1");
}

#[tokio::test]
async fn a_route_without_a_layer_says_so() {
    let app = Router::new().route("/count", post(count));
    let answer = Browser::of(&app).post("/count").await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.text, "Internal Server Error");
}

#[tokio::test]
async fn two_layers_stand_on_one_router() {
    async fn both(shop: Session, lazy: LazySession) -> Result<String> {
        let admin = lazy.named("__Host-admin")?.open().await?;
        assert_eq!(
            lazy.named("__Host-sid")?.open().await?.handle()?,
            shop.handle()?
        );
        assert!(matches!(lazy.named("other"), Err(SessionError::NoLayer)));
        Ok(format!("{} {}", shop.add("n", 1)?, admin.add("n", 10)?))
    }
    let (shop, admin) = (World::new(), World::new());
    let layer = SessionLayer::new(admin.sessions()).with_name("__Host-admin");
    let layer = layer.build().expect("sound");
    assert_eq!(layer.name(), "__Host-admin");
    let app = Router::new()
        .route("/both", post(both))
        .layer(shop.layer())
        .route("/admin", post(count))
        .layer(layer);
    let browser = Browser::of(&app);
    let answer = browser.send(http::Method::POST, "/both").await;
    assert_eq!(answer.ok(), "1 10");
    let mut of_shop = browser.clone();
    of_shop.learn(&answer);
    let mut of_admin = browser.clone();
    of_admin.name = "__Host-admin";
    of_admin.learn(&answer);
    assert_eq!(of_shop.post("/both").await.ok(), "2 10");
    assert_eq!(of_admin.post("/admin").await.ok(), "11");
    assert_eq!(of_admin.post("/both").await.ok(), "1 21");
}

#[tokio::test]
async fn an_extractor_whose_open_failed_may_be_tried_again() {
    async fn twice(lazy: LazySession) -> Result<String> {
        let first = lazy.open().await.expect_err("the store is away");
        assert!(matches!(first, SessionError::Session(Inner::Store(_))));
        let session = lazy.open().await?;
        Ok(session.add("n", 1)?.to_string())
    }
    let world = World::new();
    let (chaos, sessions) = world.chaos();
    let app = Router::new()
        .route("/count", post(count))
        .route("/twice", get(twice))
        .layer(plain(sessions));
    let mut browser = Browser::known(&app).await;
    let away = Fault::Refused(ErrorKind::Unavailable);
    chaos.layer().next(Verb::Open, away);
    assert_eq!(browser.get("/twice").await.ok(), "2");
}

#[tokio::test]
async fn fields_are_changed_beside_the_session() {
    async fn click(session: Session) -> Result<String> {
        let fields = session.fields();
        fields.push("pages", "click").await?;
        Ok(fields.incr("clicks", 1).await?.to_string())
    }
    let world = World::new();
    let app = Router::new()
        .route("/click", get(click))
        .layer(world.layer());
    let mut browser = Browser::of(&app);
    assert_eq!(browser.get("/click").await.ok(), "1");
    assert!(browser.id.is_some(), "the first one stores the session");
    assert_eq!(browser.get("/click").await.ok(), "2");
}
