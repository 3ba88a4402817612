//! Contenders take turns.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use crate::thread_cpu_time;

/// Lets each contender run once a round, each round beginning with another one. Answers the figures
/// of each contender, round by round.
pub fn rounds<C, T>(
    count: u32,
    contenders: &mut [C],
    mut measure: impl FnMut(&mut C) -> T,
) -> Vec<Vec<T>> {
    let figures = try_rounds(count, contenders, |one| Ok::<_, Infallible>(measure(one)));
    figures.unwrap_or_else(|never| match never {})
}

/// As [`rounds`], until one fails.
///
/// # Errors
/// That of the first that fails.
pub fn try_rounds<C, T, E>(
    count: u32,
    contenders: &mut [C],
    mut measure: impl FnMut(&mut C) -> Result<T, E>,
) -> Result<Vec<Vec<T>>, E> {
    let mut figures: Vec<Vec<T>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..count as usize {
        for turn in 0..contenders.len() {
            let place = (round + turn) % contenders.len();
            figures[place].push(measure(&mut contenders[place])?);
        }
    }
    Ok(figures)
}

/// Seconds that pass for one, done again and again for that long.
pub fn seconds_for_one<T>(turn: Duration, once: impl FnMut() -> T) -> f64 {
    let began = Instant::now();
    for_one(turn, 1, || began.elapsed(), once)
}

/// The same in the processor time of this thread, so that neighbours do not count: for what neither
/// waits nor leaves work to others. That clock is slow, so it is looked at after every 16.
pub fn cpu_seconds_for_one<T>(turn: Duration, once: impl FnMut() -> T) -> f64 {
    let began = thread_cpu_time();
    for_one(turn, 16, || thread_cpu_time() - began, once)
}

fn for_one<T>(
    turn: Duration,
    batch: u32,
    taken: impl Fn() -> Duration,
    mut once: impl FnMut() -> T,
) -> f64 {
    let mut count = 0;
    loop {
        for _ in 0..batch {
            once();
        }
        count += batch;
        let taken = taken();
        if taken >= turn {
            return taken.as_secs_f64() / f64::from(count);
        }
    }
}
