//! The layer, and how it is set up.

use std::{
    fmt::{self, Debug},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use asm_core::Key;
use asm_session::{Client, ClientKind, InvalidReason, LockMode, Sessions};
use bytes::Bytes;
use cookie::SameSite;
use http::{HeaderMap, Method, Response, StatusCode, response};
use ipnet::IpNet;
use tower_layer::Layer;

use crate::{
    CachePolicy, ForwardedHeader, SessionError, SessionService, Transport,
    client::{Bots, ClientSettings},
    cookies::CookieSettings,
    modes::Modes,
};

/// Gives each request a session, if it asks for one.
///
/// ```
/// use asm_memory::MemoryDriver;
/// use asm_session::Sessions;
/// use asm_tower::{SameSite, SessionLayer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sessions = Sessions::builder(MemoryDriver::new()).build()?;
/// let layer = SessionLayer::new(sessions)
///     .with_same_site(SameSite::Strict)
///     .with_persistent(true)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SessionLayer {
    config: Arc<Config>,
}

impl SessionLayer {
    /// A layer over these sessions, with everything else still to be set.
    #[expect(
        clippy::new_ret_no_self,
        reason = "what is inconsistent is refused when it is built"
    )]
    pub fn new(sessions: Sessions) -> SessionLayerBuilder {
        SessionLayerBuilder {
            config: Config {
                sessions,
                cookie: CookieSettings::default(),
                transport: Transport::default(),
                modes: Modes::default(),
                cache: CachePolicy::default(),
                client: ClientSettings::default(),
                own_hosts: None,
                retry_after: SessionError::RETRY_AFTER,
                saves: None,
                on_error: None,
                on_invalid: None,
                #[cfg(feature = "metrics")]
                metered: false,
            },
        }
    }

    /// The sessions that it gives out: for what is done outside of requests.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.config.sessions
    }

    /// Removes expired sessions every so often, as long as what it answers is kept: see
    /// [`Sweeping`](crate::Sweeping).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[cfg(feature = "tokio")]
    pub fn sweep_every(&self, period: Duration) -> crate::Sweeping {
        crate::Sweeping::every(period, self.sessions())
    }

    /// The name of its cookie, by which it is told from other layers.
    #[must_use]
    pub fn name(&self) -> &str {
        self.config.name()
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService::new(inner, Arc::clone(&self.config))
    }
}

/// What all requests of a layer share.
pub(crate) struct Config {
    pub(crate) sessions: Sessions,
    pub(crate) cookie: CookieSettings,
    pub(crate) transport: Transport,
    pub(crate) modes: Modes,
    pub(crate) cache: CachePolicy,
    pub(crate) client: ClientSettings,
    /// Those whose pages may lead here besides our own; `None`: any.
    pub(crate) own_hosts: Option<Vec<String>>,
    pub(crate) retry_after: Duration,
    saves: Option<Arc<dyn Fn(StatusCode) -> bool + Send + Sync>>,
    pub(crate) on_error: Option<Arc<OnError>>,
    pub(crate) on_invalid: Option<Arc<OnInvalid>>,
    #[cfg(feature = "metrics")]
    pub(crate) metered: bool,
}

