//! Keeping a lock alive beside what needs it.

use std::{
    convert::Infallible,
    fmt::{self, Debug},
    future::pending,
    mem,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;

use crate::lease::Lease;

/// Keeps the lock of a session alive while something else is polled: the handler, or the body that
/// it answered with. It costs nothing before that has waited once.
#[derive(Default)]
pub(crate) struct Renewals {
    running: Option<BoxFuture<'static, Infallible>>,
    /// Whether the lease wakes us when somebody takes the lock.
    watching: bool,
}

impl Renewals {
    /// Before the work is polled: what happens meanwhile is seen [after it](Self::go_on).
    pub(crate) fn pause(&mut self, lease: &Lease) {
        if mem::take(&mut self.watching) {
            lease.unwatch();
        }
    }

    /// After the work was polled, and waits. There is nothing to keep unless the lock is held; then
    /// somebody else may still take it, in a task that the handler left behind.
    pub(crate) fn go_on(&mut self, lease: &Lease, context: &mut Context<'_>) {
        if self.running.is_none() {
            match lease.keeper_or_watch(context) {
                Some(keeper) => {
                    let renewals = async move { keeper.keep_alive(pending()).await };
                    self.running = Some(Box::pin(renewals));
                }
                None => self.watching = true,
            }
        }
        self.renew(context);
    }

    /// Goes on with what was begun.
    pub(crate) fn renew(&mut self, context: &mut Context<'_>) {
        if let Some(renewals) = &mut self.running {
            match renewals.as_mut().poll(context) {
                Poll::Pending => {}
                Poll::Ready(never) => match never {},
            }
        }
    }
}

impl Debug for Renewals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewals")
            .field("running", &self.running.is_some())
            .finish_non_exhaustive()
    }
}
