//! What a sealed cookie refuses.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    edits::{Refused, edited, none_is_accepted},
    given::{at, key, ring, rotated},
};
use asm_crypt::{CookieError, CookieSeal, KeyId};
use base64ct::{Base64UrlUnpadded, Encoding};

const MINUTE: Duration = Duration::from_secs(60);

fn flash() -> CookieSeal {
    CookieSeal::new(ring(1), "flash")
}

fn refusal(seal: &CookieSeal, name: &str, value: &str) -> CookieError {
    seal.open(name, value).expect_err("it should not open")
}

#[test]
fn what_is_sealed_is_opened_and_not_seen() {
    let seal = flash();
    let mut seen = HashSet::new();
    for len in (0..100).chain([1000, 2800]) {
        let content = vec![b'x'; len];
        let value = seal.seal("message", &content).unwrap();
        assert!(
            value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        );
        let opened = seal.open("message", &value).unwrap();
        assert_eq!(opened.content(), content);
        assert!(opened.is_current());
        assert!(seen.insert(value));
    }
}

#[test]
fn a_value_is_bound_to_its_purpose_and_its_name() {
    let seal = flash();
    let value = seal.seal("message", b"x").unwrap();
    for (purpose, name) in [
        ("flash", "messag"),
        ("flash", "message2"),
        ("flash", ""),
        ("login", "message"),
        ("flashm", "essage"),
        ("", "flashmessage"),
    ] {
        let other = CookieSeal::new(ring(1), purpose);
        assert_eq!(refusal(&other, name, &value), CookieError::Tampered);
    }
}

#[test]
fn a_value_is_good_for_its_time_whatever_the_browser_keeps() {
    let now = Arc::new(AtomicU64::new(1000));
    let clock = Arc::clone(&now);
    let ring = ring(1).clock(move || at(clock.load(Relaxed)));
    let seal = CookieSeal::new(ring, "flash").lifetime(MINUTE);
    let value = seal.seal("n", b"x").unwrap();
    let opened = seal.open("n", &value).unwrap();
    assert_eq!(
        (opened.issued_at(), opened.expires_at()),
        (at(1000), at(1060))
    );
    for (secs, refused) in [
        (1059, None),
        (1060, Some(CookieError::Expired)),
        (u64::MAX / 1_000_000, Some(CookieError::Expired)),
        (940, None),
        (939, Some(CookieError::NotYet)),
        (0, Some(CookieError::NotYet)),
    ] {
        now.store(secs, Relaxed);
        assert_eq!(seal.open("n", &value).err(), refused, "at {secs}");
    }
    now.store(1000, Relaxed);
    // Another lifetime changes nothing for what is out there.
    let longer = seal.clone().lifetime(10 * MINUTE);
    now.store(1060, Relaxed);
    assert_eq!(refusal(&longer, "n", &value), CookieError::Expired);
    // The end of time is no overflow.
    let forever = seal.lifetime(Duration::MAX);
    let value = forever.seal("n", b"x").unwrap();
    assert!(forever.open("n", &value).is_ok());
}

#[test]
fn keys_are_rotated() {
    let old = flash().seal("n", b"x").unwrap();
    let both = CookieSeal::new(rotated(), "flash");
    let opened = both.open("n", &old).unwrap();
    assert!(!opened.is_current());
    let new = both.seal("n", b"x").unwrap();
    assert!(both.open("n", &new).unwrap().is_current());
    let unknown = CookieError::UnknownKey(KeyId::new(2));
    assert_eq!(refusal(&flash(), "n", &new), unknown);
    let ended = ring(2).reads_until(KeyId::new(1), &key(1), at(10));
    let ended = CookieSeal::new(ended.unwrap().clock(|| at(10)), "flash");
    assert_eq!(refusal(&ended, "n", &old), CookieError::Tampered);
}

#[test]
fn what_is_too_large_is_neither_sealed_nor_decoded() {
    let seal = flash().limit(200);
    let most = (0..200).take_while(|len| seal.seal("name", &vec![0; *len]).is_ok());
    let most = most.last().unwrap();
    let value = seal.seal("name", &vec![0; most]).unwrap();
    assert!((197..=200).contains(&("name".len() + value.len())));
    assert!(seal.open("name", &value).is_ok());
    let too_large = |len| CookieError::TooLarge { len, limit: 200 };
    assert!(matches!(
        seal.seal("name", &vec![0; most + 1]),
        Err(CookieError::TooLarge { limit: 200, .. })
    ));
    let long = "A".repeat(1000);
    assert_eq!(refusal(&seal, "name", &long), too_large(1004));
    assert_eq!(refusal(&seal, &long, &value), too_large(1000 + value.len()));
}

#[test]
fn what_is_no_value_is_malformed() {
    let seal = flash();
    let value = seal.seal("n", b"x").unwrap();
    let bytes = Base64UrlUnpadded::decode_vec(&value).unwrap();
    for wrong in [
        "",
        "A",
        "AAAA",
        "====",
        "\0",
        "é",
        &format!("{value}="),
        &format!(" {value}"),
        &value.replace(|letter: char| letter.is_ascii_alphanumeric(), "+"),
        // Of another version.
        &Base64UrlUnpadded::encode_string(&[&[2], &bytes[1..]].concat()),
    ] {
        assert_eq!(
            refusal(&seal, "n", wrong),
            CookieError::Malformed,
            "{wrong}"
        );
    }
    for cut in 0..bytes.len() {
        let cut = Base64UrlUnpadded::encode_string(&bytes[..cut]);
        let refused = refusal(&seal, "n", &cut);
        assert!(matches!(
            refused,
            CookieError::Malformed | CookieError::Tampered
        ));
    }
}

#[test]
fn no_edit_is_accepted() {
    edit(20_000);
}

#[test]
#[ignore = "a million edits: about a minute in release"]
fn no_edit_of_a_million_is_accepted() {
    edit(1_000_000);
}

/// Edits the bytes of a value, or its text.
fn edit(tries: u64) {
    let seal = CookieSeal::new(rotated(), "flash");
    let [value, other] = ["user 42", "user 43"].map(|content| {
        let value = seal.seal("n", content.as_bytes());
        value.expect("it fits")
    });
    let bytes = |value: &str| Base64UrlUnpadded::decode_vec(value).expect("base64");
    let (own, others) = (bytes(&value), bytes(&other));
    none_is_accepted(tries, |random| {
        let edited = if random.bool() {
            let mut text = value.clone().into_bytes();
            let at = random.usize(..text.len());
            text[at] = *random.choice(value.as_bytes()).expect("letters");
            String::from_utf8(text).expect("a text")
        } else {
            Base64UrlUnpadded::encode_string(&edited(random, &own, &others))
        };
        if edited == value || edited == other {
            return None;
        }
        let opened = seal.open("n", &edited).map(drop);
        Some(opened.map_err(|error| match error {
            CookieError::Tampered => Refused::Tampered,
            CookieError::Malformed => Refused::Malformed,
            CookieError::UnknownKey(_) => Refused::UnknownKey,
            CookieError::TooLarge { .. } => Refused::TooLarge,
            other => panic!("{other:?}"),
        }))
    });
}
