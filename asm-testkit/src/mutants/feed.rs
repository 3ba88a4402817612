//! What can be wrong with the feed.

use std::task::{Context, Waker};

use asm_core::{
    Change, ChangeFeed, Epoch, Error, ErrorKind, Key, OpId, Result, Subscribe, Subscribed, Version,
};
use futures_util::{StreamExt, future, stream};

use super::mutants;

mutants! {
    /// What was missed is not told.
    feed_drops_silently {
        kills: [
            feed::counts_what_a_slow_reader_missed,
            feed::lets_no_slow_reader_hold_up_another,
            feed::goes_on_after_it_fell_behind,
        ],
        wrong: {
            async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
                Ok(match self.base.subscribe(key, req).await? {
                    Subscribed::Live(changes) => Subscribed::Live(Box::pin(changes.filter(
                        |change| future::ready(!matches!(change, Change::Lagged(_))),
                    ))),
                    other => other,
                })
            }
        },
    }

    /// What was missed is counted wrongly.
    feed_counts_wrongly {
        kills: [feed::counts_what_a_slow_reader_missed],
        wrong: {
            async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
                Ok(match self.base.subscribe(key, req).await? {
                    Subscribed::Live(changes) => {
                        Subscribed::Live(Box::pin(changes.map(|change| match change {
                            Change::Lagged(missed) => Change::Lagged(missed + 1),
                            other => other,
                        })))
                    }
                    other => other,
                })
            }
        },
    }

    /// Saves are not told.
    feed_without_saves {
        kills: [
            feed::ends_with_a_deleted_session,
            feed::ends_with_its_epoch,
            feed::counts_what_a_slow_reader_missed,
        ],
        flaws: { publishes: |change| (!matches!(change, Change::Saved(_))).then_some(change), },
    }

    /// A save is told with the number of the next.
    feed_tells_wrong_versions {
        kills: [
            feed::shows_own_and_foreign_saves,
            feed::shows_saves_of_a_holder,
            feed::wakes_a_reader_that_waits,
        ],
        flaws: {
            publishes: |change| Some(match change {
                Change::Saved(version) => Change::Saved(Version {
                    number: version.number + 1,
                    ..version
                }),
                other => other,
            }),
        },
    }

    /// Who waits for a change learns of it when it asks again.
    feed_wakes_nobody {
        kills: [feed::wakes_a_reader_that_waits],
        wrong: {
            async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
                Ok(match self.base.subscribe(key, req).await? {
                    Subscribed::Live(mut changes) => {
                        Subscribed::Live(Box::pin(stream::poll_fn(move |_| {
                            changes.poll_next_unpin(&mut Context::from_waker(Waker::noop()))
                        })))
                    }
                    other => other,
                })
            }
        },
    }

    /// A rotation is told as a save.
    rotations_are_saves {
        kills: [feed::shows_renewals],
        flaws: {
            publishes: |change| Some(match change {
                Change::Rotated(version) => Change::Saved(version),
                other => other,
            }),
        },
    }

    /// The end is not told.
    feed_without_end {
        kills: [feed::ends_with_a_deleted_session],
        wrong: {
            async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
                Ok(match self.base.subscribe(key, req).await? {
                    Subscribed::Live(changes) => Subscribed::Live(Box::pin(
                        changes
                            .filter(|change| future::ready(*change != Change::Ended))
                            .chain(stream::pending()),
                    )),
                    other => other,
                })
            }
        },
    }

    /// The end ends the stream without a word.
    feed_ends_without_a_word {
        kills: [
            feed::ends_with_a_deleted_session,
            feed::ends_with_an_expired_session,
            feed::ends_with_a_session_that_was_cut_short,
            feed::lives_on_with_a_touched_session,
            feed::leaves_nothing_of_dropped_streams,
        ],
        wrong: {
            async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
                Ok(match self.base.subscribe(key, req).await? {
                    Subscribed::Live(changes) => Subscribed::Live(Box::pin(
                        changes.take_while(|change| future::ready(*change != Change::Ended)),
                    )),
                    other => other,
                })
            }
        },
    }

    /// A subscriber goes on hearing of the next epoch.
    feed_ignores_the_epoch {
        kills: [feed::subscribes_to_living_sessions_only],
        wrong: {
            async fn subscribe(&self, key: &Key, mut req: Subscribe) -> Result<Subscribed> {
                if let Some(draft) = self.base.store().look(key) {
                    req.epoch = Epoch::new(draft.head.epoch);
                }
                self.base.subscribe(key, req).await
            }
        },
    }

    /// The end of an epoch is told as a save of the next.
    feed_shows_the_next_epoch {
        kills: [
            feed::shows_no_next_session,
            feed::ends_with_its_epoch,
            feed::shows_no_newer_epoch_to_one_who_lags,
        ],
        wrong: {
            async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
                let (base, key) = (self.base.clone(), *key);
                Ok(match self.base.subscribe(&key, req).await? {
                    Subscribed::Live(changes) => {
                        Subscribed::Live(Box::pin(changes.map(move |change| {
                            match (change, base.store().look(&key)) {
                                (Change::Ended, Some(draft)) => Change::Saved(Version {
                                    number: draft.head.number,
                                    op: OpId::from_bytes(draft.head.ops[0]),
                                }),
                                (change, _) => change,
                            }
                        })))
                    }
                    other => other,
                })
            }
        },
    }

    /// It looks first and listens later, and what ends in between ends without a word.
    feed_listens_late {
        kills: [feed::subscribes_to_living_sessions_only, feed::misses_no_end_while_subscribing],
        wrong: {
            async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
                let store = self.base.store();
                let lived = store.look(key).is_some();
                for _ in 0..200 {
                    if store.look(key).is_some() {
                        std::thread::yield_now();
                    }
                }
                Ok(match self.base.subscribe(key, req).await? {
                    Subscribed::Missing if lived => Subscribed::Live(Box::pin(stream::empty())),
                    other => other,
                })
            }
        },
    }

    /// It listens from the first question on.
    feed_listens_when_asked {
        kills: [feed::misses_nothing_between_subscribe_and_read],
        wrong: {
            async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
                let answer = self.base.subscribe(key, req.clone()).await?;
                if !matches!(answer, Subscribed::Live(_)) {
                    return Ok(answer);
                }
                let (base, key) = (self.base.clone(), *key);
                let asked = async move {
                    match base.subscribe(&key, req).await {
                        Ok(Subscribed::Live(changes)) => changes,
                        _ => Box::pin(stream::empty()),
                    }
                };
                Ok(Subscribed::Live(Box::pin(stream::once(asked).flatten())))
            }
        },
    }

    /// A subscription to nothing is a stream that never says anything.
    subscribes_to_nothing {
        kills: [feed::subscribes_to_living_sessions_only],
        wrong: {
            async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
                Ok(match self.base.subscribe(key, req).await? {
                    Subscribed::Missing => Subscribed::Live(Box::pin(stream::pending())),
                    other => other,
                })
            }
        },
    }

    /// A buffer keeps one change, whatever was asked for.
    feed_keeps_one {
        kills: [
            feed::ends_with_a_deleted_session,
            feed::ends_with_a_session_that_was_cut_short,
            feed::ends_with_its_epoch,
        ],
        wrong: {
            async fn subscribe(&self, key: &Key, mut req: Subscribe) -> Result<Subscribed> {
                req.buffer = std::num::NonZeroUsize::MIN;
                self.base.subscribe(key, req).await
            }
        },
    }

    /// A buffer that is larger than what there is to keep is refused.
    feed_refuses_large_buffers {
        kills: [feed::bears_the_largest_buffer],
        wrong: {
            async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
                if req.buffer.get() > 1 << 20 {
                    return Err(Error::new(ErrorKind::Invalid, "so large a buffer"));
                }
                self.base.subscribe(key, req).await
            }
        },
    }

    /// A stream ends once it fell behind.
    feed_ends_when_behind {
        kills: [
            feed::shows_no_newer_epoch_to_one_who_lags,
            feed::counts_what_a_slow_reader_missed,
            feed::goes_on_after_it_fell_behind,
        ],
        wrong: {
            async fn subscribe(&self, key: &Key, req: Subscribe) -> Result<Subscribed> {
                Ok(match self.base.subscribe(key, req).await? {
                    Subscribed::Live(changes) => Subscribed::Live(Box::pin(changes.scan(
                        false,
                        |over, change| {
                            let was_over = *over;
                            *over |= matches!(change, Change::Lagged(_));
                            future::ready((!was_over).then_some(change))
                        },
                    ))),
                    other => other,
                })
            }
        },
    }
}
