//! LZF: the block of liblzf (<http://oldhome.schmorp.de/marc/liblzf.html>), behind a length.
//!
//! A block is a row of literals and matches. A byte below 32 is followed by so many and one bytes of
//! content. Any other byte has 3 bits of a length and 5 bits of a distance; a length of 7 is
//! continued by a byte that is added to it, and the distance by a byte with its lower 8 bits. So many
//! and two bytes of the content are repeated that lie so far and one back.

use asm_core::{Error, Result};

use crate::{
    algorithm::Algorithm,
    claim::{LEN, claimed},
    errors::{corrupt, too_large},
};

const NAME: &str = "lzf";

/// Three bytes of a block make at most 264 of content.
const GROWTH: usize = 88;

/// The longest row of literals.
const MAX_LITERAL: usize = 32;

/// How far back a match can be.
const MAX_DISTANCE: usize = 1 << 13;

/// The shortest and the longest match.
const MATCH: std::ops::RangeInclusive<usize> = 3..=264;

#[derive(Debug)]
pub(crate) struct Lzf;

impl Algorithm for Lzf {
    fn name(&self) -> &'static str {
        NAME
    }

    fn compress(&self, plain: &[u8], most: usize) -> Result<Option<Vec<u8>>> {
        let Ok(len) = u32::try_from(plain.len()) else {
            return Ok(None);
        };
        let most = most.min(LEN + longest(plain.len()));
        Ok(compressed(&len.to_le_bytes(), plain, most))
    }

    fn decompress(&self, coded: &[u8], limit: usize) -> Result<Vec<u8>> {
        let (len, block) = claimed(NAME, coded, limit, GROWTH)?;
        decompress_block(block, len)
    }

    /// A block alone.
    fn compress_for_php(&self, plain: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(compressed(&[], plain, longest(plain.len())))
    }

    fn decompress_from_php(&self, coded: &[u8], limit: usize) -> Result<Vec<u8>> {
        decompress_block(coded, len_of_block(coded, limit)?)
    }
}

/// How long the content of a block is, which is at most the limit.
fn len_of_block(mut block: &[u8], limit: usize) -> Result<usize> {
    let mut len: usize = 0;
    while let Some((&head, rest)) = block.split_first() {
        let (content, bytes) = match (head >> 5, rest.first()) {
            (0, _) => (usize::from(head) + 1, usize::from(head) + 1),
            (7, Some(more)) => (usize::from(*more) + 9, 2),
            (short, _) => (usize::from(short) + 2, 1),
        };
        block = rest.get(bytes..).ok_or_else(cut)?;
        len += content;
        if len > limit {
            return Err(too_large(NAME, len as u64, limit));
        }
    }
    Ok(len)
}

/// The content of a block, which has exactly this length.
fn decompress_block(block: &[u8], len: usize) -> Result<Vec<u8>> {
    // Copies are of a fixed width where there is room, and what is written too much is written over.
    let mut plain = vec![0; len + WIDE];
    let (mut from, mut at) = (0, 0);
    while let Some(&head) = block.get(from) {
        from += 1;
        let count;
        if usize::from(head) < MAX_LITERAL {
            count = usize::from(head) + 1;
            copy_literal(block, from, &mut plain, at, count)?;
            from += count;
        } else {
            let mut short = usize::from(head >> 5);
            if short == 7 {
                short += usize::from(*block.get(from).ok_or_else(cut)?);
                from += 1;
            }
            let low = usize::from(*block.get(from).ok_or_else(cut)?);
            from += 1;
            let distance = (usize::from(head & 0x1f) << 8 | low) + 1;
            count = short + 2;
            repeat(&mut plain, at, distance, count, len)?;
        }
        at += count;
        if at > len {
            return Err(longer());
        }
    }
    if at != len {
        return Err(corrupt(NAME, "the content is shorter than it says"));
    }
    plain.truncate(len);
    Ok(plain)
}

/// How much is copied at once.
const WIDE: usize = 32;

fn copy_literal(
    block: &[u8],
    from: usize,
    plain: &mut [u8],
    at: usize,
    count: usize,
) -> Result<()> {
    if let (Some(source), Some(room)) = (block.get(from..from + WIDE), plain.get_mut(at..at + WIDE))
    {
        room.copy_from_slice(source);
        return Ok(());
    }
    let source = block.get(from..from + count).ok_or_else(cut)?;
    let room = plain.get_mut(at..at + count).ok_or_else(longer)?;
    room.copy_from_slice(source);
    Ok(())
}

fn repeat(plain: &mut [u8], at: usize, distance: usize, count: usize, len: usize) -> Result<()> {
    let Some(start) = at.checked_sub(distance) else {
        return Err(corrupt(NAME, "a match lies before the content"));
    };
    if at + count > len {
        return Err(longer());
    }
    if distance >= count {
        if count <= WIDE && distance >= WIDE {
            let (before, room) = plain.split_at_mut(at);
            if let (Some(source), Some(room)) = (
                before.get(start..start + WIDE),
                room.first_chunk_mut::<WIDE>(),
            ) {
                room.copy_from_slice(source);
                return Ok(());
            }
        }
        plain.copy_within(start..start + count, at);
    } else if distance == 1 {
        let byte = plain[start];
        plain[at..at + count].fill(byte);
    } else {
        // What repeats itself becomes twice as long with each copy.
        let mut done = 0;
        while done < count {
            let step = (distance + done).min(count - done);
            plain.copy_within(start..start + step, at + done);
            done += step;
        }
    }
    Ok(())
}

