//! Listening to a server, again and again.

use std::time::Duration;

use futures_util::StreamExt;
use redis::{
    Msg, Value,
    aio::{PubSubSink, PubSubStream},
};
use tokio::time::timeout;

use crate::link::pause_for;

/// Pauses between attempts to listen.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
];

/// Listens for ever. `once` does so until its connection is lost, and answers whether there was one;
/// it is told the number of the attempt, and whether there was one before: then something may have
/// been missed.
pub(crate) async fn again_and_again<F: Future<Output = bool>>(
    mut once: impl FnMut(usize, bool) -> F,
) {
    let (mut attempt, mut failed, mut before) = (0, 0, false);
    loop {
        pause_for(PAUSES[failed.min(PAUSES.len() - 1)]).await;
        let listened = once(attempt, before).await;
        attempt += 1;
        failed = if listened { 1 } else { failed + 1 };
        before |= listened;
    }
}

/// Tells of each message until the connection is lost, or gives no sign of life when it is asked for
/// one after so long a silence.
pub(crate) async fn hear(
    mut sink: PubSubSink,
    mut stream: PubSubStream,
    silence: Duration,
    deadline: Duration,
    tell: impl Fn(&Msg),
) {
    loop {
        match timeout(silence, stream.next()).await {
            Ok(Some(message)) => tell(&message),
            Ok(None) => return,
            Err(_) => {
                let sign = timeout(deadline, sink.ping::<Value>()).await;
                if !matches!(sign, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn listening_is_tried_again_for_ever_and_never_in_haste() {
        let began = Instant::now();
        let mut tried = Vec::new();
        let tries = again_and_again(|attempt, before| {
            tried.push((attempt, before, began.elapsed().as_millis()));
            assert!(attempt < 100, "without a pause");
            // All fail but one.
            async move { attempt == 6 }
        });
        let over = timeout(Duration::from_secs(5), tries).await;
        over.expect_err("it goes on for ever");
        let expected = [
            (0, false, 0),
            (1, false, 50),
            (2, false, 250),
            (3, false, 1250),
            (4, false, 2250),
            (5, false, 3250),
            (6, false, 4250),
            // There was a connection: soon again, and something may have been missed.
            (7, true, 4300),
            (8, true, 4500),
        ];
        assert_eq!(tried, expected);
    }
}
