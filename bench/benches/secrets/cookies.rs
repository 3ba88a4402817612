//! K3: values of cookies are sealed and opened, against the jars that tower-sessions and actix-session
//! keep their cookies in.

use std::{error::Error, hint::black_box};

use asm_bench::{Options, Report};
use asm_crypt::{CookieSeal, KeyId, KeyRing, SecretKey};
use cookie::{Cookie, CookieJar, Key};

use crate::{compare, work};

const NAME: &str = "session";

/// As long as an id.
const VALUE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJw";

const PRIVATE: &str = "a private jar of the crate cookie";
const SIGNED: &str = "a signed jar of it, which hides nothing";

pub(crate) fn rows(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if !options.wants("K3") {
        return Ok(());
    }
    let ring = KeyRing::new(KeyId::new(1), &SecretKey::generate()?);
    let (seal, key) = (CookieSeal::new(ring, "bench"), Key::generate());
    let (value, private, signed) = (
        seal.seal(NAME, VALUE.as_bytes())?,
        in_private(&key),
        in_signed(&key),
    );
    // Each reads what it wrote before it is measured.
    assert_eq!(seal.open(NAME, &value)?.content(), VALUE.as_bytes());
    assert_eq!(of_private(&key, &private).value(), VALUE);
    assert_eq!(of_signed(&key, &signed).value(), VALUE);

    compare(
        options,
        report,
        "K3",
        "a cookie that holds an id is sealed",
        work(|| seal.seal(NAME, black_box(VALUE.as_bytes())).expect("room")),
        vec![
            (PRIVATE, work(|| in_private(black_box(&key)))),
            (SIGNED, work(|| in_signed(black_box(&key)))),
        ],
    );
    compare(
        options,
        report,
        "K3",
        "a sealed cookie that holds an id is opened",
        work(|| seal.open(NAME, black_box(&value)).expect("what was sealed")),
        vec![
            (PRIVATE, work(|| of_private(&key, black_box(&private)))),
            (SIGNED, work(|| of_signed(&key, black_box(&signed)))),
        ],
    );
    Ok(())
}

fn in_private(key: &Key) -> Cookie<'static> {
    let mut jar = CookieJar::new();
    jar.private_mut(key).add((NAME, VALUE));
    jar.get(NAME).expect("it was put there").clone()
}

fn of_private(key: &Key, cookie: &Cookie<'static>) -> Cookie<'static> {
    let opened = CookieJar::new().private(key).decrypt(cookie.clone());
    opened.expect("what was sealed")
}

fn in_signed(key: &Key) -> Cookie<'static> {
    let mut jar = CookieJar::new();
    jar.signed_mut(key).add((NAME, VALUE));
    jar.get(NAME).expect("it was put there").clone()
}

fn of_signed(key: &Key, cookie: &Cookie<'static>) -> Cookie<'static> {
    let verified = CookieJar::new().signed(key).verify(cookie.clone());
    verified.expect("what was signed")
}
