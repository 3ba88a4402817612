//! What can be wrong with lifetimes.

use super::mutants;

mutants! {
    /// Sessions live as long as they are used.
    knows_no_absolute_deadline {
        kills: [
            lifetimes::touches_no_session_past_its_absolute_deadline,
            lifetimes::saves_no_session_past_its_absolute_deadline,
            lifetimes::renews_no_session_past_its_absolute_deadline,
            lifetimes::merges_no_session_past_its_absolute_deadline,
            lifetimes::opens_nothing_past_its_deadline_whatever_the_store_kept,
            lifetimes::saves_nothing_past_the_deadline_whatever_the_store_kept,
        ],
        wrong: {
            "lifetimes.rs" deadline: { self.absolute.map(|absolute| head.begun() + absolute) } => {
                let _ = head;
                None::<Timestamp>
            }
        },
    }

    /// What the store has kept is opened, whatever its deadline.
    leaves_deadlines_to_the_store {
        kills: [
            lifetimes::opens_nothing_past_its_deadline_whatever_the_store_kept,
            lifetimes::serves_nothing_past_the_deadline_by_any_verb,
        ],
        wrong: {
            "accept.rs" alive: {
                shared.lifetimes.is_over(&self.record.head, self.record.at)
            } => { false }
        },
    }

    /// What was opened before its deadline is served on, as long as the store has it.
    serves_what_was_opened_in_time {
        kills: [lifetimes::serves_nothing_past_the_deadline_by_any_verb],
        wrong: {
            "session.rs" is_over: { shared.lifetimes.is_over(&self.record.head, now) } => {
                let _ = now;
                false
            }
        },
    }

    /// Each save begins the absolute lifetime anew.
    a_save_begins_anew {
        kills: [
            lifetimes::saves_no_session_past_its_absolute_deadline,
            lifetimes::merges_no_session_past_its_absolute_deadline,
        ],
        wrong: {
            "in_flight.rs" next_head: { self.record.head.clone() } => {
                Head { created: now, ..self.record.head.clone() }
            }
        },
    }

    /// An authentication does not begin the absolute lifetime anew.
    an_authentication_begins_no_lifetime {
        kills: [lifetimes::begins_the_absolute_lifetime_anew_by_an_authentication],
        wrong: {
            "head.rs" begun: { self.authenticated.unwrap_or(self.created) } => { self.created }
        },
    }

    /// Every use of a session touches it.
    touches_always {
        kills: [
            round_trips::reads_by_one_call,
            round_trips::touches_by_one_call_when_it_is_due,
        ],
        wrong: {
            "lifetimes.rs" touch: {
                used > idle / 10 && ttl.saturating_sub(left) > UNEVEN
            } => {
                let _ = used;
                true
            }
        },
    }

    /// Only saves extend the life of a session.
    touches_never {
        kills: [
            lifetimes::lives_for_nine_tenths_of_the_idle_time_after_each_use,
            lifetimes::keeps_a_session_that_is_only_read,
            round_trips::touches_by_one_call_when_it_is_due,
        ],
        wrong: {
            "lifetimes.rs" touch: {
                used > idle / 10 && ttl.saturating_sub(left) > UNEVEN
            } => {
                let _ = used;
                false
            }
        },
    }

    /// A session is touched when half of its idle time is used up.
    touches_late {
        kills: [lifetimes::lives_for_nine_tenths_of_the_idle_time_after_each_use],
        wrong: {
            "lifetimes.rs" touch: {
                used > idle / 10 && ttl.saturating_sub(left) > UNEVEN
            } => {
                used > idle / 2
            }
        },
    }

    /// A touch gives the longest life that there is.
    a_touch_gives_the_longest_life {
        kills: [lifetimes::ends_when_it_was_not_used_for_its_idle_time],
        wrong: {
            "lifetimes.rs" touch: { self.ttl(head, saves, now) } => {
                let _ = now;
                self.max
            }
        },
    }

    /// A client that came back is not remembered as one.
    the_first_lifetime_never_ends {
        kills: [
            lifetimes::ends_the_first_lifetime_when_the_client_comes_back,
            lifetimes::gives_bots_the_lifetimes_of_their_class,
        ],
        wrong: {
            "open.rs" due: { (!head.returned).then_some(HeadChange::Returned) } => {
                let _ = head;
                None::<HeadChange>
            }
        },
    }

    /// Bots have the lifetimes of people.
    bots_live_like_people {
        kills: [lifetimes::gives_bots_the_lifetimes_of_their_class],
        wrong: {
            "lifetimes.rs" unused: { self.bots != Bots::AsHuman } => { false }
        },
    }

    /// Bots have short lives, also where they are to have those of people.
    bots_never_live_like_people {
        kills: [lifetimes::gives_bots_the_lifetimes_of_their_class],
        wrong: {
            "lifetimes.rs" unused: { self.bots != Bots::AsHuman } => { true }
        },
    }

    /// Sessions of bots are stored, also where they are to have none.
    stores_every_bot {
        kills: [lifetimes::stores_no_session_of_a_bot_that_is_to_have_none],
        wrong: {
            "lifetimes.rs" stores: {
                !(kind == ClientKind::Bot && self.bots == Bots::NoStore)
            } => {
                let _ = kind;
                true
            }
        },
    }

    /// What a session asks for itself has no limits.
    a_stored_lifetime_has_no_limits {
        kills: [lifetimes::applies_the_shortest_and_the_longest_last],
        wrong: {
            "lifetimes.rs" unused: { wish.max(self.min).min(self.max) } => {
                match head.lifetime {
                    Some(own) => own,
                    None => wish.max(self.min).min(self.max),
                }
            }
        },
    }

    /// The first lifetime is shorter than the shortest.
    the_first_lifetime_has_no_limits {
        kills: [lifetimes::applies_the_shortest_and_the_longest_last],
        wrong: {
            "lifetimes.rs" unused: { wish.max(self.min).min(self.max) } => {
                match head.returned {
                    false => wish.min(self.max),
                    true => wish.max(self.min).min(self.max),
                }
            }
        },
    }

    /// A lifetime of zero can be set.
    takes_zero_for_a_lifetime {
        kills: [lifetimes::tells_zero_from_not_set],
        wrong: {
            "lifetimes.rs" build: { time.is_zero() } => {
                let _ = time;
                false
            }
        },
    }

    /// What is set to nothing has the usual value.
    takes_none_for_the_usual {
        kills: [lifetimes::tells_zero_from_not_set],
        wrong: {
            "lifetimes.rs" absolute: { self.0.absolute = absolute.into(); } => {
                self.0.absolute = absolute.into().or(self.0.absolute);
            }
        },
    }

    /// Readers that are not to count are touched for.
    touches_for_readers_that_do_not_count {
        kills: [lifetimes::lets_a_session_end_whose_readers_do_not_count],
        wrong: {
            "save.rs" extend_life: {
                !shared.touch_reads && self.mode == LockMode::ReadOnly
            } => {
                false
            }
        },
    }

    /// A lifetime that was set stays.
    a_lifetime_cannot_be_taken_back {
        kills: [lifetimes::gives_the_usual_lifetime_back],
        wrong: {
            "rotation.rs" apply: { self.lifetime = *lifetime } => {
                self.lifetime = lifetime.or(self.lifetime)
            }
        },
    }

    /// The process's clock is taken for the store's.
    learns_no_time {
        kills: [lifetimes::dates_sessions_by_the_clock_of_the_store],
        wrong: {
            "clock.rs" now: { self.ahead().unwrap_or(0) } => { 0 }
        },
    }

    /// A session that was dated before the store had answered keeps its date.
    keeps_the_date_that_was_guessed {
        kills: [
            lifetimes::dates_sessions_by_the_clock_of_the_store,
            round_trips::dates_a_new_session_by_one_call_more,
        ],
        wrong: {
            "in_flight.rs" acknowledge: { saved.guessed } => { false }
        },
    }

    /// Only the creation is dated anew.
    dates_the_creation_only {
        kills: [lifetimes::dates_sessions_by_the_clock_of_the_store],
        wrong: {
            "rotation.rs" date_back: { self.authenticated.iter_mut().for_each(right); } => {}
        },
    }
}