type OnError = dyn Fn(Failure<'_>) -> Response<Bytes> + Send + Sync;
type OnInvalid = dyn Fn(&Invalid<'_>) -> Option<StatusCode> + Send + Sync;

impl Config {
    pub(crate) fn name(&self) -> &str {
        self.cookie.name()
    }

    /// Whether what was changed by a request that is answered so is to last.
    pub(crate) fn saves(&self, status: StatusCode) -> bool {
        match &self.saves {
            Some(saves) => crate::client::guarded(|| saves(status)).unwrap_or(false),
            None => !status.is_server_error() && status != StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// A session that was not saved, or could not be opened, and the response that the handler had made
/// of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// What went wrong.
    pub error: &'a SessionError,
    /// The head of the handler's response.
    pub response: &'a response::Parts,
    retry_after: Duration,
}

impl<'a> Failure<'a> {
    pub(crate) const fn new(
        error: &'a SessionError,
        response: &'a response::Parts,
        retry_after: Duration,
    ) -> Self {
        Self {
            error,
            response,
            retry_after,
        }
    }

    /// The response that is sent without a hook.
    #[must_use]
    pub fn default_response(&self) -> Response<Bytes> {
        self.error.response(self.retry_after)
    }
}

/// An id that opened no session.
#[derive(Debug)]
#[non_exhaustive]
pub struct Invalid<'a> {
    /// Why.
    pub reason: InvalidReason,
    /// The session that it named, if it was an id.
    pub handle: Option<Key>,
    /// Whether the client sent several of them. Then none was looked at.
    pub several: bool,
    /// Who sent it.
    pub client: &'a Client,
}

/// Sets up a [`SessionLayer`]. What is left out has a default that is right for most sites.
#[must_use]
pub struct SessionLayerBuilder {
    config: Config,
}

/// The cookie.
impl SessionLayerBuilder {
    /// Its name. Unless set, the one with the strictest prefix that the rest allows: `__Host-sid`,
    /// `__Secure-sid` with a domain or a path, `sid` when it is not secure.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.config.cookie.name = Some(name.into());
        self
    }

    /// The paths that it is sent to: `/`, which is all.
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.config.cookie.path = path.into();
        self
    }

    /// The domain whose hosts it is sent to. Unless set it is the one host that set it.
    pub fn with_domain(mut self, domain: impl Into<String>) -> Self {
        self.config.cookie.domain = Some(domain.into());
        self
    }

    /// Whether it is sent over TLS only. It is unless set; browsers take `localhost` for secure.
    pub const fn with_secure(mut self, secure: bool) -> Self {
        self.config.cookie.secure = secure;
        self
    }

    /// Whether it is hidden from scripts. It is unless set.
    pub const fn with_http_only(mut self, http_only: bool) -> Self {
        self.config.cookie.http_only = http_only;
        self
    }

    /// Whether it is sent along from pages of other sites; `Lax` unless set.
    pub const fn with_same_site(mut self, same_site: SameSite) -> Self {
        self.config.cookie.same_site = same_site;
        self
    }

    /// Whether pages that embed this site in different sites each have a cookie of their own
    /// (CHIPS). Not unless set.
    pub const fn with_partitioned(mut self, partitioned: bool) -> Self {
        self.config.cookie.partitioned = partitioned;
        self
    }

    /// Whether it outlives the browser, for as long as its session lives. Unless set, only that of a
    /// session does that was given a [life of its own](crate::Session::set_lifetime).
    #[doc(alias = "with_expiry")]
    #[doc(alias = "session_lifecycle")]
    pub const fn with_persistent(mut self, persistent: bool) -> Self {
        self.config.cookie.persistent = persistent;
        self
    }

    /// Seals the cookie by these keys: its client sees neither the handle nor the secret, cannot
    /// change them, and what a stranger made up is refused without a call of the store. Cookies that
    /// an older key sealed are sealed anew; unsealed ones count as invalid.
    #[cfg(feature = "sealed-cookie")]
    #[doc(alias = "with_private")]
    #[doc(alias = "with_signed")]
    #[doc(alias = "cookie_content_security")]
    pub fn with_sealed_cookie(mut self, keys: asm_crypt::KeyRing) -> Self {
        // It ends with its session; the seal needs no end of its own.
        let seal = asm_crypt::CookieSeal::new(keys, "session").lifetime(Duration::MAX);
        self.config.cookie.sealing.seal = Some(seal);
        self
    }

    /// What carries the id; a cookie unless set.
    pub const fn with_transport(mut self, transport: Transport) -> Self {
        self.config.transport = transport;
        self
    }

    /// What caches are told of responses for which a session was opened: what the response varies
    /// by, unless set.
    #[doc(alias = "cache_limiter")]
    pub const fn with_cache_policy(mut self, policy: CachePolicy) -> Self {
        self.config.cache = policy;
        self
    }
}

/// Modes, and what is saved.
impl SessionLayerBuilder {
    /// The mode of all requests. Unless set it is `Optimistic` for `GET`, `HEAD` and `OPTIONS`, and
    /// `OnOpen` for everything else.
    pub fn with_mode(mut self, mode: LockMode) -> Self {
        self.config.modes = Modes::all(mode);
        self
    }

    /// The mode of requests of one method.
    pub fn with_method_mode(mut self, method: Method, mode: LockMode) -> Self {
        self.config.modes.set(method, mode);
        self
    }

    /// Whether the changes of a request that is answered with this status are saved. Unless set,
    /// all but those answered with a server error, or with 408, which is how time-outs answer
    /// for a handler that they stopped in the middle.
    ///
    /// What the handler saved itself is saved; what answers with a [`SessionError`] is not.
    #[doc(alias = "with_always_save")]
    pub fn with_saves(
        mut self,
        saves: impl Fn(StatusCode) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.config.saves = Some(Arc::new(saves));
        self
    }

    /// When clients may try again after a 503: in 1 s. Whole seconds, at least one.
    pub const fn with_retry_after(mut self, time: Duration) -> Self {
        self.config.retry_after = time;
        self
    }

    /// What is answered when a session could not be opened or saved. It sees what the handler
    /// answered. Unless set: a line of text with the [status](SessionError::status) of the error.
    ///
    /// ```
    /// # use asm_session::Sessions;
    /// # fn example(sessions: Sessions) -> Result<(), Box<dyn std::error::Error>> {
    /// use asm_tower::SessionLayer;
    ///
    /// let layer = SessionLayer::new(sessions)
    ///     .with_on_error(|failure| {
    ///         let problem = r#"{"title":"Please try again"}"#;
    ///         failure.default_response().map(|_| problem.into())
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_on_error(
        mut self,
        answer: impl Fn(Failure<'_>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.config.on_error = Some(Arc::new(answer));
        self
    }

    /// Measures what its sessions do, for the recorder of the `metrics` crate that the application
    /// installed: the chapter on [errors](crate::docs::errors) names all figures.
    #[cfg(feature = "metrics")]
    pub const fn with_metrics(mut self) -> Self {
        self.config.metered = true;
        self
    }

    /// What a client is answered that brings an invalid id: with `None`, which it is unless set, a
    /// new session; with a status, that, and its handler does not run.
    ///
    /// It runs before the response of the request, so it is to be quick. What only wants to know
    /// is an [`Events`](asm_session::Events).
    ///
    /// ```
    /// # use asm_session::Sessions;
    /// # fn example(sessions: Sessions, limiter: impl Fn() -> bool + Send + Sync + 'static)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use asm_tower::{SessionLayer, StatusCode};
    ///
    /// let layer = SessionLayer::new(sessions)
    ///     .with_on_invalid(move |_| (!limiter()).then_some(StatusCode::TOO_MANY_REQUESTS))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_on_invalid(
        mut self,
        answer: impl Fn(&Invalid<'_>) -> Option<StatusCode> + Send + Sync + 'static,
    ) -> Self {
        self.config.on_invalid = Some(Arc::new(answer));
        self
    }
}

/// Clients.
impl SessionLayerBuilder {
    /// The proxies that are believed when they say in this header for whom they ask. Nobody is
    /// unless set.
    pub fn with_trusted_proxies(
        mut self,
        header: ForwardedHeader,
        proxies: impl IntoIterator<Item = IpNet>,
    ) -> Self {
        let proxies = proxies.into_iter().map(|net| net.trunc()).collect();
        self.config.client.proxies = Some((header, proxies));
        self
    }

    /// As [`with_trusted_proxies`](Self::with_trusted_proxies), by their addresses.
    pub fn with_trusted_proxy(self, header: ForwardedHeader, proxy: IpAddr) -> Self {
        self.with_trusted_proxies(header, [IpNet::from(proxy)])
    }

    /// Who tells bots from humans, instead of the names that bots give themselves. It is given all
    /// that is known of a client, and [`kind_by_name`](crate::kind_by_name) is there to ask.
    pub fn with_bots(
        mut self,
        classify: impl Fn(&Client) -> ClientKind + Send + Sync + 'static,
    ) -> Self {
        self.config.client.bots = Bots::Asked(Arc::new(classify));
        self
    }

    /// Takes nobody for a bot.
    pub fn without_bots(mut self) -> Self {
        self.config.client.bots = Bots::Unknown;
        self
    }

    /// What else belongs to the profile of a client: a device's name, a fingerprint of its TLS
    /// hello that a proxy sends along. It runs for each request, so it is to be quick.
    pub fn with_client_extra(
        mut self,
        extra: impl Fn(&HeaderMap) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.config.client.extra = Some(Arc::new(extra));
        self
    }

    /// Looks at the `Referer` of requests: those that were led here by a page of another host than
    /// our own or these get a fresh session, whatever id they bring; theirs is not opened. Who
    /// says nothing is not led. Off unless set.
    #[doc(alias = "referer_check")]
    pub fn with_referrer_check(
        mut self,
        hosts: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.config.own_hosts = Some(hosts.into_iter().map(Into::into).collect());
        self
    }
}

impl SessionLayerBuilder {
    /// The layer.
    ///
    /// # Errors
    /// What browsers would drop, and what makes no sense together.
    pub fn build(self) -> Result<SessionLayer, ConfigError> {
        self.config.cookie.check()?;
        Ok(SessionLayer {
            config: Arc::new(self.config),
        })
    }
}

/// What is wrong with the settings of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A name is a token: letters, digits, and some signs.
    #[error("the cookie's name is no token")]
    CookieName,
    /// A path begins with a slash and has no semicolon.
    #[error("the cookie's path is none")]
    CookiePath,
    /// A domain is letters, digits, dots and hyphens.
    #[error("the cookie's domain is none")]
    CookieDomain,
    /// Browsers drop it.
    #[error("a cookie named __Host-… has no domain, and the path /")]
    HostPrefix,
    /// Browsers drop it.
    #[error("a cookie named __Host-… or __Secure-… is secure")]
    PrefixNeedsSecure,
    /// Browsers drop it.
    #[error("a cookie that is sent from other sites is secure")]
    SameSiteNoneNeedsSecure,
    /// Browsers drop it.
    #[error("a partitioned cookie is secure")]
    PartitionedNeedsSecure,
    /// Browsers drop it.
    #[error("the cookie would be longer than 4096 bytes")]
    CookieTooLong,
}

impl Debug for SessionLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionLayerBuilder")
            .field(&self.config)
            .finish()
    }
}

impl Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("sessions", &self.sessions)
            .field("cookie", &self.cookie)
            .field("transport", &self.transport)
            .field("modes", &self.modes)
            .field("cache", &self.cache)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
