//! What sessions hold: made up, in the way in which shops and their frameworks write it.

use std::fmt::Write as _;

use bytes::Bytes;
use fastrand::Rng;

/// A kind of content: its name, and so many bytes of it.
pub(crate) type Payload = (&'static str, fn(usize) -> Bytes);

/// Every kind.
pub(crate) const PAYLOADS: [Payload; 4] = [
    ("cart, JSON", cart),
    ("profile, JSON", profile),
    ("PHP, serialized", php),
    ("incompressible", noise),
];

/// Things in a cart.
pub(crate) fn cart(len: usize) -> Bytes {
    written(len, |out, random| {
        let (name, quantity) = (product(random), random.u8(1..9));
        let (sku, price) = (random.u32(10_000..99_999), random.u32(99..99_999));
        let added = random.u32(1_760_000_000..1_764_000_000);
        let _ = write!(
            out,
            r#"{{"sku":"{sku}","name":"{name}","qty":{quantity},"price":{}.{:02},"currency":"EUR","added_at":{added},"options":{{"color":"{}","gift":{}}}}},"#,
            price / 100,
            price % 100,
            word(random),
            random.bool(),
        );
    })
}

/// A user, and what they have looked at and been asked.
pub(crate) fn profile(len: usize) -> Bytes {
    written(len, |out, random| {
        let id = random.u64(..);
        let _ = write!(
            out,
            r#"{{"id":"{id:016x}","email":"{}.{}@example.org","roles":["user","{}"],"locale":"en-GB","seen":["/{}/{}","/{}/{}"],"csrf":"{}","consent":{{"ads":{},"stats":{}}},"last_login":"2026-{:02}-{:02}T{:02}:17:05Z"}},"#,
            word(random),
            word(random),
            word(random),
            word(random),
            random.u16(..),
            word(random),
            random.u16(..),
            token(random, 22),
            random.bool(),
            random.bool(),
            random.u8(1..13),
            random.u8(1..29),
            random.u8(10..24),
        );
    })
}

/// What PHP's `serialize` makes of a shop's session.
pub(crate) fn php(len: usize) -> Bytes {
    written(len, |out, random| {
        let (name, visitor) = (product(random), token(random, 26));
        let _ = write!(
            out,
            r#"s:7:"item_{}";a:5:{{s:10:"product_id";i:{};s:4:"name";s:{}:"{name}";s:3:"qty";d:{};s:5:"price";s:8:"{}.{:04}";s:10:"visitor_id";s:26:"{visitor}";}}"#,
            random.u8(10..99),
            random.u32(100..99_999),
            name.len(),
            random.u8(1..9),
            random.u16(100..999),
            random.u16(..9999),
        );
    })
}

/// Ciphertext, images, random tokens.
pub(crate) fn noise(len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    Rng::with_seed(len as u64).fill(&mut bytes);
    bytes.into()
}

/// Parts after each other, up to a length.
fn written(len: usize, part: impl Fn(&mut String, &mut Rng)) -> Bytes {
    let mut random = Rng::with_seed(17);
    let mut out = String::new();
    while out.len() < len {
        part(&mut out, &mut random);
    }
    out.truncate(len);
    out.into()
}

const WORDS: [&str; 48] = [
    "amber", "anchor", "apple", "basket", "birch", "blue", "bottle", "brass", "candle", "canvas",
    "cedar", "chair", "clay", "cloud", "copper", "cotton", "desk", "ember", "fern", "flint",
    "garden", "glass", "green", "harbor", "hazel", "iron", "ivory", "jacket", "kettle", "lamp",
    "linen", "maple", "marble", "mint", "oak", "olive", "paper", "pearl", "pine", "plum", "river",
    "saddle", "silver", "slate", "stone", "velvet", "walnut", "wool",
];

fn word(random: &mut Rng) -> &'static str {
    WORDS[random.usize(..WORDS.len())]
}

fn product(random: &mut Rng) -> String {
    format!(
        "{} {} {}",
        word(random),
        word(random),
        random.u16(100..2000)
    )
}

fn token(random: &mut Rng, len: usize) -> String {
    (0..len).map(|_| random.alphanumeric()).collect()
}
