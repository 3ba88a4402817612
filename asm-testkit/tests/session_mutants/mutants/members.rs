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
            "subjects.rs" reserve_again: { self.reserve(&shared, subject).await? } => {
                let _ = (&shared, subject);
                0_u64
            }
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
}
