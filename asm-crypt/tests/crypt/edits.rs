//! What comes of edits at random.

use std::collections::BTreeMap;

use fastrand::Rng;

/// Why an edit was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refused {
    Tampered,
    Malformed,
    UnknownKey,
    TooLarge,
}

/// Tries so many edits, which answer nothing when they changed nothing. None may be accepted, and
/// most must be found out by their tag.
pub(crate) fn none_is_accepted(
    tries: u64,
    mut edit: impl FnMut(&mut Rng) -> Option<Result<(), Refused>>,
) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let mut accepted = 0;
    let mut refused = BTreeMap::<Refused, u64>::new();
    for _ in 0..tries {
        match edit(&mut random) {
            Some(Ok(())) => accepted += 1,
            Some(Err(why)) => *refused.entry(why).or_default() += 1,
            None => {}
        }
    }
    println!("{accepted} of {tries} edits accepted, refused: {refused:?}");
    assert_eq!(accepted, 0);
    assert!(refused[&Refused::Tampered] > tries / 2);
}

/// These bytes, edited in one place: some are changed, removed, inserted, reversed, or come from
/// others of the same length.
pub(crate) fn edited(random: &mut Rng, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut edited = bytes.to_vec();
    let at = random.usize(..bytes.len());
    let len = random.usize(1..=8).min(bytes.len() - at);
    match random.u8(..6) {
        0 => edited[at] ^= 1 << random.u8(..8),
        1 => edited[at] = random.u8(..),
        2 => drop(edited.drain(at..at + len)),
        3 => drop(edited.splice(at..at, (0..len).map(|_| random.u8(..)))),
        4 => edited[at..at + len].reverse(),
        _ => edited[at..at + len].copy_from_slice(&other[at..at + len]),
    }
    edited
}
