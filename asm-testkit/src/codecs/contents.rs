//! What cases encode.

use std::fmt::Write as _;

use bytes::Bytes;

/// So many bytes of text that repeats itself, as sessions do: a list of things in a cart. It begins
/// in the same way whatever its length.
#[must_use]
pub fn text(len: usize) -> Bytes {
    let mut text = String::with_capacity(len + 100);
    let mut number: u32 = 7;
    while text.len() < len {
        number = number.wrapping_mul(2_654_435_761).wrapping_add(1);
        let _ = write!(
            text,
            r#"{{"sku":"A-{:05}","name":"{MARK}","count":{},"note":"{:24}"}},"#,
            number >> 16,
            number % 9,
            "",
        );
    }
    text.truncate(len);
    text.into()
}

/// So many bytes that repeat nothing, the same ones each time.
#[must_use]
pub fn noise(len: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(len as u64);
    let mut noise = vec![0; len];
    random.fill(&mut noise);
    noise.into()
}

/// A text that is in every [`text`] of some length, and nowhere else.
pub(super) const MARK: &str = "canary-in-the-cart";
