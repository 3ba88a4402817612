//! Inputs that are made of seeds.

use fastrand::Rng;

/// Inputs without end: bytes of chance, and seeds with some edits, the same ones for the same seeds
/// and number.
#[derive(Clone, Debug)]
pub struct Mutations {
    seeds: Vec<Vec<u8>>,
    random: Rng,
}

/// The longest input that is made of chance alone.
const LONGEST: usize = 300;

/// Bytes that lengths and flags are made of.
const CORNERS: [u8; 8] = [0, 1, 0x1f, 0x20, 0x7f, 0x80, 0xfe, 0xff];

/// Letters that texts are made of.
const LETTERS: &[u8] = b"09AZaz-_+/=";

/// Most of what decides is in front.
const FRONT: usize = 64;

impl Mutations {
    /// Inputs made of these seeds.
    #[must_use]
    pub fn new(seeds: Vec<Vec<u8>>, number: u64) -> Self {
        let random = Rng::with_seed(number);
        Self { seeds, random }
    }

    fn edit(&mut self, input: &mut Vec<u8>) {
        let within = match self.random.bool() {
            true => input.len(),
            false => input.len().min(FRONT),
        };
        let at = self.random.usize(..=within);
        let end = (at + self.random.usize(..9)).min(input.len());
        match self.random.u8(..8) {
            0 if at < input.len() => input[at] ^= 1 << self.random.u8(..8),
            1 => input.truncate(at),
            2 => drop(input.drain(at..end)),
            3 => {
                let copied = input[at..end].to_vec();
                let to = self.random.usize(..=input.len());
                input.splice(to..to, copied);
            }
            4 => {
                let corner = self.random.choice(CORNERS).unwrap_or_default();
                input[at..end].fill(corner);
            }
            5 => {
                let letter = self.random.choice(LETTERS).copied().unwrap_or_default();
                input[at..end].fill(letter);
            }
            6 => {
                let other = self.random.choice(&self.seeds).cloned().unwrap_or_default();
                let from = self.random.usize(..=other.len());
                input.splice(at.., other[from..].iter().copied());
            }
            _ => {
                let new = (0..end - at).map(|_| self.random.u8(..));
                let new: Vec<u8> = new.collect();
                input.splice(at..end, new);
            }
        }
    }
}

impl Iterator for Mutations {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut input = match self.random.choice(&self.seeds) {
            Some(seed) if self.random.u8(..8) > 0 => seed.clone(),
            _ => {
                let len = self.random.usize(..LONGEST);
                (0..len).map(|_| self.random.u8(..)).collect()
            }
        };
        for _ in 0..self.random.usize(..6) {
            self.edit(&mut input);
        }
        Some(input)
    }
}
