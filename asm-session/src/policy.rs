//! When an id is replaced without being asked to.

use std::{
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use crate::{Rotation, SessionInfo};

/// When an id is replaced without being asked to.
///
/// Such a renewal rides with the request's own save: it costs no call of its own, and a request
/// that saves nothing replaces nothing. It never happens on an id that was replaced before, nor in
/// a session that is read only, nor where nobody can be given the new id
/// ([`Session::keep_id`](crate::Session::keep_id), [`Sessions::transact`](crate::Sessions::transact)):
/// there it waits for the next request that saves.
///
/// ```
/// use std::time::Duration;
/// use asm_session::RotationPolicy;
///
/// let policy = RotationPolicy::never()
///     .every(Duration::from_secs(15 * 60))
///     .on_profile_change()
///     .when(|session| session.is_bound() && session.id_age() > Duration::from_secs(60));
/// ```
#[derive(Clone)]
#[must_use]
pub struct RotationPolicy {
    every: Option<Duration>,
    on_profile_change: bool,
    rule: Option<Arc<Rule>>,
    grace: Duration,
}

type Rule = dyn Fn(&SessionInfo) -> bool + Send + Sync;

impl RotationPolicy {
    /// Only when the application asks for it.
    pub const fn never() -> Self {
        Self {
            every: None,
            on_profile_change: false,
            rule: None,
            grace: Rotation::GRACE,
        }
    }

    /// When the id is older than that.
    pub const fn every(mut self, age: Duration) -> Self {
        self.every = Some(age);
        self
    }

    /// When a client comes with a profile that the session has not seen, and is let in by the
    /// [decisions](crate::SessionsBuilder::decisions), without which no profile is kept.
    pub const fn on_profile_change(mut self) -> Self {
        self.on_profile_change = true;
        self
    }

    /// When this says so.
    pub fn when(mut self, rule: impl Fn(&SessionInfo) -> bool + Send + Sync + 'static) -> Self {
        self.rule = Some(Arc::new(rule));
        self
    }

    /// How long the old id is still good once the new one was used; 30 s unless set.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Whether a new profile is a reason.
    pub(crate) const fn minds_profiles(&self) -> bool {
        self.on_profile_change
    }

    pub(crate) fn fires(&self, session: &SessionInfo, profile_changed: bool) -> Option<Rotation> {
        let old = self.every.is_some_and(|age| session.id_age() > age);
        let moved = self.on_profile_change && profile_changed;
        let ruled = || self.rule.as_ref().is_some_and(|rule| rule(session));
        (old || moved || ruled()).then_some(Rotation::Renew { grace: self.grace })
    }
}

impl Default for RotationPolicy {
    fn default() -> Self {
        Self::never()
    }
}

impl Debug for RotationPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotationPolicy")
            .field("every", &self.every)
            .field("on_profile_change", &self.on_profile_change)
            .field("rule", &self.rule.is_some())
            .field("grace", &self.grace)
            .finish()
    }
}
