//! What a client holds: a public handle and a secret, in one string.

use std::fmt::{self, Debug};

use asm_core::{Epoch, Key, LockToken, OpId, Proof};
use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{InvalidReason, envelope::Place};

/// A session's id, as its client holds it: a *handle* of 16 bytes, which is where the session is
/// stored, and a *secret* of 24 bytes, which opens it.
///
/// The handle stays the same for the session's whole life and may be shown to anybody. The secret
/// is replaced by a rotation and is never stored: a record keeps its SHA-256 only, so a stolen dump
/// opens nothing, and no stored form of an id is an id.
///
/// Where a seal [splits its key](asm_core::Codec::splits_key), the secret is followed by a *half* of
/// 32 bytes, without which nobody opens the session's body. A renewal keeps it; an authentication
/// draws another one. The stored hash is then of both, so that no other half, and none at all, goes
/// with a secret.
///
/// It has no `Display`, its `Debug` shows nothing, and it is wiped when it is dropped.
/// [`expose`](Self::expose) is the one way out.
///
/// ```
/// use asm_session::{InvalidReason, SessionId};
///
/// let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJw";
/// let id = SessionId::parse(text)?;
/// assert_eq!(id.handle().to_string(), "000102030405060708090a0b0c0d0e0f");
/// assert_eq!(id.expose().as_str(), text);
/// assert_eq!(format!("{id:?}"), "SessionId(..)");
///
/// // One id has one spelling: the spare bits of the last letter must be zero.
/// let twin = text.replace("Jw", "Jx");
/// assert_eq!(SessionId::parse(&twin).unwrap_err(), InvalidReason::Malformed);
/// # Ok::<(), InvalidReason>(())
/// ```
#[derive(Clone)]
pub struct SessionId {
    handle: Key,
    secret: Secret,
}

impl SessionId {
    /// The length of an id's text in bytes.
    pub const LEN: usize = 54;

    /// The length of the text of an id with a half, in bytes.
    pub const LEN_SPLIT: usize = 96;

    /// Reads the text of an id. Only the exact text of [`expose`](Self::expose) is one; the store
    /// is not asked.
    ///
    /// # Errors
    /// [`InvalidReason::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidReason> {
        let len = match text.len() {
            Self::LEN => Key::LEN + Secret::LEN,
            Self::LEN_SPLIT => Self::MOST,
            _ => return Err(InvalidReason::Malformed),
        };
        let mut bytes = Zeroizing::new([0; Self::MOST]);
        let bytes = &mut bytes[..len];
        Base64UrlUnpadded::decode(text, bytes).map_err(|_| InvalidReason::Malformed)?;
        let (handle, rest) = bytes.split_first_chunk().ok_or(InvalidReason::Malformed)?;
        let (secret, half) = rest.split_first_chunk().ok_or(InvalidReason::Malformed)?;
        Ok(Self {
            handle: Key::from_bytes(*handle),
            secret: Secret {
                bytes: *secret,
                half: half.try_into().ok(),
            },
        })
    }

    /// Bytes of the longest id.
    const MOST: usize = Key::LEN + Secret::LEN + Secret::HALF;

    pub(crate) const fn new(handle: Key, secret: Secret) -> Self {
        Self { handle, secret }
    }

    /// The public half: where the session is stored.
    #[must_use]
    pub const fn handle(&self) -> Key {
        self.handle
    }

    /// The text that the client is to send, wiped when it is dropped. Whoever has it has the
    /// session.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; Self::MOST]);
        let Secret {
            bytes: secret,
            half,
        } = &self.secret;
        let parts = [self.handle.as_bytes(), &secret[..]];
        let mut len = 0;
        for part in parts.into_iter().chain(half.as_ref().map(|half| &half[..])) {
            bytes[len..][..part.len()].copy_from_slice(part);
            len += part.len();
        }
        Zeroizing::new(Base64UrlUnpadded::encode_string(&bytes[..len]))
    }

    /// What a record of this session is encoded and decoded for.
    pub(crate) const fn place(&self) -> Place<'_> {
        Place {
            key: &self.handle,
            client_half: self.secret.half.as_ref(),
        }
    }

    pub(crate) const fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// The half of an id that opens the session, and what its body is bound to.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secret {
    bytes: [u8; Self::LEN],
    half: Option<[u8; Self::HALF]>,
}

impl Secret {
    pub(crate) const LEN: usize = 24;

    /// Bytes of what a body is bound to.
    const HALF: usize = 32;

    pub(crate) fn hash(&self) -> SecretHash {
        let mut digest = Sha256::new_with_prefix(self.bytes);
        if let Some(half) = &self.half {
            digest.update(half);
        }
        SecretHash(digest.finalize().into())
    }
}

impl Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The SHA-256 of a secret: all that is stored of it. Comparison takes the same time wherever two
/// differ.
#[derive(Clone, Copy, Eq)]
pub(crate) struct SecretHash([u8; Self::LEN]);

