//! What can be wrong with the bytes of a session.

use super::mutants;

mutants! {
    /// A body is decoded before the id is accepted.
    decodes_before_it_accepts {
        kills: [bytes::decodes_no_body_for_a_forged_secret],
        wrong: {
            "accept.rs" whatever_the_secret: { head.standing(secret, now) } => {
                let _ = shared.envelope.decode_body(Place::of(key), body.clone());
                head.standing(secret, now)
            }
        },
    }

    /// Items of fields are stored as they are.
    stores_items_in_clear {
        kills: [bytes::stores_no_item_in_clear_with_sealing_on],
        wrong: {
            "fields.rs" seal: { envelope.encode_item(Place::of(&key), name, plain)? } => {
                let _ = (envelope, key, name);
                plain
            }
        },
    }

    /// Counters are stored in clear, whatever the application says.
    counts_in_clear {
        kills: [bytes::counts_in_clear_only_when_it_is_allowed_to],
        wrong: {
            "fields.rs" incr: { shared.envelope.seals() && !shared.plain_counters } => { false }
        },
    }

    /// A sealed item is as good in another field.
    seals_items_without_their_name {
        kills: [bytes::believes_no_item_that_was_moved],
        wrong: {
            "envelope.rs" encode_item: { Part::Field(field) } => {
                let _ = field;
                Part::Field("any")
            }
            "envelope.rs" read_items: { Part::Field(field) } => {
                let _ = field;
                Part::Field("any")
            }
        },
    }

    /// A sealed record, or item, is as good in another session.
    seals_without_the_key {
        kills: [
            bytes::refuses_a_record_of_another_session,
            bytes::believes_no_item_that_was_moved,
        ],
        wrong: {
            "envelope.rs" context: { self.key } => {
                const ANY: Key = Key::from_bytes([0; Key::LEN]);
                &ANY
            }
        },
    }

    /// Only what the present chain of codecs wrote can be read.
    reads_only_what_it_writes {
        kills: [bytes::reads_what_any_chain_wrote],
        wrong: {
            "envelope.rs" known: { self.known.iter() } => { self.chain.iter() }
        },
    }

    /// Every value is taken for one of the present format.
    decodes_by_the_format_it_writes {
        kills: [bytes::reads_values_of_every_format],
        wrong: {
            "format.rs" decode: { self.format(bytes)? } => { (&*self.write, &bytes[1..]) }
        },
    }

    /// A record begins where its magic stands last.
    finds_records_by_their_magic {
        kills: [bytes::reads_back_what_begins_like_an_envelope],
        wrong: {
            "envelope.rs" unwrapped: { Reader::new(stored) } => {
                let mut places = stored.windows(PREFIX.len());
                let begins = places.rposition(|window| window == PREFIX);
                Reader::new(&stored[begins.unwrap_or(0)..])
            }
        },
    }

    /// What a compressor makes longer is stored so.
    compresses_what_grows {
        kills: [bytes::stores_as_it_is_what_would_grow],
        wrong: {
            "envelope.rs" compressed: { coded.len() < bytes.len() } => {
                let _ = &coded;
                true
            }
        },
    }

    /// A compressor that declines has failed.
    takes_declined_for_failed {
        kills: [bytes::stores_as_it_is_what_a_compressor_declines],
        wrong: {
            "envelope.rs" compressed: { codec.encode(bytes.clone(), context) } => {
                match codec.encode(bytes.clone(), context) {
                    Ok(Encoded::Declined(_)) => Err(Error::new(ErrorKind::Other, "declined")),
                    encoded => encoded,
                }
            }
        },
    }

    /// What a compressor fails at is stored as nothing.
    stores_nothing_when_a_compressor_fails {
        kills: [bytes::stores_uncompressed_when_a_compressor_fails],
        wrong: {
            "envelope.rs" compressed: { codec.encode(bytes.clone(), context) } => {
                codec.encode(bytes.clone(), context).or_else(|_| {
                    Ok::<_, Error>(Encoded::Coded(Bytes::new()))
                })
            }
        },
    }

    /// What a seal fails at is stored in clear.
    stores_in_clear_when_a_seal_fails {
        kills: [bytes::writes_nothing_when_a_seal_fails],
        wrong: {
            "envelope.rs" frame: { seal.encode(stored, &context)? } => {
                seal.encode(stored.clone(), &context).unwrap_or(Encoded::Coded(stored))
            }
        },
    }

    /// Whatever follows a record is overlooked.
    overlooks_what_follows_a_record {
        kills: [bytes::refuses_a_record_that_was_cut],
        wrong: {
            "envelope.rs" read_head: { from.end()?; } => {}
        },
    }

    /// A record is read as far as it says, whether it is there or not.
    reads_past_the_end {
        kills: [
            bytes::refuses_a_record_that_was_cut,
            bytes::survives_flipped_bits,
            bytes::survives_lying_lengths,
            bytes::survives_hostile_records,
        ],
        wrong: {
            "wire.rs" bytes: { self.0.split_at_checked(len).ok_or_else(too_short)? } => {
                self.0.split_at(len)
            }
        },
    }

    /// As much is asked of a codec as a record claims.
    believes_the_length_that_a_record_claims {
        kills: [bytes::survives_lying_lengths],
        wrong: {
            "envelope.rs" plain: { plain_len > limit } => {
                let _ = limit;
                false
            }
        },
    }

    /// One value that cannot be read makes the session unreadable.
    decodes_every_value_at_the_open {
        kills: [bytes::survives_a_value_that_nests_deeply],
        wrong: {
            "accept.rs" decode: { entries.map_err(unreadable)? } => {
                let entries = entries.map_err(unreadable)?;
                for (name, value) in &entries {
                    let decoded = shared.formats.decode::<serde_json::Value>(value);
                    let action = crate::ValueAction::Decoded;
                    decoded.map_err(|error| crate::access::failed(name, action, error))?;
                }
                entries
            }
        },
    }

    /// A body that was tampered with is an empty one.
    takes_tampered_for_empty {
        kills: [bytes::refuses_a_record_that_was_edited],
        wrong: {
            "accept.rs" decode: { entries.map_err(unreadable)? } => { entries.unwrap_or_default() }
        },
    }

    /// A session whose record cannot be read any more is taken for one that is over.
    takes_the_unreadable_for_over {
        kills: [bytes::leaves_a_record_that_turned_unreadable],
        wrong: {
            "accept.rs" accept: { return Err(error) } => {
                let _ = error;
                return Err(self.gone())
            }
        },
    }

    /// What should be sealed and is not is read.
    reads_what_should_be_sealed {
        kills: [
            bytes::refuses_a_record_that_is_not_sealed,
            bytes::believes_no_item_that_is_not_sealed,
        ],
        wrong: {
            "envelope.rs" check_seal: {
                Err(Error::new(ErrorKind::Tampered, "it is not sealed"))
            } => {
                Ok(())
            }
        },
    }

    /// A migration to seals has no end.
    a_migration_never_ends {
        kills: [bytes::refuses_a_record_that_is_not_sealed],
        wrong: {
            "envelope.rs" check_seal: { self.unsealed_until.is_some_and(|until| now < until) } => {
                let _ = now;
                self.unsealed_until.is_some()
            }
        },
    }

    /// What this process cannot read yet is taken for tampered with.
    takes_unknown_for_tampered {
        kills: [
            bytes::reads_with_an_old_key_and_writes_with_the_new,
            bytes::leaves_a_record_of_an_unknown_codec,
            bytes::leaves_a_record_of_an_unknown_key,
            bytes::leaves_a_record_of_an_unknown_version,
        ],
        wrong: {
            "accept.rs" unreadable: { error.into() } => {
                match error.kind() {
                    ErrorKind::Unreadable => InvalidReason::Tampered.into(),
                    _ => error.into(),
                }
            }
        },
    }

    /// A record of an old key is as good as one of the new.
    counts_no_old_seals {
        kills: [bytes::counts_the_records_of_an_old_key],
        wrong: {
            "envelope.rs" is_outdated: { !frame.codecs.last().is_some_and(current) } => {
                let _ = current;
                false
            }
        },
    }

    /// A secret goes with any half.
    checks_the_secret_without_its_half {
        kills: [bytes::opens_no_body_without_the_half_of_its_client],
        wrong: {
            "id.rs" hash: { digest.update(half); } => { let _ = half; }
        },
    }

    /// A renewal binds the body to a half of its own.
    renews_the_half {
        kills: [bytes::opens_the_body_through_a_renewal],
        wrong: {
            "id.rs" secret_after: { secret.half = former.half; } => {
                secret.half = former.half.map(|half| half.map(|byte| !byte));
            }
        },
    }

    /// An authentication keeps the half of the one whom it shuts out.
    keeps_the_half_in_an_authentication {
        kills: [
            bytes::binds_the_body_anew_in_an_authentication,
            bytes::splits_keys_of_a_live_system,
        ],
        wrong: {
            "identity.rs" rotate: { ids.secret(envelope.splits_keys())? } => {
                let _ = envelope;
                ids.secret_after(self.id.secret())?
            }
        },
    }

    /// The save of an authentication binds the body to the half of before.
    binds_the_body_to_the_former_half {
        kills: [
            bytes::binds_the_body_anew_in_an_authentication,
            bytes::splits_keys_of_a_live_system,
        ],
        wrong: {
            "in_flight.rs" prepare: { next.unwrap_or(&self.id) } => {
                let _ = next;
                &self.id
            }
        },
    }

    /// A newer record is opened without the half.
    opens_bodies_without_the_half {
        kills: [bytes::merges_bodies_that_only_the_client_opens],
        wrong: {
            "accept.rs" decode: { id.place() } => { Place::of(id.place().key) }
        },
    }

    /// The head opens with the client's half alone, as the body does.
    binds_the_head_to_the_half {
        kills: [bytes::does_without_the_client_what_needs_no_body],
        wrong: {
            "envelope.rs" context: { self.client_half.filter(|_| part == Part::Body) } => {
                self.client_half
            }
        },
    }
}
