//! What can be wrong with the index.

use std::collections::HashMap;

use asm_core::{Key, Listing, Reserve, Reserved, Result, Revoked, Subject, SubjectIndex};

use super::{bench::gap, mutants};

mutants! {
    /// The cap takes one too many.
    cap_off_by_one {
        kills: [
            subjects::refuses_one_session_too_many,
            subjects::counts_living_sessions_only,
            subjects::holds_a_cap_that_rejects,
        ],
        wrong: {
            async fn reserve(&self, subject: &Subject, mut req: Reserve) -> Result<Reserved> {
                req.cap = req.cap.map(|cap| cap.saturating_add(1));
                self.base.reserve(subject, req).await
            }
        },
    }

    /// The cap counts what is dead.
    cap_counts_the_dead {
        kills: [subjects::counts_living_sessions_only],
        wrong: {
            async fn reserve(&self, subject: &Subject, req: Reserve) -> Result<Reserved> {
                Ok(self.base.store().edit_index(subject, |index, now| index.reserve(now, &req)))
            }
        },
    }

    /// The cap is checked, and the session listed, in two steps.
    cap_in_steps {
        kills: [
            subjects::holds_a_cap_that_rejects,
            subjects::holds_a_cap_that_evicts_the_oldest,
            subjects::holds_a_cap_that_evicts_the_idle,
        ],
        wrong: {
            async fn reserve(&self, subject: &Subject, req: Reserve) -> Result<Reserved> {
                let present = self.base.list(subject).await?.sessions;
                let others = present.iter().filter(|bound| bound.key != req.key).count();
                if req.cap.is_some_and(|cap| others >= cap.get() as usize) {
                    return Ok(Reserved::Full);
                }
                gap(50);
                self.base.reserve(subject, Reserve { cap: None, ..req }).await
            }
        },
    }

    /// A listing shows what was listed once.
    lists_the_dead notes HashMap<(Subject, Key), asm_core::Bound> {
        kills: [
            subjects::keeps_subjects_apart,
            subjects::keeps_an_entry_as_long_as_it_was_reserved_for,
            subjects::never_comes_back_to_an_old_generation,
        ],
        wrong: {
            async fn list(&self, subject: &Subject) -> Result<Listing> {
                let mut listing = self.base.list(subject).await?;
                self.notes.with(|notes| {
                    for bound in &listing.sessions {
                        notes.insert((*subject, bound.key), *bound);
                    }
                    for ((of, key), bound) in notes {
                        if of == subject && listing.sessions.iter().all(|one| one.key != *key) {
                            listing.sessions.push(*bound);
                        }
                    }
                });
                Ok(listing)
            }
        },
    }

    /// A listing shows the newest first.
    lists_backwards {
        kills: [
            subjects::lists_sessions_in_the_order_of_reservation,
            subjects::keeps_the_place_of_one_reserved_again,
            subjects::forgets_what_it_is_told_to,
        ],
        wrong: {
            async fn list(&self, subject: &Subject) -> Result<Listing> {
                let mut listing = self.base.list(subject).await?;
                listing.sessions.reverse();
                Ok(listing)
            }
        },
    }

    /// One that is reserved again loses its place.
    loses_its_place {
        kills: [subjects::keeps_the_place_of_one_reserved_again],
        wrong: {
            async fn reserve(&self, subject: &Subject, req: Reserve) -> Result<Reserved> {
                self.base.forget(subject, vec![req.key]).await?;
                self.base.reserve(subject, req).await
            }
        },
    }

    /// Subjects that begin alike are one.
    subjects_are_one {
        kills: [
            subjects::keeps_subjects_apart,
            subjects::forgets_what_it_is_told_to,
            subjects::never_comes_back_to_an_old_generation,
        ],
        wrong: {
            async fn reserve(&self, _: &Subject, req: Reserve) -> Result<Reserved> {
                self.base.reserve(&Subject::from_bytes([0; 32]), req).await
            }

            async fn list(&self, _: &Subject) -> Result<Listing> {
                self.base.list(&Subject::from_bytes([0; 32])).await
            }
        },
    }

    /// Nothing is forgotten.
    forgets_nothing {
        kills: [
            subjects::lists_no_session_that_is_over,
            subjects::leaves_nothing_of_an_unknown_subject,
            subjects::forgets_what_it_is_told_to,
        ],
        wrong: {
            async fn forget(&self, _: &Subject, keys: Vec<Key>) -> Result<usize> {
                Ok(keys.len())
            }
        },
    }

    /// A revocation also answers the one to keep.
    revokes_the_one_to_keep {
        kills: [subjects::revokes_all_but_the_one_to_keep],
        wrong: {
            async fn revoke(&self, subject: &Subject, _: Option<Key>) -> Result<Revoked> {
                self.base.revoke(subject, None).await
            }
        },
    }

    /// A revocation starts no new generation.
    revokes_in_the_same_generation {
        kills: [
            subjects::revokes_all_but_the_one_to_keep,
            subjects::moves_one_reserved_again_into_the_new_generation,
            subjects::never_comes_back_to_an_old_generation,
        ],
        wrong: {
            async fn revoke(&self, subject: &Subject, keep: Option<Key>) -> Result<Revoked> {
                let generation = self.base.list(subject).await?.generation;
                let revoked = self.base.revoke(subject, keep).await?;
                Ok(Revoked { generation, ..revoked })
            }
        },
    }

    /// A revocation forgets what it answers.
    revoke_forgets {
        kills: [
            subjects::revokes_all_but_the_one_to_keep,
            subjects::revokes_all,
            subjects::moves_one_reserved_again_into_the_new_generation,
        ],
        wrong: {
            async fn revoke(&self, subject: &Subject, keep: Option<Key>) -> Result<Revoked> {
                let revoked = self.base.revoke(subject, keep).await?;
                self.base.forget(subject, revoked.keys.clone()).await?;
                Ok(revoked)
            }
        },
    }

    /// A revocation misses the newest session.
    revoke_misses_one {
        kills: [
            subjects::revokes_all_but_the_one_to_keep,
            subjects::revokes_all,
            subjects::revokes_a_racing_login_or_is_seen_by_it,
        ],
        wrong: {
            async fn revoke(&self, subject: &Subject, keep: Option<Key>) -> Result<Revoked> {
                let mut revoked = self.base.revoke(subject, keep).await?;
                revoked.keys.pop();
                Ok(revoked)
            }
        },
    }

    /// An entry lives for good.
    entries_live_for_good {
        kills: [subjects::keeps_an_entry_as_long_as_it_was_reserved_for],
        wrong: {
            async fn reserve(&self, subject: &Subject, mut req: Reserve) -> Result<Reserved> {
                req.ttl = std::time::Duration::MAX;
                self.base.reserve(subject, req).await
            }
        },
    }

    /// A look at an unknown subject leaves something behind.
    list_leaves_a_key {
        kills: [
            subjects::revives_nothing_by_a_reservation,
            subjects::leaves_nothing_of_an_unknown_subject,
            subjects::holds_a_cap_that_evicts_the_oldest,
        ],
        wrong: {
            async fn list(&self, subject: &Subject) -> Result<Listing> {
                let listing = self.base.list(subject).await?;
                if listing.sessions.is_empty() {
                    self.base.store().litter();
                }
                Ok(listing)
            }
        },
    }
}
