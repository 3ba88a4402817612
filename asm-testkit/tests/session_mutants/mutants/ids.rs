//! What can be wrong with ids and their rotation.

use super::mutants;

mutants! {
    /// Half of each secret is zeros.
    draws_half_a_secret {
        kills: [ids::draws_ids_at_random],
        wrong: {
            "id.rs" secret: { self.fill(Draw::Secret, &mut secret.bytes)? } => {
                self.fill(Draw::Secret, &mut secret.bytes[..Secret::LEN / 2])?
            }
        },
    }

    /// When there is no randomness, ids are made without it.
    goes_on_without_randomness {
        kills: [ids::makes_no_id_without_randomness],
        wrong: {
            "id.rs" secret: { self.fill(Draw::Secret, &mut secret.bytes)? } => {
                let _ = self.fill(Draw::Secret, &mut secret.bytes);
            }
            "id.rs" draw: { self.fill(draw, &mut bytes)? } => {
                let _ = self.fill(draw, &mut bytes);
            }
        },
    }

    /// A new session whose handle is in use takes the place of the one that uses it.
    a_clash_takes_a_session_over {
        kills: [ids::takes_over_no_session_by_a_clash],
        wrong: {
            "save.rs" write_by_all_means: { self.draw_another_id(attempt < ATTEMPTS)? } => {
                let driver = Arc::clone(&self.shared().driver);
                let read = asm_core::Open { lock: None };
                let found = driver.open(&self.handle(), read).await?;
                if let asm_core::Opened::Found { snapshot, .. } = found {
                    self.record.version = Some(snapshot.version);
                    self.record.head.epoch = snapshot.stamp.epoch;
                }
            }
        },
    }

    /// The store is asked about what is no id.
    looks_malformed_ids_up {
        kills: [
            ids::asks_no_store_about_malformed_ids,
            round_trips::asks_nothing_for_a_session_that_is_not_touched,
        ],
        wrong: {
            "id.rs" parse: { return Err(InvalidReason::Malformed) } => {
                {
                    let bytes = [0; Secret::LEN];
                    let key = Key::from_bytes([0; Key::LEN]);
                    return Ok(Self::new(key, Secret { bytes, half: None }))
                }
            }
        },
    }

    /// A client whose id is unknown gets a new session under that id.
    accepts_ids_that_a_client_chose {
        kills: [
            ids::reads_once_for_unknown_ids,
            profiles::answers_every_id_that_is_over_alike,
        ],
        wrong: {
            "open.rs" open_or_create: { self.create_for(client, Origin::Replaced(reason)) } => {
                let mut session = self.create_for(client, Origin::Replaced(reason))?;
                if let Ok(chosen) = SessionId::parse(id) {
                    session.secret = chosen.secret().hash();
                    session.record.head.current = session.secret;
                    session.lock = OwnedLock::new(&self.shared, chosen.handle());
                    session.id = chosen;
                }
                Ok(session)
            }
        },
    }

    /// A renewal makes a new session of it, with a new absolute lifetime.
    a_renewal_begins_anew {
        kills: [
            ids::keeps_everything_through_a_renewal,
            lifetimes::renews_no_session_past_its_absolute_deadline,
        ],
        wrong: {
            "rotation.rs" renew: { self.rotated = now; } => {
                self.rotated = now;
                self.created = now;
            }
        },
    }

    /// A renewal replaces the id at once, whether its client hears of the new one or not.
    renews_in_one_phase {
        kills: [
            ids::replaces_an_id_when_the_new_one_is_used,
            ids::confirms_a_renewed_id_once,
            ids::logs_nobody_out_by_a_lost_answer,
        ],
        wrong: {
            "rotation.rs" renew: { self.pending.replace(pending) } => {
                let fate = Fate::Replaced { since: now, until: now + pending.grace };
                let hash = std::mem::replace(&mut self.current, pending.hash);
                self.former.push(Former { hash, fate });
                None::<Pending>
            }
        },
    }

    /// Of several renewals only the last one can be used.
    a_renewal_forgets_what_was_sent_before {
        kills: [ids::logs_nobody_out_by_a_lost_answer],
        wrong: {
            "rotation.rs" renew: { self.former.push(Former { hash, fate }); } => {
                let _ = (hash, fate);
            }
        },
    }

    /// A former id is good for the moment in which its grace ends, too.
    a_zombie_has_one_moment_more {
        kills: [
            ids::replaces_an_id_when_the_new_one_is_used,
            ids::leaves_no_zombie_without_grace,
            ids::ends_each_former_id_at_its_own_deadline,
            ids::tells_once_of_a_stale_id,
        ],
        wrong: {
            "rotation.rs" standing: { now < until } => { now <= until }
        },
    }

    /// The first use of a renewed id is not remembered.
    confirms_no_renewed_id {
        kills: [
            ids::replaces_an_id_when_the_new_one_is_used,
            ids::confirms_a_renewed_id_once,
            round_trips::confirms_a_renewed_id_by_one_call,
        ],
        wrong: {
            "open.rs" due: {
                (standing == Standing::Pending).then_some(HeadChange::Confirm(secret))
            } => {
                let _ = (standing, secret);
                None::<HeadChange>
            }
        },
    }

    /// Whoever is under way at an authentication goes on.
    an_authentication_begins_no_epoch {
        kills: [ids::authenticates_once_of_many],
        wrong: {
            "rotation.rs" authenticate: { self.epoch = epoch; } => { let _ = epoch; }
        },
    }

    /// An authentication spares the ids that were replaced before.
    an_authentication_spares_zombies {
        kills: [ids::ends_all_earlier_ids_by_an_authentication],
        wrong: {
            "rotation.rs" authenticate: { former.fate = over; } => { let _ = former; }
        },
    }

    /// After an authentication the old id has a grace, as after a renewal.
    an_authentication_has_a_grace {
        kills: [
            ids::ends_all_earlier_ids_by_an_authentication,
            ids::authenticates_on_a_former_id,
            profiles::replaces_the_id_by_verdict,
        ],
        wrong: {
            "rotation.rs" authenticate: {
                Fate::Replaced { since: now, until: now, }
            } => {
                Fate::Replaced { since: now, until: now + Rotation::GRACE }
            }
        },
    }

    /// On a former id nobody can authenticate.
    a_zombie_cannot_authenticate {
        kills: [
            ids::authenticates_on_a_former_id,
            ids::gives_a_zombie_no_id,
        ],
        wrong: {
            "identity.rs" rotate: { rotation != Rotation::Authenticate } => { true }
        },
    }

    /// A grace of zero is taken for "not set".
    takes_no_grace_for_the_usual_one {
        kills: [ids::leaves_no_zombie_without_grace],
        wrong: {
            "rotation.rs" renew: { Pending { hash: to, grace } } => {
                let grace = if grace.is_zero() { Rotation::GRACE } else { grace };
                Pending { hash: to, grace }
            }
        },
    }

    /// A renewal begins an epoch: whoever is under way or waits is refused.
    a_renewal_begins_an_epoch {
        kills: [
            ids::keeps_the_place_of_waiters_through_a_renewal,
            ids::saves_into_the_same_session_after_a_renewal,
            extras::overwrites_no_rotation,
        ],
        wrong: {
            "rotation.rs" renew: { self.rotated = now; } => {
                self.rotated = now;
                self.epoch = Epoch::new(self.epoch.get().wrapping_add(1));
            }
        },
    }

    /// A request whose id was replaced while it ran cannot save any more.
    a_merge_refuses_former_ids {
        kills: [ids::saves_into_the_same_session_after_a_renewal],
        wrong: {
            "accept.rs" accept: {
                self.zombie |= !matches!(accepted.standing, Standing::Current | Standing::Pending);
            } => {
                if !matches!(accepted.standing, Standing::Current | Standing::Pending) {
                    return Err(self.stale());
                }
            }
        },
    }

    /// A request whose id an authentication has ended is shown what came after it.
    goes_on_after_an_authentication {
        kills: [
            ids::refuses_everything_to_an_ended_id,
            ids::tells_once_of_a_stale_id,
        ],
        wrong: {
            "accept.rs" by: { return Err(InvalidReason::Stale.into()) } => {}
            "accept.rs" by_epoch: { return Err(InvalidReason::Stale.into()) } => {}
        },
    }

    /// An id that is over, and was this session's, is answered as one that nobody knows.
    takes_stale_for_unknown {
        kills: [
            ids::ends_each_former_id_at_its_own_deadline,
            ids::tells_once_of_a_stale_id,
        ],
        wrong: {
            "accept.rs" by: { return Err(InvalidReason::Stale.into()) } => {
                return Err(InvalidReason::Unknown.into())
            }
        },
    }

    /// A request whose id an authentication has ended is told that its session is gone.
    takes_an_ended_id_for_an_ended_session {
        kills: [
            ids::refuses_everything_to_an_ended_id,
            ids::refuses_the_lock_to_an_ended_id,
        ],
        wrong: {
            "in_flight.rs" written: { Err(self.stale()) } => { Err(self.gone()) }
            "locking.rs" acquire: { Err(self.stale()) } => { Err(self.gone()) }
        },
    }

    /// The use of a newer id gives the former ones new graces.
    a_renewal_extends_former_ids {
        kills: [ids::ends_each_former_id_at_its_own_deadline],
        wrong: {
            "rotation.rs" confirm: {
                if let Fate::HandedOut { .. } = former.fate {
                    former.fate = fate;
                }
            } => {
                if former.lives(now) {
                    former.fate = fate;
                }
            }
        },
    }

    /// All ids that a session ever had are remembered.
    remembers_every_former_id {
        kills: [ids::forgets_old_ids_of_many_rotations],
        wrong: {
            "head.rs" fit: { self.former.len() > Self::FORMER } => { false }
            "head.rs" decode: { list(&mut from, Self::FORMER, Former::decode)? } => {
                list(&mut from, usize::from(u8::MAX), Former::decode)?
            }
        },
    }

    /// The oldest id is forgotten first, also while it is good and others are over.
    forgets_the_living_before_the_dead {
        kills: [ids::forgets_old_ids_of_many_rotations],
        wrong: {
            "head.rs" fit: { dead.unwrap_or(0) } => {
                let _ = dead;
                0
            }
        },
    }

    /// A log out on a former id does nothing.
    a_zombie_cannot_log_out {
        kills: [ids::ends_a_session_through_any_of_its_ids],
        wrong: {
            "life.rs" delete: { self.life != Life::New || unanswered } => {
                !self.zombie && (self.life != Life::New || unanswered)
            }
        },
    }

    /// The second of two parallel renewals wins.
    a_second_renewal_wins {
        kills: [
            ids::renews_once_of_two_renewals,
            ids::renews_once_of_many,
        ],
        wrong: {
            "rotation.rs" apply: {
                self.current != *from || self.pending.map(|pending| pending.hash) != *over
            } => {
                let _ = (from, over);
                false
            }
        },
    }

    /// The second of two parallel authentications is told that it came with an old id.
    takes_a_second_login_for_a_stale_id {
        kills: [ids::authenticates_once_of_many],
        wrong: {
            "in_flight.rs" written: {
                Err(SessionError::Conflict(Conflict::of_authentications()))
            } => {
                Err(crate::InvalidReason::Stale.into())
            }
        },
    }

    /// Nobody is told of a stale id.
    tells_nobody_of_a_stale_id {
        kills: [ids::tells_once_of_a_stale_id],
        wrong: {
            "open.rs" open: { self.tell_invalid(client, *reason, handle) } => {
                if *reason != InvalidReason::Stale {
                    self.tell_invalid(client, *reason, handle)
                }
            }
        },
    }

    /// A former id renews as the current one does.
    a_zombie_renews {
        kills: [ids::gives_a_zombie_no_id],
        wrong: {
            "identity.rs" rotate: { self.zombie } => { false }
            "rotation.rs" apply: {
                self.current != *from || self.pending.map(|pending| pending.hash) != *over
            } => {
                let _ = (from, over);
                false
            }
        },
    }

    /// A log out on a former id takes the newer one from its client.
    a_zombie_removes_the_id_of_its_client {
        kills: [ids::gives_a_zombie_no_id],
        wrong: {
            "identity.rs" id_update: { !self.zombie } => { true }
        },
    }

    /// A secret is stored as it is.
    stores_secrets {
        kills: [ids::accepts_no_stored_form_of_an_id],
        wrong: {
            "id.rs" hash: { SecretHash(digest.finalize().into()) } => {
                let _ = digest;
                let mut stored = [0; SecretHash::LEN];
                stored[..Self::LEN].copy_from_slice(&self.bytes);
                SecretHash(stored)
            }
        },
    }

    /// A running session goes by the standing of its id.
    ends_with_the_grace_of_its_id {
        kills: [ids::saves_after_the_grace_of_its_id_is_over],
        wrong: {
            "accept.rs" by_epoch: { accepted.record.head.epoch != epoch } => {
                let _ = epoch;
                matches!(accepted.standing, Standing::Stale | Standing::Unknown)
            }
        },
    }

    /// A new id is confirmed by all means, as a change is saved.
    waits_to_confirm_an_id {
        kills: [ids::confirms_no_id_beside_a_holder],
        wrong: {
            "save.rs" write_due: { self.write_head(release).await } => {
                let prepare = |session: &mut Self, release| session.prepare(release).map(Some);
                self.write_by_all_means(release, prepare).await.map(|saved| saved.is_some())
            }
        },
    }

    /// A field of an ended id is an absent one.
    takes_an_ended_epoch_for_an_absent_field {
        kills: [ids::refuses_everything_to_an_ended_id],
        wrong: {
            "fields.rs" read: { Err(self.session.stale()) } => { Ok(None) }
        },
    }
}
