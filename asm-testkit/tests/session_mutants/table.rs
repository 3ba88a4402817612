//! The list: what is wrong with each mutant, and where its fault is put.

/// A session layer with one thing wrong.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    /// The cases that must catch it, as part and name.
    pub(crate) kills: &'static [(&'static str, &'static str)],
}

/// One place of the sources, and what stands there with the faults in it.
pub(crate) struct Edit {
    /// The file, in `asm-session/src`.
    pub(crate) file: &'static str,
    /// What must stand there, exactly once.
    pub(crate) old: &'static str,
    /// The same, and what a mutant does instead: `mutated("name")` tells whether it is on.
    pub(crate) new: &'static str,
}

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "goes_on_after_an_authentication",
        kills: &[("ids", "tells_once_of_a_stale_id")],
    },
    Mutant {
        name: "takes_stale_for_unknown",
        kills: &[("ids", "tells_once_of_a_stale_id")],
    },
    Mutant {
        name: "off_writes_the_head_back",
        kills: &[(
            "lifetimes",
            "keeps_a_lifetime_through_saves_that_never_heard_of_it",
        )],
    },
    Mutant {
        name: "applies_again_after_an_unknown_outcome",
        kills: &[(
            "session_trouble",
            "applies_nothing_again_after_an_unknown_outcome",
        )],
    },
    Mutant {
        name: "takes_before_the_store_accepted",
        kills: &[("changes", "hands_an_entry_to_one_of_many_takers")],
    },
    Mutant {
        name: "a_zombie_renews",
        kills: &[("ids", "gives_a_zombie_no_id")],
    },
    Mutant {
        name: "compares_versions_and_no_seen_values",
        kills: &[
            ("changes", "conflicts_on_what_was_read"),
            ("changes", "conflicts_on_what_was_read_before_a_merge"),
        ],
    },
    Mutant {
        name: "keeps_no_prepared_save",
        kills: &[(
            "session_trouble",
            "counts_a_save_once_whose_answer_was_lost",
        )],
    },
    Mutant {
        name: "touches_always",
        kills: &[
            ("round_trips", "reads_by_one_call"),
            ("round_trips", "touches_by_one_call_when_it_is_due"),
        ],
    },
    Mutant {
        name: "knows_no_absolute_deadline",
        kills: &[
            ("lifetimes", "touches_no_session_past_its_absolute_deadline"),
            ("lifetimes", "saves_no_session_past_its_absolute_deadline"),
            (
                "lifetimes",
                "opens_nothing_past_its_deadline_whatever_the_store_kept",
            ),
        ],
    },
    Mutant {
        name: "allows_when_a_decision_is_late",
        kills: &[(
            "profiles",
            "refuses_an_open_when_its_decision_takes_too_long",
        )],
    },
    Mutant {
        name: "looks_malformed_ids_up",
        kills: &[
            ("ids", "asks_no_store_about_malformed_ids"),
            (
                "round_trips",
                "asks_nothing_for_a_session_that_is_not_touched",
            ),
        ],
    },
    Mutant {
        name: "rotates_by_policy_in_a_read_only_request",
        kills: &[("extras", "rotates_nothing_else_by_policy")],
    },
    Mutant {
        name: "saves_what_a_reader_was_let_in_for",
        kills: &[("profiles", "lets_a_reader_in_for_one_request")],
    },
];

pub(crate) const EDITS: &[Edit] = &[
    Edit {
        file: "accept.rs",
        old: "Standing::Stale => return Err(InvalidReason::Stale.into()),",
        new: r#"Standing::Stale if mutated("takes_stale_for_unknown") => {
                return Err(InvalidReason::Unknown.into());
            }
            Standing::Stale if mutated("goes_on_after_an_authentication") => {}
            Standing::Stale => return Err(InvalidReason::Stale.into()),"#,
    },
    Edit {
        file: "accept.rs",
        old: "self.record = record;",
        new: r#"self.record = match mutated("off_writes_the_head_back") && self.mode == LockMode::Off {
            true => Record { head: self.record.head.clone(), ..record },
            false => record,
        };"#,
    },
    Edit {
        file: "accept.rs",
        old: ".is_some_and(|end| end <= now)",
        new: r#".is_some_and(|end| end <= now && !mutated("knows_no_absolute_deadline"))"#,
    },
    Edit {
        file: "lifetimes.rs",
        old: "Some(deadline) => idle.min(deadline.since(now)),",
        new: r#"Some(_) if mutated("knows_no_absolute_deadline") => idle,
            Some(deadline) => idle.min(deadline.since(now)),"#,
    },
    Edit {
        file: "lifetimes.rs",
        old: "(used > idle / 10 && ttl.saturating_sub(left) > UNEVEN).then_some(ttl)",
        new: r#"(mutated("touches_always") || used > idle / 10 && ttl.saturating_sub(left) > UNEVEN)
            .then_some(ttl)"#,
    },
    Edit {
        file: "in_flight.rs",
        old: "self.journal.forget(mark);",
        new: r#"if !mutated("applies_again_after_an_unknown_outcome") {
                self.journal.forget(mark);
            }"#,
    },
    Edit {
        file: "in_flight.rs",
        old: "// Kept, to be sent again.",
        new: r#"_ if mutated("keeps_no_prepared_save") => drop(self.take_back()),"#,
    },
    Edit {
        file: "take.rs",
        old: "session.prepare_take(key, release).map(Some)",
        new: r#"if mutated("takes_before_the_store_accepted") {
                let value = value.clone();
                session.taken.push((key.to_owned(), value));
                return Ok(None);
            }
            session.prepare_take(key, release).map(Some)"#,
    },
    Edit {
        file: "identity.rs",
        old: "if self.zombie {",
        new: r#"if self.zombie && !mutated("a_zombie_renews") {"#,
    },
    Edit {
        file: "rotation.rs",
        old: "if self.current != *from || self.pending.map(|pending| pending.hash) != *over {",
        new: r#"let moved = self.current != *from || self.pending.map(|pending| pending.hash) != *over;
                if moved && !mutated("a_zombie_renews") {"#,
    },
    Edit {
        file: "journal.rs",
        old: "seen.is_stale(key, &self.base) || (revives",
        new: r#"(seen.is_stale(key, &self.base) && !mutated("compares_versions_and_no_seen_values"))
            || (revives"#,
    },
    Edit {
        file: "decisions.rs",
        old: r#"None => "it took too long","#,
        new: r#"None if mutated("allows_when_a_decision_is_late") => return Verdict::Allow,
            None => "it took too long","#,
    },
    Edit {
        file: "id.rs",
        old: "if text.len() != Self::LEN {",
        new: r#"if text.len() != Self::LEN && mutated("looks_malformed_ids_up") {
            return Ok(Self::new(Key::from_bytes([0; Key::LEN]), Secret([0; Secret::LEN])));
        }
        if text.len() != Self::LEN {"#,
    },
    Edit {
        file: "save.rs",
        old: "self.keep_house(release).await\n",
        new: r#"if mutated("rotates_by_policy_in_a_read_only_request") {
                self.rotate_by_policy()?;
                let prepared = self.prepare(release)?;
                let _ = self.send(prepared).await?;
            }
            self.keep_house(release).await
"#,
    },
    Edit {
        file: "save.rs",
        old: "self.changes.forget_profile();",
        new: r#"if mutated("saves_what_a_reader_was_let_in_for") {
                let prepared = self.prepare(release)?;
                return match self.send(prepared).await? {
                    Sent::Done(saved) => Ok(saved.written),
                    _ => Ok(false),
                };
            }
            self.changes.forget_profile();"#,
    },
];
