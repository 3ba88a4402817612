//! A bounded number of hostile inputs for each target of `fuzz/`.

use asm_it::TARGETS;

/// How many inputs each target gets. `fuzz/` gives it more.
const INPUTS: usize = 200_000;

#[test]
fn no_hostile_input_does_harm() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    for target in TARGETS {
        let mut random = fastrand::Rng::with_seed(seed);
        let seeds = (target.seeds)();
        for seed in &seeds {
            (target.feed)(seed);
        }
        for _ in 0..INPUTS {
            (target.feed)(&input(&mut random, &seeds));
        }
        println!(
            "{}: {INPUTS} inputs from {} seeds",
            target.name,
            seeds.len()
        );
    }
}

/// A seed with some edits, or random bytes.
fn input(random: &mut fastrand::Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    if random.u8(..16) == 0 {
        let len = random.usize(..300);
        return (0..len).map(|_| random.u8(..)).collect();
    }
    let mut bytes = random.choice(seeds).cloned().unwrap_or_default();
    for _ in 0..random.usize(1..=4) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = random.usize(..bytes.len());
        // Most of what decides is in front.
        let at = if random.bool() {
            at
        } else {
            at.min(random.usize(..64))
        };
        let len = random.usize(1..=8).min(bytes.len() - at);
        match random.u8(..6) {
            0 => bytes[at] ^= 1 << random.u8(..8),
            1 => bytes[at] = random.u8(..),
            2 => bytes[at] = *random.choice(b"\0\x01\x7f\x80\xff09AZaz-_ ").unwrap_or(&0),
            3 => drop(bytes.drain(at..at + len)),
            4 => drop(bytes.splice(at..at, (0..len).map(|_| random.u8(..)))),
            _ => bytes.truncate(at),
        }
    }
    bytes
}
