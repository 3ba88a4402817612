//! Somebody who comes in between what a copy reads and what it writes.

use std::{
    fmt::{self, Debug},
    pin::Pin,
    sync::{Arc, Mutex},
};

use asm_core::{Driver, Result};
use asm_testkit::{Call, Layer, Layered, Verb};
use async_trait::async_trait;

use super::{Place, change, copy, end, end_copies, open, places, plain, stored};

/// A driver before whose first call of one verb something else is done.
struct Meanwhile {
    driver: Arc<dyn Driver>,
    verb: Verb,
    deed: Mutex<Option<Deed>>,
}

type Deed = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Meanwhile {
    fn over(
        place: &Place,
        verb: Verb,
        deed: impl Future<Output = ()> + Send + 'static,
    ) -> Arc<dyn Driver> {
        Arc::new(Layered::new(Self {
            driver: place.driver(),
            verb,
            deed: Mutex::new(Some(Box::pin(deed))),
        }))
    }

    fn deed_of(&self, verb: Verb) -> Option<Deed> {
        let mut deed = self.deed.lock().expect("no panic");
        deed.take_if(|_| verb == self.verb)
    }
}

impl Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meanwhile({})", self.verb)
    }
}

#[async_trait]
impl Layer for Meanwhile {
    fn inner(&self) -> &dyn Driver {
        &*self.driver
    }

    async fn around<T: Send + 'static>(&self, call: Call<'_, T>) -> Result<T> {
        if let Some(deed) = self.deed_of(call.verb) {
            deed.await;
        }
        call.send().await
    }
}

#[tokio::test]
async fn what_another_one_copies_newer_meanwhile_stays() {
    for to in places::all().await {
        for verb in [Verb::Create, Verb::Save] {
            let (from, copies) = (plain(Place::memory().driver()), plain(to.driver()));
            let id = stored(&from, "one").await;
            if verb == Verb::Save {
                copy(&from, &copies).await;
                change(&from, &id, "two").await;
            }
            let newer = {
                let (from, copies, id) = (from.clone(), copies.clone(), id.clone());
                async move {
                    change(&from, &id, "three").await;
                    copy(&from, &copies).await;
                }
            };
            let slow = plain(Meanwhile::over(&to, verb, newer));
            let copied = copy(&from, &slow).await;
            let written = copied.copied + copied.updated;
            assert_eq!((written, copied.unchanged), (0, 1), "{}: {verb}", to.name);
            let session = open(&copies, &id).await.expect("it");
            let text: Option<String> = session.get("text").expect("a text");
            assert_eq!(text.as_deref(), Some("three"), "{}: {verb}", to.name);
        }
    }
}

#[tokio::test]
async fn a_copy_that_another_one_ends_meanwhile_is_ended_once() {
    for to in places::all().await {
        let (from, copies) = (plain(Place::memory().driver()), plain(to.driver()));
        let id = stored(&from, "one").await;
        copy(&from, &copies).await;
        end(&from, &id).await;
        let another = {
            let (from, copies) = (from.clone(), copies.clone());
            async move { assert_eq!(end_copies(&copies, &from).await.ended, 1) }
        };
        let slow = plain(Meanwhile::over(&to, Verb::Delete, another));
        let second = end_copies(&slow, &from).await;
        assert_eq!((second.examined, second.ended), (1, 0), "{}", to.name);
    }
}

#[tokio::test]
async fn a_copy_that_is_used_meanwhile_is_not_ended() {
    for to in places::all().await {
        let (from, copies) = (plain(Place::memory().driver()), plain(to.driver()));
        let id = stored(&from, "one").await;
        copy(&from, &copies).await;
        end(&from, &id).await;
        let used = {
            let (copies, id) = (copies.clone(), id.clone());
            async move { change(&copies, &id, "two").await }
        };
        let slow = plain(Meanwhile::over(&to, Verb::Delete, used));
        let ended = end_copies(&slow, &from).await;
        assert_eq!((ended.ended, ended.foreign), (0, 1), "{}", to.name);
        open(&copies, &id).await.expect("it was used there");
    }
}
