//! The comparison with the model finds what is wrong, and shows it in a few lines.

use std::time::Duration;

use asm_testkit::{model::Options, mutants::Mutant};

/// A fixed seed, so that it is the same history every time.
fn options() -> Options {
    Options {
        seed: Some(1),
        calls: 20_000,
        each: 0,
        // What hangs is played again and again until the history is short.
        patience: Duration::from_secs(5),
        ..Options::default()
    }
}

#[test]
fn finds_nothing_in_healthy_drivers() {
    for healthy in Mutant::healthy() {
        if let Err(difference) = healthy.compare(options()) {
            panic!("{}: {difference}", healthy.name);
        }
    }
}

#[test]
fn shows_a_short_history_of_what_is_wrong() {
    for name in [
        "version_not_checked",
        "remembers_only_the_last_op_id",
        "release_by_anyone",
        "fence_resets",
        "touch_lowers",
        "take_twice",
        "feed_drops_silently",
    ] {
        let mutant = Mutant::named(name).expect("one of the list");
        let difference = mutant
            .compare(options())
            .expect_err("something is wrong with it");
        println!("{name}: {difference}");
        assert!(difference.deeds <= 8, "{name} took {}", difference.deeds);
    }
}
