//! Extractors for axum.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::{Entry, LazySession, LockedSession, ReadSession, Session, SessionError, Typed};

impl<S: Sync> FromRequestParts<S> for LazySession {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionError> {
        Self::of(&parts.extensions).ok_or(SessionError::NoLayer)
    }
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SessionError> {
        let lazy = LazySession::from_request_parts(parts, state).await?;
        lazy.open().await
    }
}

impl<S: Sync> FromRequestParts<S> for ReadSession {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SessionError> {
        let lazy = LazySession::from_request_parts(parts, state).await?;
        lazy.read().await
    }
}

impl<S: Sync> FromRequestParts<S> for LockedSession {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SessionError> {
        let lazy = LazySession::from_request_parts(parts, state).await?;
        lazy.lock().await
    }
}

impl<S: Sync, T: Entry> FromRequestParts<S> for Typed<T> {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SessionError> {
        Ok(Self::of(Session::from_request_parts(parts, state).await?))
    }
}
