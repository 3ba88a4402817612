//! What there is of a session beside its record: lockless fields, and a lifetime; and stores that
//! have no place for them.

use std::{sync::Arc, time::Duration};

use asm_core::{Driver, ListStep, Listed, Open, Opened};
use asm_session::{Lifetimes, Session, SessionError, Sessions};
use asm_testkit::{Facet, Layer, Layered};
use async_trait::async_trait;

use super::{
    LockMode, Place, built, copy, copy_what_goes, end, end_copies, open, places, plain, stored,
};

async fn with_fields(sessions: &Sessions, id: &str, change: impl AsyncFnOnce(&mut Session)) {
    change(&mut open(sessions, id).await.expect("it lives")).await;
}

async fn incr(session: &mut Session, name: &str, by: i64) {
    let mut fields = session.fields().expect("fields");
    fields.incr(name, by).await.expect("a sum");
}

async fn push(session: &mut Session, name: &str, items: &[&str]) {
    let mut fields = session.fields().expect("fields");
    for item in items {
        fields.push(name, item).await.expect("an item");
    }
}

async fn clear(session: &mut Session, name: &str) {
    let mut fields = session.fields().expect("fields");
    fields.clear(name).await.expect("an end");
}

#[tokio::test]
async fn a_change_of_a_field_alone_is_an_update() {
    for to in places::all().await {
        let (from, copies) = (plain(Place::memory().driver()), plain(to.driver()));
        let id = stored(&from, "one").await;
        with_fields(&from, &id, async |it| incr(it, "clicks", 1).await).await;
        let first = copy(&from, &copies).await;
        assert_eq!((first.copied, first.updated), (1, 0), "{}", to.name);
        assert_eq!(copy(&from, &copies).await.unchanged, 1, "{}", to.name);
        with_fields(&from, &id, async |it| incr(it, "clicks", 1).await).await;
        let second = copy(&from, &copies).await;
        assert_eq!((second.updated, second.unchanged), (1, 0), "{}", to.name);
    }
}

#[tokio::test]
async fn fields_become_what_they_are_here_whatever_they_were_there() {
    for to in places::all().await {
        let (from, copies) = (plain(Place::memory().driver()), plain(to.driver()));
        let id = stored(&from, "one").await;
        with_fields(&from, &id, async |it| {
            // From here to the greatest is further than a number can say.
            incr(it, "far", -5).await;
            incr(it, "number, then list", 3).await;
            push(it, "list, then number", &["a"]).await;
            push(it, "longer", &["a", "b"]).await;
            push(it, "another", &["a", "b"]).await;
            push(it, "gone", &["a"]).await;
        })
        .await;
        copy(&from, &copies).await;
        with_fields(&from, &id, async |it| {
            incr(it, "far", i64::MAX).await;
            incr(it, "far", 5).await;
            for name in ["number, then list", "list, then number", "another", "gone"] {
                clear(it, name).await;
            }
            push(it, "number, then list", &["c"]).await;
            incr(it, "list, then number", 7).await;
            push(it, "longer", &["c"]).await;
            push(it, "another", &["c"]).await;
        })
        .await;
        assert_eq!(copy(&from, &copies).await.updated, 1, "{}", to.name);
        assert_eq!(copy(&from, &copies).await.unchanged, 1, "{}", to.name);

        let mut session = open(&copies, &id).await.expect("it");
        let mut fields = session.fields().expect("fields");
        for (name, expected) in [("far", i64::MAX), ("list, then number", 7)] {
            let field = fields.get(name).await.expect("an answer");
            let number = field.expect("a field").number().expect("a number");
            assert_eq!(number, expected, "{}: {name}", to.name);
        }
        let lists: [(&str, &[&str]); 4] = [
            ("number, then list", &["c"]),
            ("longer", &["a", "b", "c"]),
            ("another", &["c"]),
            ("gone", &[]),
        ];
        for (name, expected) in lists {
            let items = fields.list::<String>(name, 0..usize::MAX).await;
            assert_eq!(items.expect("a list"), expected, "{}: {name}", to.name);
        }
    }
}

#[tokio::test]
async fn whoever_used_a_session_is_not_logged_out_by_its_copy() {
    for to in places::all().await {
        let memory = Place::memory();
        let (from, copies) = (plain(memory.driver()), plain(to.driver()));
        let id = stored(&from, "one").await;
        copy(&from, &copies).await;
        let mut session = open(&from, &id).await.expect("it lives");
        session.close().await.expect("nothing to save");
        let key = session.handle();
        let left = async |place: &Place| -> Duration {
            match place.driver().open(&key, Open { lock: None }).await {
                Ok(Opened::Found { snapshot, .. }) => snapshot.left.expect("a lifetime"),
                other => panic!("{other:?}"),
            }
        };
        // Whoever came back has more than the first ten minutes.
        let hour = Duration::from_secs(3600);
        assert!(left(&memory).await > hour && left(&to).await < hour);
        assert_eq!(copy(&from, &copies).await.unchanged, 1);
        assert!(left(&to).await > hour, "{}", to.name);
    }
}

