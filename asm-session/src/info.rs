//! What there is to know about a session besides its entries.

use std::time::Duration;

use asm_core::{Key, Timestamp};

use crate::{ClientKind, Profile, head::Head};

/// What there is to know about a session besides its entries.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    handle: Key,
    head: Head,
    now: Timestamp,
}

impl SessionInfo {
    pub(crate) fn new(handle: Key, head: &Head, now: Timestamp) -> Self {
        Self {
            handle,
            head: head.clone(),
            now,
        }
    }

    /// The public half of its id: the same for its whole life, and no secret.
    #[must_use]
    pub const fn handle(&self) -> Key {
        self.handle
    }

    /// When it was created, by the store's clock.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.head.created
    }

    /// When its user authenticated last, by the store's clock.
    #[must_use]
    pub const fn authenticated_at(&self) -> Option<Timestamp> {
        self.head.authenticated
    }

    /// How long ago its id was made or replaced.
    #[must_use]
    pub const fn id_age(&self) -> Duration {
        self.now.since(self.head.rotated)
    }

    /// How long ago it was created, or its user authenticated last.
    #[must_use]
    pub const fn age(&self) -> Duration {
        self.now.since(match self.head.authenticated {
            Some(authenticated) => authenticated,
            None => self.head.created,
        })
    }

    /// Whether it belongs to a subject.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        self.head.membership.is_some()
    }

    /// What its client was taken for.
    #[must_use]
    pub const fn kind(&self) -> ClientKind {
        self.head.kind
    }

    /// From where and with what it was used, the first one seen first: for a page that lists
    /// devices. At most [`Profile::KEPT`] are kept, and none unless somebody
    /// [decides](crate::SessionsBuilder::decisions) about them.
    #[must_use]
    pub fn profiles(&self) -> &[Profile] {
        &self.head.profiles
    }
}
