//! In which mode the session of a request is opened.

use std::task::{Context, Poll};

use asm_session::LockMode;
use http::{Method, Request};
use tower_layer::Layer;
use tower_service::Service;

use crate::LazySession;

/// The mode for each method.
#[derive(Clone, Debug)]
pub(crate) struct Modes {
    safe: LockMode,
    other: LockMode,
    by_method: Vec<(Method, LockMode)>,
}

impl Default for Modes {
    /// Who only looks waits for nobody; who changes something is alone. Two round trips either way.
    fn default() -> Self {
        Self {
            safe: LockMode::Optimistic,
            other: LockMode::OnOpen,
            by_method: Vec::new(),
        }
    }
}

impl Modes {
    pub(crate) const fn all(mode: LockMode) -> Self {
        Self {
            safe: mode,
            other: mode,
            by_method: Vec::new(),
        }
    }

    pub(crate) fn set(&mut self, method: Method, mode: LockMode) {
        self.by_method.retain(|(named, _)| *named != method);
        self.by_method.push((method, mode));
    }

    pub(crate) fn of(&self, method: &Method) -> LockMode {
        let named = self.by_method.iter().find(|(named, _)| named == method);
        match named {
            Some((_, mode)) => *mode,
            None if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) => self.safe,
            None => self.other,
        }
    }
}

/// The mode in which the sessions of a route are opened, whatever its methods. The innermost one
/// counts; an extractor that names a mode of its own counts more.
///
/// It is a layer for a route inside of a [`SessionLayer`](crate::SessionLayer).
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use asm_session::LockMode;
/// use asm_tower::{RouteMode, Session};
/// use axum::{Router, routing::post};
///
/// async fn vote(session: Session) -> asm_tower::Result<String> {
///     Ok(session.add("votes", 1)?.to_string())
/// }
///
/// // Sums need no lock: votes of one client run side by side.
/// let app: Router = Router::new()
///     .route("/vote", post(vote).layer(RouteMode::new(LockMode::Optimistic)));
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteMode(LockMode);

impl RouteMode {
    /// This mode.
    #[must_use]
    pub const fn new(mode: LockMode) -> Self {
        Self(mode)
    }
}

impl<S> Layer<S> for RouteMode {
    type Service = RouteModeService<S>;

    fn layer(&self, inner: S) -> RouteModeService<S> {
        RouteModeService {
            inner,
            mode: self.0,
        }
    }
}

/// A service whose sessions are opened in one mode: see [`RouteMode`].
#[derive(Clone, Copy, Debug)]
pub struct RouteModeService<S> {
    inner: S,
    mode: LockMode,
}

impl<S, B> Service<Request<B>> for RouteModeService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        if let Some(session) = LazySession::of(request.extensions()) {
            session.lease.set_mode(self.mode);
        }
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_waits_for_nobody_and_who_changes_is_alone() {
        let mut modes = Modes::default();
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert_eq!(modes.of(&method), LockMode::Optimistic);
        }
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert_eq!(modes.of(&method), LockMode::OnOpen);
        }
        let purge = Method::from_bytes(b"PURGE").unwrap();
        assert_eq!(modes.of(&purge), LockMode::OnOpen);
        modes.set(Method::PUT, LockMode::OnWrite);
        modes.set(Method::PUT, LockMode::Manual);
        assert_eq!(modes.of(&Method::PUT), LockMode::Manual);
        assert_eq!(Modes::all(LockMode::Off).of(&purge), LockMode::Off);
    }
}