impl SecretHash {
    pub(crate) const LEN: usize = 32;

    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The part of it that a driver is shown.
    pub(crate) fn proof(&self) -> Proof {
        let mut proof = [0; Proof::LEN];
        proof.copy_from_slice(&self.0[..Proof::LEN]);
        Proof::from_bytes(proof)
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// Where the random bytes of ids come from. An application leaves it at [`OsRandom`]; a test brings
/// one that clashes or fails.
pub trait IdSource: Debug + Send + Sync + 'static {
    /// Fills all of `bytes` with random ones.
    ///
    /// # Errors
    /// When there is no randomness to be had. No id is made then.
    fn fill(&self, draw: Draw, bytes: &mut [u8]) -> Result<(), getrandom::Error>;
}

/// What random bytes are drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Draw {
    /// The public half of a session id.
    Handle,
    /// The secret half of a session id.
    Secret,
    /// The name of a write.
    Op,
    /// The name of an attempt to take a lock.
    Token,
    /// The name of the time between two authentications.
    Epoch,
    /// The part of a session id that its body is bound to.
    Half,
}

/// The random bytes of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl IdSource for OsRandom {
    fn fill(&self, _: Draw, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        getrandom::fill(bytes)
    }
}

impl dyn IdSource {
    pub(crate) fn handle(&self) -> Result<Key, getrandom::Error> {
        self.draw(Draw::Handle).map(Key::from_bytes)
    }

    /// A secret, with a half of its own if bodies are bound to one.
    pub(crate) fn secret(&self, splits: bool) -> Result<Secret, getrandom::Error> {
        let mut secret = Secret {
            bytes: [0; Secret::LEN],
            half: splits.then_some([0; Secret::HALF]),
        };
        self.fill(Draw::Secret, &mut secret.bytes)?;
        if let Some(half) = &mut secret.half {
            self.fill(Draw::Half, half)?;
        }
        Ok(secret)
    }

    /// A secret with the half of a former one, if that has any.
    pub(crate) fn secret_after(&self, former: &Secret) -> Result<Secret, getrandom::Error> {
        let mut secret = self.secret(false)?;
        secret.half = former.half;
        Ok(secret)
    }

    pub(crate) fn op(&self) -> Result<OpId, getrandom::Error> {
        self.draw(Draw::Op).map(OpId::from_bytes)
    }

    pub(crate) fn token(&self) -> Result<LockToken, getrandom::Error> {
        self.draw(Draw::Token).map(LockToken::from_bytes)
    }

    pub(crate) fn epoch(&self) -> Result<Epoch, getrandom::Error> {
        let name = self.draw(Draw::Epoch)?;
        Ok(Epoch::new(u64::from_be_bytes(name)))
    }

