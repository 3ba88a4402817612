//! What the application decides about a request, within a deadline.

use std::{error::Error, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{Profile, ProfilePolicy, Rotation, SessionInfo, clock::StoreTime, counters::Counting};

/// Decides about requests, before they see anything of a session.
///
/// One that fails, panics, or does not answer within the deadline that the application set
/// ([`SessionsBuilder::decision_deadline`](crate::SessionsBuilder::decision_deadline)) has answered
/// [`Verdict::Refuse`].
///
/// [`ProfilePolicy`] is a ready-made one.
#[async_trait]
pub trait Decisions: Send + Sync + 'static {
    /// A client comes with a profile that this session has not seen. What is accepted is
    /// remembered, and not asked about again. The first profile of a session is not asked about.
    ///
    /// # Errors
    /// Whatever went wrong; the request is refused.
    async fn profile_changed(
        &self,
        session: &SessionInfo,
        new: &Profile,
        seen: &[Profile],
    ) -> Result<Verdict, Undecided> {
        let _ = (session, new, seen);
        Ok(Verdict::Allow)
    }

    /// A client comes with an id that was replaced `age` ago, and is still good.
    ///
    /// # Errors
    /// Whatever went wrong; the request is refused.
    async fn zombie(&self, session: &SessionInfo, age: Duration) -> Result<Verdict, Undecided> {
        let _ = (session, age);
        Ok(Verdict::Allow)
    }
}

/// Why a decision could not be made.
pub type Undecided = Box<dyn Error + Send + Sync>;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It goes on.
    #[default]
    Allow,
    /// It goes on, and the id is replaced with its save.
    AllowAnd(Rotation),
    /// It may read.
    ReadOnly,
    /// It gets no session. The session lives on.
    Refuse,
    /// It gets no session, and the session ends.
    Delete,
}

#[async_trait]
impl Decisions for ProfilePolicy {
    async fn profile_changed(
        &self,
        _: &SessionInfo,
        new: &Profile,
        seen: &[Profile],
    ) -> Result<Verdict, Undecided> {
        Ok(if self.accepts(new, seen) {
            Verdict::Allow
        } else {
            Verdict::Refuse
        })
    }
}

/// Asks for decisions, and takes none for a refusal.
pub(crate) struct Judge {
    pub(crate) decisions: Option<Arc<dyn Decisions>>,
    pub(crate) deadline: Duration,
    pub(crate) time: Arc<StoreTime>,
    pub(crate) counting: Arc<Counting>,
}

impl Judge {
    /// Whether anybody decides about profiles.
    pub(crate) fn sits(&self) -> bool {
        self.decisions.is_some()
    }

    pub(crate) async fn profile_changed(
        &self,
        session: &SessionInfo,
        new: &Profile,
        seen: &[Profile],
    ) -> Verdict {
        match &self.decisions {
            None => Verdict::Allow,
            Some(decisions) => {
                self.hear(decisions.profile_changed(session, new, seen))
                    .await
            }
        }
    }

    pub(crate) async fn zombie(&self, session: &SessionInfo, age: Duration) -> Verdict {
        match &self.decisions {
            None => Verdict::Allow,
            Some(decisions) => self.hear(decisions.zombie(session, age)).await,
        }
    }

    async fn hear(&self, decision: BoxFuture<'_, Result<Verdict, Undecided>>) -> Verdict {
        let decision = AssertUnwindSafe(decision).catch_unwind();
        let why = match self.time.within(self.deadline, decision).await {
            Some(Ok(Ok(verdict))) => return verdict,
            Some(Ok(Err(_))) => "it failed",
            Some(Err(_)) => "it panicked",
            None => "it took too long",
        };
        self.counting.failed_decisions.add();
        tracing::warn!(why, "a decision was not made: the request is refused");
        Verdict::Refuse
    }
}
