//! Futures that are dropped half-way.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

/// Polls the future and drops it when it waits for the `n`th time, counted from 1. `None` when it
/// was dropped, its output when it was ready before.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// use asm_testkit::cancel_at;
/// use tokio::task::yield_now;
///
/// let two_waits = async || {
///     yield_now().await;
///     yield_now().await;
///     "done"
/// };
/// assert_eq!(cancel_at(2, two_waits()).await, None);
/// assert_eq!(cancel_at(3, two_waits()).await, Some("done"));
/// # });
/// ```
pub async fn cancel_at<F: Future>(n: usize, future: F) -> Option<F::Output> {
    let mut waits = 0;
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            waits += 1;
            if waits >= n {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        }
    })
    .await
}

/// The output of the future, and how often it had to wait for it.
pub async fn count_awaits<F: Future>(future: F) -> (F::Output, usize) {
    let mut waits = 0;
    let mut future = pin!(future);
    let output = poll_fn(|cx| {
        let poll = future.as_mut().poll(cx);
        waits += usize::from(poll.is_pending());
        poll
    })
    .await;
    (output, waits)
}
