//! What can be wrong with the sessions of a user.

use super::mutants;

mutants! {
    /// A place that no save followed stays taken.
    gives_no_place_back {
        kills: [members::gives_a_place_back_that_no_save_followed],
        wrong: {
            "subjects.rs" drop: { self.made_good } => { true }
        },
    }

    /// A save that meets a newer version trusts in its place.
    reserves_once {
        kills: [members::keeps_the_place_of_a_parallel_login],
        wrong: {
            "subjects.rs" look_for_place: { self.reserve(&shared, subject).await? } => { present }
        },
    }

    /// Whoever binds a session again gives its place back, whosever it is.
    gives_the_place_of_a_member_back {
        kills: [members::keeps_a_member_listed_whose_authentication_failed],
        wrong: {
            "subjects.rs" bind_subject: { reservation.is_none() && !was_member } => {
                reservation.is_none()
            }
            "subjects.rs" generation_of: {
                (membership.subject == self.subject).then_some(membership.generation)
            } => {
                let _ = membership;
                None
            }
        },
    }

    /// What is revoked lives on.
    revokes_in_the_index_only {
        kills: [members::revokes_no_later_login],
        wrong: {
            "subjects.rs" revoke: { self.end(revoked.keys).await } => { Ok(revoked.keys.len()) }
        },
    }

    /// Room is made by the session that would end first.
    takes_the_shortest_left_for_the_longest_idle {
        kills: [members::ends_the_session_that_was_not_used_for_longest],
        wrong: {
            "lifetimes.rs" idle_for: { unused - left } => { Duration::MAX - left }
        },
    }

    /// A session is looked at twice before it is shown.
    looks_twice {
        kills: [round_trips::lists_by_one_call_for_each_session],
        wrong: {
            "subjects.rs" has: { read_head(shared, key).await } => {
                let _ = read_head(shared, key).await;
                read_head(shared, key).await
            }
        },
    }

    /// A list shows what is listed.
    trusts_the_index {
        kills: [
            members::leaves_a_session_that_is_not_the_subjects,
            members::lists_no_session_past_its_deadline,
        ],
        wrong: {
            "subjects.rs" has: {
                is_member && !shared.lifetimes.is_over(&head, snapshot.now)
            } => {
                let _ = is_member;
                true
            }
        },
    }

    /// A list shows what the store has kept.
    lists_what_is_over {
        kills: [members::lists_no_session_past_its_deadline],
        wrong: {
            "subjects.rs" has: {
                is_member && !shared.lifetimes.is_over(&head, snapshot.now)
            } => { is_member }
        },
    }

    /// Whatever is listed is revoked.
    revokes_whatever_is_listed {
        kills: [
            members::leaves_a_session_that_is_not_the_subjects,
            members::revokes_over_a_lock,
        ],
        wrong: {
            "subjects.rs" try_to_clear: { self.generation_of(&head).is_some() } => { true }
        },
    }

    /// What was the subject's when it was looked at is revoked.
    revokes_what_was_the_subjects {
        kills: [members::ends_no_session_that_changes_hands_meanwhile],
        wrong: {
            "operator.rs" end_as: { Some(Guard::unchanged(seen)) } => {
                let _ = seen;
                None
            }
        },
    }

    /// A revocation leaves those alone whose lock is held.
    revokes_nothing_that_is_locked {
        kills: [members::revokes_over_a_lock],
        wrong: {
            "operator.rs" delete_if: { deleted == Deleted::Locked } => { false }
        },
    }

    /// A login under its lock is not revoked.
    revokes_no_login_under_its_lock {
        kills: [members::revokes_over_a_lock],
        wrong: {
            "subjects.rs" try_to_clear: { drop(self.session().break_lock(None).await?) } => {
                return Ok(Some(Cleared::Stranger))
            }
        },
    }

    /// A login that was revoked on its way reserves again.
    reserves_what_was_revoked {
        kills: [members::revokes_no_later_login],
        wrong: {
            "subjects.rs" look_for_place: { bound.generation == present } => { true }
        },
    }

    /// The cap is not told to the index.
    ignores_the_cap {
        kills: [members::holds_a_cap_under_many_logins],
        wrong: {
            "subjects.rs" reserve: { index.reserve(&subject, req).await? } => {
                index.reserve(&subject, Reserve { cap: None, ..req }).await?
            }
        },
    }

    /// A place that was never saved is taken for good.
    leaves_strays_their_places {
        kills: [members::makes_room_by_a_place_that_was_never_saved],
        wrong: {
            "subjects.rs" make_room: { place.give_back().await? == Returned::Done } => { false }
        },
    }
}
