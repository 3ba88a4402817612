//! No key and no content shows in what is printed.

use crate::given::{HANDLE, OTHER, body, key, rotated};
use asm_core::{Codec, Encoded};
use asm_crypt::{CookieSeal, KeyError, KeyRing, KeySource, Padding, Seal, SecretKey};
use base64ct::{Base64, Base64Unpadded, Base64UrlUnpadded, Encoding};
use bytes::Bytes;

const CANARY: &str = "canary-4111111111111111";

/// Every way in which these bytes may be printed.
fn spellings(bytes: &[u8]) -> Vec<String> {
    let hex = |upper: bool, between: &str| -> String {
        let bytes = bytes.iter().map(|byte| match upper {
            true => format!("{byte:02X}"),
            false => format!("{byte:02x}"),
        });
        bytes.collect::<Vec<_>>().join(between)
    };
    let debug = format!("{bytes:?}");
    vec![
        hex(false, ""),
        hex(true, ""),
        hex(false, ", "),
        debug.trim_matches(['[', ']']).to_owned(),
        Base64::encode_string(bytes),
        Base64Unpadded::encode_string(bytes),
        Base64UrlUnpadded::encode_string(bytes),
    ]
}

#[test]
fn nothing_that_is_printed_shows_a_secret() {
    let (one, two) = (key(1).expose_base64(), key(2).expose_base64());
    let mut secrets = vec![CANARY.to_owned()];
    for key in [&one, &two] {
        let bytes = Base64::decode_vec(key).expect("base64");
        // The whole of it, and any eighth.
        secrets.extend(bytes.chunks(8).flat_map(spellings));
    }
    secrets.extend(spellings(CANARY.as_bytes()));

    let ring = rotated();
    let seal = Seal::xchacha(ring.clone())
        .key_source(KeySource::Split)
        .padding(Padding::Padme);
    let context = body(&HANDLE);
    let Ok(Encoded::Coded(coded)) = seal.encode(Bytes::from_static(CANARY.as_bytes()), &context)
    else {
        panic!("a seal never declines");
    };
    let cookies = CookieSeal::new(ring.clone(), "flash");
    let value = cookies.seal("n", CANARY.as_bytes()).expect("it fits");
    let opened = cookies.open("n", &value).expect("just sealed");

    let mut shown = vec![
        format!("{:?} {:#?}", key(1), key(1)),
        format!("{ring:?} {:?}", ring.usage()),
        format!("{seal:?} {seal:#?}"),
        format!("{cookies:?} {opened:?}"),
        ring.pseudonym(&HANDLE),
    ];
    for error in [
        seal.decode(coded.slice(1..), &context),
        seal.decode(coded.clone(), &body(&OTHER)),
        seal.decode(Bytes::from_static(CANARY.as_bytes()), &context),
        Seal::xchacha(crate::given::ring(7)).decode(coded, &context),
    ] {
        let error = error.expect_err("it should not open");
        shown.push(format!("{error} {error:?}"));
    }
    for error in [
        cookies.open("m", &value).err(),
        cookies.open("n", CANARY).err(),
        CookieSeal::new(crate::given::ring(7), "flash")
            .open("n", &value)
            .err(),
        cookies.clone().limit(5).open("n", &value).err(),
    ] {
        let error = error.expect("a refusal");
        shown.push(format!("{error} {error:?}"));
    }
    let (one, two) = (one.as_str(), two.as_str());
    for text in [
        format!("1 {one} until {CANARY}"),
        format!("1 {one}, 2 {two}, 2 {one}"),
        format!("1 {one}, 2 {one}"),
        one.to_owned(),
        format!("1 {one}{two}"),
        format!("1 {CANARY}"),
    ] {
        let error = KeyRing::parse(&text).expect_err("no ring");
        shown.push(format!("{error} {error:?}"));
    }
    for error in [
        SecretKey::from_bytes(CANARY.repeat(3).as_bytes()),
        SecretKey::from_bytes(CANARY.as_bytes()),
        SecretKey::from_base64(CANARY),
        SecretKey::from_env(CANARY),
        SecretKey::from_file(CANARY),
    ] {
        let error: KeyError = error.expect_err("no key");
        shown.push(format!("{error} {error:?}"));
    }
    let shows = |text: &&String| secrets.iter().any(|secret| text.contains(secret));
    let found: Vec<_> = shown.iter().filter(shows).collect();
    println!(
        "{} of {} texts show one of {} spellings of secrets",
        found.len(),
        shown.len(),
        secrets.len()
    );
    assert!(found.is_empty(), "{found:#?}");
    // That a key which is printed would be found.
    let printed = format!("{:?}", Base64::decode_vec(one).expect("base64"));
    assert!(secrets.iter().any(|secret| printed.contains(secret)));
}
