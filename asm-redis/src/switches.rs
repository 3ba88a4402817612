//! Sentinels tell when another server becomes the master.
//!
//! One that was asked to step down, or was taken for dead, goes on answering until it is told, which
//! takes seconds; what it acknowledges meanwhile is lost. So connections to it are left as soon as any
//! of the sentinels names another one.

use std::{sync::Arc, time::Duration};

use redis::{
    Client, Msg, RedisResult,
    aio::{PubSubSink, PubSubStream},
};
use tokio::{runtime::Handle, task::AbortHandle, time::timeout};

use crate::{
    hub::Hub,
    link::Links,
    listening::{again_and_again, hear},
};

const CHANNEL: &str = "+switch-master";

/// Listens to each of the sentinels, for as long as it is not dropped: none of them is the first to
/// know, or there, in any case.
pub(crate) struct Switches(Vec<AbortHandle>);

/// What is needed to listen to one of them.
struct Watch {
    links: Arc<Links>,
    hub: Arc<Hub>,
    sentinel: Client,
    /// What they call the master.
    name: String,
    silence: Duration,
}

impl Switches {
    /// To nobody, where there are no sentinels.
    pub(crate) fn watch(
        links: &Arc<Links>,
        hub: &Arc<Hub>,
        silence: Duration,
        runtime: &Handle,
    ) -> Self {
        let (sentinels, name) = links.sentinels();
        let watches = sentinels.iter().map(|sentinel| Watch {
            links: Arc::clone(links),
            hub: Arc::clone(hub),
            sentinel: sentinel.clone(),
            name: name.to_owned(),
            silence,
        });
        let tasks = watches.map(|watch| runtime.spawn(watch.listen()).abort_handle());
        Self(tasks.collect())
    }
}

impl Drop for Switches {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Watch {
    async fn listen(self) {
        again_and_again(|_, before| self.listen_once(before)).await;
    }

    /// Listens until that is over; `false` when it could not.
    async fn listen_once(&self, before: bool) -> bool {
        let deadline = self.links.deadline;
        let Ok(Ok((sink, stream))) = timeout(deadline, self.connect()).await else {
            return false;
        };
        if before {
            // What was told meanwhile was not heard.
            self.leave();
        }
        hear(sink, stream, self.silence, deadline, |message| {
            if self.is_ours(message) {
                self.leave();
            }
        })
        .await;
        true
    }

    async fn connect(&self) -> RedisResult<(PubSubSink, PubSubStream)> {
        let (mut sink, stream) = self.sentinel.get_async_pubsub().await?.split();
        sink.subscribe(CHANNEL).await?;
        Ok((sink, stream))
    }

    /// The message begins with the name of the master.
    fn is_ours(&self, message: &Msg) -> bool {
        let told = message.get_payload_bytes().split(|byte| *byte == b' ');
        told.take(1).any(|name| name == self.name.as_bytes())
    }

    fn leave(&self) {
        tracing::debug!("another server is the master");
        self.links.leave_the_master();
        self.hub.leave();
    }
}
