//! Requests append to lists while processes are killed and stopped, servers die, replicas take over,
//! slots move, clocks are stepped, and connections are cut, stuck and slow: what they were told, and
//! what is there in the end, must go together.
//!
//! Redis replicates behind the answer, so a replica that takes over may miss the last of what was
//! acknowledged. That, and nothing else, is counted instead of refused
//! ([`check_across`](asm_testkit::history::check_across)).
//!
//! `ASM_HISTORIES=1000000` acknowledged requests for each driver, a tenth of that with failovers,
//! and nothing wrong: `bench/run histories`.

mod clock;
mod mutants;
mod place;
mod round;
mod switch;
mod tally;
mod trouble;
mod worker;

use mutants::Flaw;
use place::Place;
use round::{Course, in_memory, in_memory_as_if, race, race_across};
use switch::Reason;
use tally::Tally;

/// Of a run that is always made.
const FEW: Course = Course {
    sessions: 4,
    acknowledged: 1_500,
    peace: 60,
    clocks: false,
    moves: false,
};

/// A round of a long run.
const MANY: Course = Course {
    sessions: 16,
    acknowledged: 8_000,
    peace: 800,
    clocks: false,
    moves: false,
};

/// Slots of a cluster are moved.
const MOVED: Course = Course { moves: true, ..FEW };

/// Each process has another time.
const STEPPED: Course = Course {
    clocks: true,
    ..FEW
};

/// What keeps a master that one of its two replicas has left from acknowledging.
const CAREFUL: [&str; 2] = ["min-replicas-to-write 2", "min-replicas-max-lag 2"];

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

#[test]
fn nothing_but_the_last_is_lost_when_sentinels_replace_a_master() {
    switched(&Place::sentinels(&[]), &Reason::ALL, &FEW).must_be_right(1);
}

/// What its operator can do about it.
#[test]
fn nothing_but_the_last_is_lost_where_a_master_needs_replicas() {
    let reasons = [Reason::Asked, Reason::Behind];
    switched(&Place::sentinels(&CAREFUL), &reasons, &FEW).must_be_right(1);
}

#[test]
fn nothing_but_the_last_is_lost_when_a_cluster_replaces_a_master() {
    let place = Place::cluster();
    let [asked, harmed @ ..] = Reason::ALL;
    let mut total = switched(&place, &[asked], &FEW);
    if total.lost() > 0 {
        println!("{total}");
        panic!("the master helped, and something is lost");
    }
    total.add(switched(&place, &harmed, &FEW));
    total.must_be_right(1);
}

#[test]
fn nothing_is_wrong_in_a_cluster_whose_slots_move() {
    race(&Place::cluster(), &MOVED).must_be_right(1);
}

#[test]
#[ignore = "libfaketime has to be there"]
fn nothing_is_wrong_in_files_when_clocks_are_stepped() {
    race(&Place::file(), &STEPPED).must_be_right(1);
}

#[test]
#[ignore = "libfaketime has to be there"]
fn nothing_is_wrong_in_redis_when_clocks_are_stepped() {
    race(&Place::redis(), &STEPPED).must_be_right(1);
}

#[test]
#[ignore = "libfaketime has to be there"]
fn nothing_is_wrong_in_redis_when_its_clock_is_stepped() {
    race(&Place::redis_with_a_clock(), &FEW).must_be_right(1);
}

/// The check is checked: drivers that are wrong in one way do not pass, each for what it does.
#[test]
fn each_driver_that_is_wrong_is_found() {
    for flaw in Flaw::ALL {
        let tally = in_memory(&FEW, |driver| flaw.over(driver));
        println!("{flaw:?}: {tally}");
        let seen = tally.violations().iter().any(|seen| flaw.shows_in(seen));
        assert!(seen, "nobody saw what is wrong with {flaw:?}");
    }
}

/// Not even where a failover excuses that something is lost.
#[test]
fn a_driver_that_overwrites_is_found_across_a_failover() {
    let tally = in_memory_as_if(&FEW, |driver| Flaw::Overwrites.over(driver), true);
    println!("{tally}");
    let mut seen = tally.violations().iter();
    assert!(seen.any(|seen| Flaw::Overwrites.shows_in(seen)));
}

/// And one that loses nothing does, with or without a failover to excuse it.
#[test]
fn a_driver_that_loses_nothing_is_not_suspected() {
    let tally = in_memory_as_if(&FEW, |driver| driver, true);
    tally.must_be_right(1);
    assert_eq!(tally.lost(), 0);
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

#[test]
#[ignore = "minutes: a hundred thousand acknowledged requests while sentinels replace masters"]
fn a_hundred_thousand_on_sentinels() {
    let place = Place::sentinels(&[]);
    long_across(&place);
}

#[test]
#[ignore = "minutes: a hundred thousand acknowledged requests while masters need replicas"]
fn a_hundred_thousand_on_sentinels_with_care() {
    let place = Place::sentinels(&CAREFUL);
    long_across(&place);
}

#[test]
#[ignore = "minutes: a hundred thousand acknowledged requests while a cluster replaces masters"]
fn a_hundred_thousand_on_a_cluster() {
    let place = Place::cluster();
    long_across(&place);
}

#[test]
#[ignore = "minutes: a million acknowledged requests while slots move"]
fn a_million_on_a_cluster_whose_slots_move() {
    let place = Place::cluster();
    let course = Course {
        moves: true,
        ..MANY
    };
    long(|| race(&place, &course));
}

fn long(round: impl Fn() -> Tally) {
    let wished = wished();
    let mut total = Tally::default();
    while total.acknowledged() < wished && total.violations().is_empty() {
        total.add(round());
        // Whoever ends it before its end has this.
        println!("{} acknowledged so far", total.acknowledged());
    }
    total.must_be_right(wished);
}

/// With a switch in each round, which takes seconds: a tenth of the others.
fn long_across(place: &Place) {
    let wished = wished() / 10;
    let mut total = Tally::default();
    while total.acknowledged() < wished && total.violations().is_empty() {
        total.add(switched(place, &Reason::ALL, &MANY));
    }
    total.must_be_right(wished);
}

/// A round for each reason, up to the first in which something is wrong.
fn switched(place: &Place, reasons: &[Reason], course: &Course) -> Tally {
    let mut total = Tally::default();
    for reason in reasons {
        let tally = race_across(place, course, *reason);
        let (name, acknowledged, lost) = (reason.name(), tally.acknowledged(), tally.lost());
        println!("{name}: {acknowledged} acknowledged, {lost} of them lost");
        total.add(tally);
        if !total.violations().is_empty() {
            break;
        }
    }
    total
}

fn wished() -> u64 {
    std::env::var("ASM_HISTORIES").map_or(1_000_000, |number| {
        number.parse().expect("ASM_HISTORIES is a number")
    })
}
