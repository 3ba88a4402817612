//! What others do to a session, as it happens.

use std::{fmt::Debug, num::NonZeroUsize, pin::Pin};

use async_trait::async_trait;
use futures_core::Stream;

use crate::{Epoch, Key, Result, Version};

/// A feed of changes.
///
/// - A subscriber sees foreign and own saves, rotations and the end, from the moment that
///   `subscribe` has answered: subscribe, then read, misses nothing.
/// - Falling behind is `Lagged(n)`, never silent; memory is bounded by the buffer.
/// - No value travels.
/// - The stream ends after `Ended`: the session was deleted, has expired, or another epoch has
///   begun than the one that was subscribed under.
#[async_trait]
pub trait ChangeFeed: Debug + Send + Sync + 'static {
    /// Listens to one session.
    ///
    /// # Errors
    /// Only those of the store.
    async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed>;
}

/// The changes of one session. Dropping it unsubscribes.
pub type ChangeStream = Pin<Box<dyn Stream<Item = Change> + Send>>;

/// Listens to one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The epoch that the session was opened under.
    pub epoch: Epoch,
    /// How many changes to keep for a slow reader. Drivers may round it up to a power of two,
    /// and may cap it at 4,096.
    pub buffer: NonZeroUsize,
}

/// What became of a [`Subscribe`].
#[non_exhaustive]
pub enum Subscribed {
    /// The stream of changes from now on.
    Live(ChangeStream),
    /// There is no such session.
    Missing,
    /// Another epoch has begun.
    Ended,
}

impl Debug for Subscribed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Live(_) => "Live(..)",
            Self::Missing => "Missing",
            Self::Ended => "Ended",
        })
    }
}

/// Something that happened to a session. Two saves that race may be told of in either order; the
/// version with the higher number is the newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It was saved; this is the version now.
    Saved(Version),
    /// It was saved with a new id; this is the version now.
    Rotated(Version),
    /// It is over for this subscriber. Nothing comes after it.
    Ended,
    /// The reader was too slow, and this many changes were dropped. The next read shows them all.
    Lagged(u64),
}