#[tokio::test]
async fn what_is_over_by_its_absolute_deadline_is_not_copied() {
    let place = Place::memory();
    let id = stored(&plain(place.driver()), "one").await;
    let short = Lifetimes::builder().absolute(Duration::from_micros(1));
    let short = short.build().expect("lifetimes");
    let from = built(Sessions::builder(place.driver()).lifetimes(short));
    while open(&from, &id).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let copied = copy(&from, &plain(Place::memory().driver())).await;
    assert_eq!((copied.examined, copied.copied), (1, 0));
}

#[tokio::test]
async fn a_copy_that_is_locked_is_not_ended() {
    for to in places::all().await {
        let (from, copies) = (plain(Place::memory().driver()), plain(to.driver()));
        let id = stored(&from, "one").await;
        copy(&from, &copies).await;
        end(&from, &id).await;
        let locking = copies.with_mode(LockMode::OnOpen);
        let mut holder = open(&locking, &id).await.expect("it is there");
        let ended = end_copies(&copies, &from).await;
        assert_eq!((ended.ended, ended.foreign), (0, 1), "{}", to.name);
        holder.close().await.expect("the lock is given back");
        assert_eq!(end_copies(&copies, &from).await.ended, 1, "{}", to.name);
    }
}

/// A store without one of the facets, and with a record that cannot be read.
#[derive(Debug)]
struct Less {
    driver: Arc<dyn Driver>,
    without: Facet,
    unreadable: u64,
}

impl Less {
    fn than(place: &Place, without: Facet, unreadable: u64) -> Sessions {
        plain(Arc::new(Layered::new(Self {
            driver: place.driver(),
            without,
            unreadable,
        })))
    }
}

#[async_trait]
impl Layer for Less {
    fn inner(&self) -> &dyn Driver {
        &*self.driver
    }

    fn has(&self, facet: Facet) -> bool {
        facet != self.without
    }

    async fn list_sessions(&self, step: ListStep) -> asm_core::Result<Listed> {
        let inventory = self.driver.inventory().expect("the facet");
        let mut listed = inventory.list_sessions(step).await?;
        listed.failed += self.unreadable;
        Ok(listed)
    }
}

#[tokio::test]
async fn a_store_without_fields_takes_what_has_none() {
    let (place, target) = (Place::memory(), Place::memory());
    let (from, copies) = (plain(place.driver()), Less::than(&target, Facet::Fields, 0));
    let id = stored(&from, "one").await;
    assert_eq!(copy(&from, &copies).await.copied, 1);
    assert_eq!(copy(&from, &copies).await.unchanged, 1);
    with_fields(&from, &id, async |it| incr(it, "clicks", 1).await).await;
    let copied = copy_what_goes(&from, &copies).await.expect("a list");
    assert_eq!((copied.examined, copied.failed), (1, 1));

    // The other way there is nothing to take, and nobody needs to know which fields are there.
    let from = Less::than(&place, Facet::Fields, 0);
    let copies = Less::than(&Place::memory(), Facet::Inventory, 0);
    assert_eq!(copy(&from, &copies).await.copied, 1);
    assert_eq!(copy(&from, &copies).await.unchanged, 1);
}

#[tokio::test]
async fn a_store_that_cannot_be_listed_is_refused_before_anything_is_written() {
    let (place, target) = (Place::memory(), Place::memory());
    let from = plain(place.driver());
    stored(&from, "one").await;
    let copies = Less::than(&target, Facet::Inventory, 0);
    let copied = copy_what_goes(&from, &copies).await;
    let refused = copied.expect_err("its fields cannot be listed");
    assert!(
        matches!(refused, SessionError::Unsupported(_)),
        "{refused:?}"
    );
    let there = copy(&plain(target.driver()), &from).await;
    assert_eq!(there.examined, 0);
}

#[tokio::test]
async fn records_that_cannot_be_read_are_counted() {
    let place = Place::memory();
    stored(&plain(place.driver()), "one").await;
    let from = Less::than(&place, Facet::Sweeper, 2);
    let copies = plain(Place::memory().driver());
    let copied = copy_what_goes(&from, &copies).await.expect("a list");
    assert_eq!((copied.examined, copied.copied, copied.failed), (1, 1, 2));
}
