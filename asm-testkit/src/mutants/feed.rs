//! What can be wrong with the feed.

use asm_core::{Change, ChangeFeed, Epoch, Key, Result, Subscribe, Subscribed};
use futures_util::{StreamExt, future, stream};

use super::mutants;

mutants! {
    /// What was missed is not told.
    feed_drops_silently {
        kills: [],
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
        kills: [],
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
        kills: [],
        flaws: { publishes: |change| (!matches!(change, Change::Saved(_))).then_some(change), },
    }

    /// A rotation is told as a save.
    rotations_are_saves {
        kills: [],
        flaws: {
            publishes: |change| Some(match change {
                Change::Rotated(version) => Change::Saved(version),
                other => other,
            }),
        },
    }

    /// The end is not told.
    feed_without_end {
        kills: [],
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
        kills: [],
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
        kills: [],
        wrong: {
            async fn subscribe(&self, key: &Key, mut req: Subscribe) -> Result<Subscribed> {
                if let Some(draft) = self.base.store().look(key) {
                    req.epoch = Epoch::new(draft.head.epoch);
                }
                self.base.subscribe(key, req).await
            }
        },
    }

    /// A subscription to nothing is a stream that never says anything.
    subscribes_to_nothing {
        kills: [],
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
        kills: [],
        wrong: {
            async fn subscribe(&self, key: &Key, mut req: Subscribe) -> Result<Subscribed> {
                req.buffer = std::num::NonZeroUsize::MIN;
                self.base.subscribe(key, req).await
            }
        },
    }

    /// A stream ends once it fell behind.
    feed_ends_when_behind {
        kills: [],
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
