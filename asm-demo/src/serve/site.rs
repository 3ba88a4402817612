//! The site: its state, its layers, its routes.

use std::{ops::Deref, sync::Arc, time::Duration};

use asm_core::Driver;
use asm_session::{Key, ProfilePolicy, Sessions};
use asm_tower::{ConfigError, SessionLayer, Sweeping};
use axum::{
    Router,
    http::{HeaderMap, HeaderValue, header},
    middleware,
};
use tokio::sync::watch;

use super::{
    assets, guard, lane::Notes, pages, runs::Runs, vault::Vault, visitor::Guise, visitor::Visitor,
    words,
};
use crate::observed::Observed;

/// How many may wait for one lock: more than any run has requests.
const QUEUE: u32 = 64;

const SWEEP: Duration = Duration::from_secs(300);

/// What all pages share.
#[derive(Clone)]
pub(super) struct Site(Arc<Shared>);

pub(super) struct Shared {
    pub(super) sessions: Sessions,
    /// The driver, as it was named on the command line, without a password.
    pub(super) driver: String,
    pub(super) port: u16,
    pub(super) cookie: String,
    pub(super) runs: Runs,
    pub(super) visitor: Visitor,
    pub(super) vault: Vault,
    /// Whether it is to end.
    pub(super) stop: watch::Receiver<bool>,
    layer: SessionLayer,
    _sweeping: Sweeping,
}

/// Why it could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsound {
    #[error(transparent)]
    Session(#[from] asm_session::SessionError),
    #[error(transparent)]
    Layer(#[from] ConfigError),
    #[error(transparent)]
    Vault(#[from] super::vault::Unsound),
}

impl Site {
    /// The site over this driver, to be served at the visitor's address.
    pub(super) fn new(
        driver: Arc<dyn Driver>,
        name: String,
        visitor: Visitor,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Unsound> {
        let port = visitor.site.port();
        // Named by its port: to a browser all ports of a host share their cookies.
        let cookie = format!("asm-demo-{port}");
        let vault = Vault::new(&driver)?;
        let observed = Observed {
            driver,
            observer: Notes,
        };
        let sessions = Sessions::builder(observed)
            .lock_queue(QUEUE)
            .decisions(ProfilePolicy::Lenient)
            .build()?;
        let layer = SessionLayer::new(sessions.clone())
            .with_name(&cookie)
            // There is no TLS, and not every browser takes this machine for secure without.
            .with_secure(false)
            .without_bots()
            .with_on_error(words::failed)
            .build()?;
        let sweeping = layer.sweep_every(SWEEP);
        Ok(Self(Arc::new(Shared {
            sessions,
            driver: name,
            port,
            cookie,
            runs: Runs::default(),
            visitor,
            vault,
            stop,
            layer,
            _sweeping: sweeping,
        })))
    }

    /// Everything that it answers.
    pub(super) fn router(&self) -> Router {
        pages::router()
            .layer(self.layer.clone())
            .merge(assets::router())
            .layer(middleware::from_fn_with_state(self.clone(), guard::guard))
            .with_state(self.clone())
    }

    /// Waits until the site is to end.
    pub(super) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // Nobody is left to say so: then it is to end, too.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// The browser of a request, for requests that the site sends in its place.
    pub(super) fn guise(&self, headers: &HeaderMap) -> Guise {
        let user_agent = headers.get(header::USER_AGENT);
        Guise {
            cookie: self.brought(headers).map(Into::into),
            user_agent: user_agent
                .cloned()
                .unwrap_or_else(|| HeaderValue::from_static("asm-demo")),
        }
    }

    /// The session's cookie that a request brought, as `name=value`.
    pub(super) fn brought<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let lines = headers.get_all(header::COOKIE).iter();
        let pairs = lines.filter_map(|line| line.to_str().ok());
        let mut pairs = pairs.flat_map(|line| line.split(';').map(str::trim));
        pairs.find(|pair| {
            pair.split_once('=')
                .is_some_and(|(name, _)| name == self.cookie)
        })
    }

    /// The sessions of an account: never one of an application whose store this is, too.
    pub(super) fn account(user: &str) -> String {
        format!("asm-demo:{user}")
    }

    /// The session of this handle, if it is one of the account's.
    pub(super) async fn of_account(
        &self,
        user: &str,
        handle: &str,
    ) -> asm_session::Result<Option<Key>> {
        let listed = self.sessions.subject(&Self::account(user)).list().await?;
        let mut handles = listed.iter().map(|listed| listed.handle);
        let wanted = Key::from_hex(handle);
        Ok(handles.find(|handle| Some(*handle) == wanted))
    }

    /// The session that a cookie names, if it is one.
    pub(super) fn handle_of(cookie: &str) -> Option<Key> {
        let (_, id) = cookie.split_once('=')?;
        let id = asm_session::SessionId::parse(id).ok()?;
        Some(id.handle())
    }
}

impl Deref for Site {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