/// A block behind what is in front of it, if both together are at most so long.
fn compressed(front: &[u8], plain: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut block = Block::new(front, most)?;
    // Little content needs few slots, and slots cost time to clear.
    match plain.len() {
        ..=0x400 => compress_with(&mut [0; 1 << 10], plain, &mut block),
        0x401..=0x1000 => compress_with(&mut [0; 1 << 12], plain, &mut block),
        _ => compress_with(&mut [0; 1 << 14], plain, &mut block),
    }?;
    Some(block.end())
}

/// The table has for each hash of three bytes the lower bits of where they stood last.
fn compress_with<const SLOTS: usize>(
    table: &mut [u16; SLOTS],
    plain: &[u8],
    block: &mut Block,
) -> Option<()> {
    // Where the content begins that has not been written.
    let mut pending = 0;
    let mut at = 0;
    while let Some(&word) = plain.get(at..).and_then(|rest| rest.first_chunk()) {
        let slot = &mut table[slot_of::<SLOTS>(word)];
        let distance = usize::from((at as u16).wrapping_sub(*slot));
        *slot = at as u16;
        let before = at.wrapping_sub(distance);
        // A distance of 0 is as one that is too far.
        let far = distance.wrapping_sub(1) >= MAX_DISTANCE.min(at);
        if far || !same(plain, before, word) {
            // The longer nothing repeats itself, the less it is looked for.
            at += 1 + (at - pending) / 64;
            continue;
        }
        let count = common(plain, before, at);
        block.put_literals(plain, pending, at)?;
        block.put_match(distance, count)?;
        at += count;
        pending = at;
        for place in [at - 2, at - 1] {
            if let Some(&word) = plain.get(place..).and_then(|rest| rest.first_chunk()) {
                table[slot_of::<SLOTS>(word)] = place as u16;
            }
        }
    }
    block.put_literals(plain, pending, plain.len())
}

fn slot_of<const SLOTS: usize>(word: [u8; 4]) -> usize {
    let three = u32::from_le_bytes(word) << 8;
    // The shift leaves no more; said so, the table is not asked how long it is.
    (three.wrapping_mul(0x9e37_79b1) >> (32 - SLOTS.trailing_zeros())) as usize & (SLOTS - 1)
}

/// Whether three bytes stand there.
fn same(plain: &[u8], at: usize, word: [u8; 4]) -> bool {
    let word = u32::from_le_bytes(word);
    let other = plain.get(at..).and_then(|rest| rest.first_chunk());
    other.is_some_and(|other| (u32::from_le_bytes(*other) ^ word) << 8 == 0)
}

/// How many bytes are the same at both places, of which there are three.
fn common(plain: &[u8], before: usize, at: usize) -> usize {
    let most = (plain.len() - at).min(*MATCH.end());
    let (old, new) = (&plain[before..before + most], &plain[at..at + most]);
    let mut count = *MATCH.start();
    // The commonest case.
    if old.get(count) != new.get(count) {
        return count;
    }
    while let (Some(a), Some(b)) = (eight(old, count), eight(new, count)) {
        let differs = a ^ b;
        if differs != 0 {
            return count + differs.trailing_zeros() as usize / 8;
        }
        count += 8;
    }
    let rest = old[count..].iter().zip(&new[count..]);
    count + rest.take_while(|(a, b)| a == b).count()
}

fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|eight| u64::from_le_bytes(*eight))
}

/// What is written, and how far it is.
struct Block {
    bytes: Vec<u8>,
    at: usize,
    /// How long it may become.
    most: usize,
}

impl Block {
    /// With this in front of it.
    fn new(front: &[u8], most: usize) -> Option<Self> {
        let mut bytes = vec![0; most + WIDE];
        bytes[..most].get_mut(..front.len())?.copy_from_slice(front);
        Some(Self {
            bytes,
            at: front.len(),
            most,
        })
    }

    fn put_literals(&mut self, plain: &[u8], mut from: usize, to: usize) -> Option<()> {
        while from < to {
            let count = (to - from).min(MAX_LITERAL);
            if self.at + 1 + count > self.most {
                return None;
            }
            self.bytes[self.at] = count as u8 - 1;
            self.at += 1;
            // As when they are read.
            let (row, room) = (&plain[from..], &mut self.bytes[self.at..]);
            match (row.first_chunk::<WIDE>(), room.first_chunk_mut::<WIDE>()) {
                (Some(row), Some(room)) => *room = *row,
                _ => room[..count].copy_from_slice(&row[..count]),
            }
            self.at += count;
            from += count;
        }
        Some(())
    }

    fn put_match(&mut self, distance: usize, count: usize) -> Option<()> {
        let (far, short) = (distance - 1, count - 2);
        let high = (far >> 8) as u8;
        if self.at + 3 > self.most {
            return None;
        }
        let room = self.bytes[self.at..].first_chunk_mut()?;
        if short < 7 {
            *room = [(short << 5) as u8 | high, far as u8, 0];
            self.at += 2;
        } else {
            *room = [7 << 5 | high, (short - 7) as u8, far as u8];
            self.at += 3;
        }
        Some(())
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.truncate(self.at);
        self.bytes
    }
}

/// The most that a block can have.
fn longest(plain: usize) -> usize {
    plain + plain.div_ceil(MAX_LITERAL)
}

fn cut() -> Error {
    corrupt(NAME, "bytes are missing")
}

fn longer() -> Error {
    corrupt(NAME, "the content is longer than it says")
}
