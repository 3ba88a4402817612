//! Requests append to lists while processes are killed and stopped, servers die, and connections are
//! cut, stuck and slow: what they were told, and what is there in the end, must go together.
//!
//! `ASM_HISTORIES=1000000` acknowledged requests for each driver, and nothing wrong:
//! `cargo test --release -p asm-it --test histories -- --ignored --nocapture million`

mod careless;
mod place;
mod round;
mod tally;
mod trouble;
mod worker;

use careless::Careless;
use place::Place;
use round::{Course, in_memory, race};

/// Of a run that is always made.
const FEW: Course = Course {
    sessions: 4,
    acknowledged: 1_500,
    peace: 60,
};

/// A round of a long run.
const MANY: Course = Course {
    sessions: 16,
    acknowledged: 8_000,
    peace: 800,
};

#[test]
fn nothing_is_wrong_in_memory() {
    in_memory(&FEW, |driver| driver).must_be_right(1);
}

#[test]
fn nothing_is_wrong_in_files() {
    race(&Place::file(), &FEW).must_be_right(1);
}

#[test]
fn nothing_is_wrong_in_redis() {
    race(&Place::redis(), &FEW).must_be_right(1);
}

/// The check is checked: a driver that saves over whatever is there does not pass.
#[test]
fn a_driver_that_overwrites_is_found() {
    let tally = in_memory(&FEW, Careless::over);
    println!("{tally}");
    assert!(tally.violations() > 0, "nobody saw that updates were lost");
}

#[test]
#[ignore = "minutes: a million acknowledged requests in memory"]
fn a_million_in_memory() {
    long(|| in_memory(&MANY, |driver| driver));
}

#[test]
#[ignore = "minutes: a million acknowledged requests in files"]
fn a_million_in_files() {
    let place = Place::file();
    long(|| race(&place, &MANY));
}

#[test]
#[ignore = "minutes: a million acknowledged requests in redis"]
fn a_million_in_redis() {
    let place = Place::redis();
    long(|| race(&place, &MANY));
}

fn long(round: impl Fn() -> tally::Tally) {
    let wished = std::env::var("ASM_HISTORIES").map_or(1_000_000, |number| {
        number.parse().expect("ASM_HISTORIES is a number")
    });
    let mut total = tally::Tally::default();
    while total.acknowledged() < wished {
        total.add(round());
        assert_eq!(total.violations(), 0, "{total}");
    }
    total.must_be_right(wished);
}
