//! What can be wrong with profiles, and with decisions about them.

use super::mutants;

mutants! {
    /// A client whose id is over is told to forget it, before it has a new one.
    takes_ids_that_are_over_from_clients {
        kills: [profiles::answers_every_id_that_is_over_alike],
        wrong: {
            "identity.rs" id_update: { IdUpdate::Keep } => {
                match self.origin {
                    crate::Origin::Replaced(_) => IdUpdate::Remove,
                    _ => IdUpdate::Keep,
                }
            }
        },
    }

    /// Every profile is asked about, also one that was seen.
    asks_about_every_profile {
        kills: [
            profiles::asks_nobody_about_a_profile_that_was_seen,
            profiles::asks_once_about_a_profile_that_is_new,
        ],
        wrong: {
            "open.rs" judge: { !seen.contains(&profile) } => { true }
        },
    }

    /// A profile that was accepted is not remembered.
    forgets_whom_it_let_in {
        kills: [
            extras::overwrites_no_profile,
            profiles::asks_once_about_a_profile_that_is_new,
        ],
        wrong: {
            "open.rs" follow_verdicts: { self.changes.push(HeadChange::Profile(profile)); } => {
                drop(profile);
            }
        },
    }

    /// A session remembers more profiles than it can read.
    remembers_every_profile {
        kills: [profiles::asks_once_about_a_profile_that_is_new],
        wrong: {
            "head.rs" fit: { self.profiles.len() > Profile::KEPT } => { false }
        },
    }

    /// A profile is remembered before anybody has decided about it.
    remembers_whom_it_refused {
        kills: [profiles::remembers_no_profile_that_was_refused],
        wrong: {
            "open.rs" open_parsed: { self.judge(&key, &accepted, client).await? } => {
                match self.judge(&key, &accepted, client).await {
                    Ok(verdicts) => verdicts,
                    Err(error) => {
                        let mut session = self.resume(id, secret, lock, accepted, client)?;
                        session.changes.push(HeadChange::Profile(Profile::of(client)));
                        session.close().await?;
                        return Err(error);
                    }
                }
            }
        },
    }

    /// What a reader was let in for is saved.
    saves_what_a_reader_was_let_in_for {
        kills: [profiles::lets_a_reader_in_for_one_request],
        wrong: {
            "save.rs" write_head: { self.changes.forget_profile(); } => {}
        },
    }

    /// Who is refused may read.
    lets_those_read_who_are_refused {
        kills: [
            profiles::refuses_an_open_by_verdict,
            profiles::refuses_an_open_when_its_decision_fails,
            profiles::asks_about_ids_that_were_replaced,
        ],
        wrong: {
            "decisions.rs" hear: { return verdict } => {
                return match verdict {
                    Verdict::Refuse => Verdict::ReadOnly,
                    verdict => verdict,
                }
            }
            "decisions.rs" hear: { Verdict::Refuse } => { Verdict::ReadOnly }
        },
    }

    /// A decision that fails allows.
    allows_when_a_decision_fails {
        kills: [profiles::refuses_an_open_when_its_decision_fails],
        wrong: {
            "decisions.rs" hear: { "it failed" } => { return Verdict::Allow }
        },
    }

    /// A decision that panics allows.
    allows_when_a_decision_panics {
        kills: [profiles::refuses_an_open_when_its_decision_panics],
        wrong: {
            "decisions.rs" hear: { "it panicked" } => { return Verdict::Allow }
        },
    }

    /// A decision that takes too long allows.
    allows_when_a_decision_is_late {
        kills: [profiles::refuses_an_open_when_its_decision_takes_too_long],
        wrong: {
            "decisions.rs" hear: { "it took too long" } => { return Verdict::Allow }
        },
    }

    /// Who is refused keeps the lock that came with the open.
    a_refused_open_keeps_its_lock {
        kills: [profiles::leaves_no_lock_of_a_refused_open],
        wrong: {
            "open.rs" open_parsed: { self.judge(&key, &accepted, client).await? } => {
                match self.judge(&key, &accepted, client).await {
                    Ok(verdicts) => verdicts,
                    Err(error) => {
                        std::mem::forget(lock);
                        return Err(error);
                    }
                }
            }
        },
    }

    /// Who may only read may change.
    lets_readers_write {
        kills: [profiles::lets_a_request_only_read_by_verdict],
        wrong: {
            "open.rs" obey: { verdicts.read_only = true; } => {}
        },
    }

    /// Who may only read keeps the lock that came with the open.
    a_reader_by_verdict_keeps_the_lock {
        kills: [profiles::lets_a_request_only_read_by_verdict],
        wrong: {
            "open.rs" follow_verdicts: { self.lock.abandon(); } => {}
        },
    }

    /// A verdict replaces no id.
    replaces_no_id_by_verdict {
        kills: [profiles::replaces_the_id_by_verdict],
        wrong: {
            "open.rs" obey: {
                verdicts.rotation = Some(before.map_or(rotation, |it| it.stricter(rotation)));
            } => {
                let _ = (before, rotation);
            }
        },
    }

    /// A verdict ends no session.
    ends_nothing_by_verdict {
        kills: [profiles::ends_the_session_by_verdict],
        wrong: {
            "open.rs" obey: { driver.delete(key, Delete { only_if: None }).await?; } => {
                let _ = driver;
            }
        },
    }

    /// Nobody is asked about ids that were replaced.
    asks_nobody_about_zombies {
        kills: [profiles::asks_about_ids_that_were_replaced],
        wrong: {
            "open.rs" judge: { shared.judge.zombie(&info, age).await } => {
                let _ = age;
                Verdict::Allow
            }
        },
    }

    /// Of two decisions the later one holds.
    obeys_the_second_verdict {
        kills: [profiles::obeys_the_stricter_of_two_verdicts],
        wrong: {
            "open.rs" obey: { before.map_or(rotation, |it| it.stricter(rotation)) } => {
                let _ = before;
                rotation
            }
        },
    }
}
