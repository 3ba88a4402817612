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