    fn draw<const N: usize>(&self, draw: Draw) -> Result<[u8; N], getrandom::Error> {
        let mut bytes = [0; N];
        self.fill(draw, &mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJw";

    /// Fills with its purpose, and fails after so many draws.
    #[derive(Debug)]
    struct Few(AtomicU8);

    impl IdSource for Few {
        fn fill(&self, draw: Draw, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
            let left = self.0.load(Ordering::Relaxed);
            let left = left.checked_sub(1).ok_or(getrandom::Error::UNEXPECTED)?;
            self.0.store(left, Ordering::Relaxed);
            bytes.fill(draw as u8 + 1);
            Ok(())
        }
    }

    #[test]
    fn the_text_of_an_id_reads_back() {
        let source: &dyn IdSource = &OsRandom;
        for splits in [false, true].repeat(500) {
            let (handle, secret) = (source.handle().unwrap(), source.secret(splits).unwrap());
            let id = SessionId::new(handle, secret);
            let text = id.expose();
            let len = if splits {
                SessionId::LEN_SPLIT
            } else {
                SessionId::LEN
            };
            assert_eq!(text.len(), len);
            let read = SessionId::parse(&text).unwrap();
            assert_eq!(read.handle(), handle);
            assert_eq!(read.secret().hash(), id.secret().hash());
            assert_eq!(read.place().client_half, id.place().client_half);
            assert_eq!(read.place().client_half.is_some(), splits);
        }
    }

    #[test]
    fn a_secret_goes_with_no_other_half() {
        let source: &dyn IdSource = &OsRandom;
        let id = SessionId::new(source.handle().unwrap(), source.secret(true).unwrap());
        let text = id.expose();
        let without = SessionId::parse(&text[..SessionId::LEN - 1]);
        assert_eq!(without.unwrap_err(), InvalidReason::Malformed);
        let mut bytes = Base64UrlUnpadded::decode_vec(&text).unwrap();
        let hash_of = |bytes: &[u8]| {
            let id = SessionId::parse(&Base64UrlUnpadded::encode_string(bytes)).unwrap();
            id.secret().hash()
        };
        assert_ne!(hash_of(&bytes[..40]), id.secret().hash());
        bytes[71] ^= 1;
        assert_ne!(hash_of(&bytes), id.secret().hash());

        let next = source.secret_after(id.secret()).unwrap();
        let next = SessionId::new(id.handle(), next);
        assert_eq!(next.place().client_half, id.place().client_half);
        assert_ne!(next.secret().hash(), id.secret().hash());
    }

    #[test]
    fn what_is_stored_of_a_secret_is_its_sha_256() {
        let hash = SessionId::parse(TEXT).unwrap().secret().hash();
        let expected = "580360100575b30307c941865e789503b964d6ed91e534e6957f3db1938437f4";
        assert_eq!(hex(hash.as_bytes()), expected);
        assert_eq!(
            hash.proof(),
            Proof::from_bytes(hash.as_bytes()[..16].try_into().unwrap())
        );
    }

    #[test]
    fn no_stored_form_of_an_id_is_an_id() {
        let id = SessionId::parse(TEXT).unwrap();
        let (handle, hash) = (id.handle(), id.secret().hash());
        let bytes = hash.as_bytes();
        let both = [handle.as_bytes().as_slice(), bytes].concat();
        for stored in [
            handle.to_string(),
            hex(bytes),
            format!("{handle}{}", hex(bytes)),
            Base64UrlUnpadded::encode_string(bytes),
            Base64UrlUnpadded::encode_string(&both),
        ] {
            // Some are as long as an id is: they open nothing.
            match SessionId::parse(&stored) {
                Err(reason) => assert_eq!(reason, InvalidReason::Malformed),
                Ok(forged) => assert_ne!(forged.secret().hash(), hash),
            }
        }
        // The most that fits into the length of an id opens nothing.
        let forged = SessionId::parse(&Base64UrlUnpadded::encode_string(&both[..40])).unwrap();
        assert_ne!(forged.secret().hash(), hash);
    }

    #[test]
    fn one_letter_more_or_less_or_of_another_alphabet_is_malformed() {
        for at in 0..TEXT.len() {
            for wrong in ["+", "/", "=", " ", ".", "\0", "\n", "é", "", "AA"] {
                let text = [&TEXT[..at], wrong, &TEXT[at + 1..]].concat();
                assert_eq!(
                    SessionId::parse(&text).unwrap_err(),
                    InvalidReason::Malformed
                );
            }
        }
    }

    #[test]
    fn the_spare_bits_of_the_last_letter_are_zero() {
        let last = ('A'..='Z')
            .chain('a'..='z')
            .chain('0'..='9')
            .chain(['-', '_']);
        let texts = last.map(|letter| format!("{}{letter}", &TEXT[..TEXT.len() - 1]));
        let valid = texts.filter(|text| SessionId::parse(text).is_ok()).count();
        // Two bits are left for it.
        assert_eq!(valid, 4);
    }

    #[test]
    fn a_failing_source_gives_no_id() {
        let source: &dyn IdSource = &Few(AtomicU8::new(0));
        assert!(source.handle().is_err());
        assert!(source.secret(false).is_err());
        let one: &dyn IdSource = &Few(AtomicU8::new(1));
        assert!(one.secret(true).is_err());
        assert!(source.op().is_err());
        assert!(source.token().is_err());
        assert!(source.epoch().is_err());
    }

    #[test]
    fn a_source_is_told_what_it_draws_for() {
        let source: &dyn IdSource = &Few(AtomicU8::new(7));
        assert_eq!(source.handle().unwrap(), Key::from_bytes([1; 16]));
        assert_eq!(source.secret(false).unwrap().bytes, [2; 24]);
        assert_eq!(source.secret(true).unwrap().half, Some([6; 32]));
        assert_eq!(source.op().unwrap(), OpId::from_bytes([3; 8]));
        assert_eq!(source.token().unwrap(), LockToken::from_bytes([4; 16]));
        assert_eq!(source.epoch().unwrap(), Epoch::new(0x0505_0505_0505_0505));
    }

    #[test]
    fn secrets_are_wiped_and_never_shown() {
        fn is_wiped<T: ZeroizeOnDrop>(_: &T) {}
        let id = SessionId::parse(TEXT).unwrap();
        is_wiped(id.secret());
        let shown = format!("{id:?} {:?} {:?}", id.secret(), id.secret().hash());
        assert_eq!(shown, "SessionId(..) Secret(..) SecretHash(..)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn only_the_very_text_of_an_id_is_read(
            text in prop_oneof![
                ".*",
                "[A-Za-z0-9_-]{54}",
                "[A-Za-z0-9_-]{96}",
                "[A-Za-z0-9_=-]{50,100}",
            ],
        ) {
            match SessionId::parse(&text) {
                Ok(id) => prop_assert_eq!(&*id.expose(), &text),
                Err(reason) => prop_assert_eq!(reason, InvalidReason::Malformed),
            }
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
