//! Keys as they come from outside: where from, and which are refused.

use std::{
    env,
    fmt::{self, Debug, Display},
    fs::File,
    io::{self, Read},
    path::Path,
};

use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding};
use thiserror::Error;
use zeroize::Zeroizing;

/// A key as it comes from outside: at least [`SecretKey::MIN`] bytes that nobody can guess.
///
/// Nothing is sealed with it directly; a [`KeyRing`](crate::KeyRing) derives a key for each purpose
/// from it. It is wiped when it is dropped, and its `Debug` shows nothing.
///
/// ```
/// use asm_crypt::{KeyError, SecretKey};
///
/// // What `openssl rand -base64 32` prints.
/// let key = SecretKey::from_base64("3q2+7wABAgMEBQYHCAmKi4yNjo+QkZKTlJWWl5iZmps=")?;
/// assert_eq!(format!("{key:?}"), "SecretKey(..)");
///
/// let short = SecretKey::from_bytes(&[0xa7; 31]);
/// assert!(matches!(short, Err(KeyError::TooShort { len: 31 })));
/// let password = SecretKey::from_bytes(b"correct horse battery staple, twice over");
/// assert!(matches!(password, Err(KeyError::Weak(_))));
/// # Ok::<(), KeyError>(())
/// ```
pub struct SecretKey(Zeroizing<Vec<u8>>);

impl SecretKey {
    /// The fewest bytes of a key.
    pub const MIN: usize = 32;

    /// The most bytes of a key.
    pub const MAX: usize = 1024;

    /// A key of these bytes. They stay where the caller has them, to be wiped there.
    ///
    /// # Errors
    /// `TooShort`, `TooLong`; `Weak` for bytes that no source of randomness gives: text, few
    /// different ones, a sequence.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.len() {
            len if len < Self::MIN => Err(KeyError::TooShort { len }),
            len if len > Self::MAX => Err(KeyError::TooLong { len }),
            _ => match weakness(bytes) {
                Some(why) => Err(KeyError::Weak(why)),
                None => Ok(Self(Zeroizing::new(bytes.to_vec()))),
            },
        }
    }

    /// Reads base64 of the standard or the URL-safe alphabet, padded or not. White space around it
    /// does not count.
    ///
    /// # Errors
    /// `NotBase64`; as [`from_bytes`](Self::from_bytes).
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let bytes = Base64::decode_vec(text)
            .or_else(|_| Base64Url::decode_vec(text))
            .or_else(|_| Base64Unpadded::decode_vec(text))
            .or_else(|_| Base64UrlUnpadded::decode_vec(text));
        let bytes = Zeroizing::new(bytes.map_err(|_| KeyError::NotBase64)?);
        Self::from_bytes(&bytes)
    }

    /// Reads base64 from a file.
    ///
    /// # Errors
    /// `File` when it cannot be read; `Exposed` when others may read or change it; `TooLong`; as
    /// [`from_base64`](Self::from_base64).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        Self::from_base64(&secret_file(path.as_ref())?)
    }

    /// Reads base64 from a variable of the environment.
    ///
    /// # Errors
    /// `NoVariable`; as [`from_base64`](Self::from_base64).
    pub fn from_env(variable: &str) -> Result<Self, KeyError> {
        Self::from_base64(&secret_variable(variable)?)
    }

    /// A new key of 32 bytes from the operating system.
    ///
    /// # Errors
    /// `Randomness` when there is none to be had.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; Self::MIN]);
        getrandom::fill(&mut *bytes).map_err(|_| KeyError::Randomness)?;
        Self::from_bytes(&*bytes)
    }

    /// The text that [`from_base64`](Self::from_base64) reads, wiped when it is dropped: to be put
    /// where keys are kept, and nowhere else.
    #[must_use]
    pub fn expose_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64::encode_string(&self.0))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// What a key is called in what was sealed with it. It is no secret, and never given to another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

impl KeyId {
    /// Bytes of its stored form.
    pub(crate) const LEN: usize = 4;

    /// The key of this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    pub(crate) const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0.to_be_bytes()
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }
}

impl Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

/// Why there is no key, or no ring of these keys. Shows nothing of a key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It has fewer than [`SecretKey::MIN`] bytes.
    #[error("a key of {len} bytes is too short: it takes 32")]
    TooShort {
        /// How many it has.
        len: usize,
    },
    /// It has more than [`SecretKey::MAX`] bytes, or its file more than any ring needs.
    #[error("{len} bytes are too many")]
    TooLong {
        /// How many there are at least.
        len: usize,
    },
    /// No source of randomness gives such bytes. The text says why.
    #[error("the key is weak: {0}")]
    Weak(&'static str),
    /// It is no base64.
    #[error("the key is not base64")]
    NotBase64,
    /// The variable is not set, or is no Unicode.
    #[error("there is no such variable in the environment")]
    NoVariable,
    /// The file cannot be read.
    #[error("the file of the key cannot be read")]
    File(#[source] io::Error),
    /// The file may be read by anybody, or changed by others than its owner.
    #[error("the file of the key is open to others: take their permissions away")]
    Exposed,
    /// There is no randomness to be had.
    #[error("the operating system gave no randomness")]
    Randomness,
    /// Two keys of a ring have one id.
    #[error("two keys have the id {0}")]
    SameId(KeyId),
    /// A ring has one key under two ids.
    #[error("the keys {0} and {1} are the same")]
    SameKey(KeyId, KeyId),
    /// A ring without a key.
    #[error("there is no key")]
    NoKey,
    /// An entry of a ring's text is not `ID BASE64` or `ID BASE64 until YYYY-MM-DD`, or sets an end
    /// to the key that writes.
    #[error("the entry {entry} of the ring: {why}")]
    Entry {
        /// Which one, from 1.
        entry: usize,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The text of a file, if it is only its owner's and not longer than any ring needs.
pub(crate) fn secret_file(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let file = File::open(path).map_err(KeyError::File)?;
    check_owner(&file)?;
    // Room for all of it: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(LONGEST_FILE + 1));
    let most = LONGEST_FILE as u64 + 1;
    file.take(most)
        .read_to_string(&mut text)
        .map_err(KeyError::File)?;
    match text.len() {
        len if len > LONGEST_FILE => Err(KeyError::TooLong { len }),
        _ => Ok(text),
    }
}

pub(crate) fn secret_variable(variable: &str) -> Result<Zeroizing<String>, KeyError> {
    let text = env::var(variable).map_err(|_| KeyError::NoVariable)?;
    Ok(Zeroizing::new(text))
}

/// Bytes of the longest file that is read.
const LONGEST_FILE: usize = 64 << 10;

#[cfg(unix)]
fn check_owner(file: &File) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;

    /// To be read by its owner and group, and changed by its owner.
    const OTHERS: u32 = 0o027;
    let mode = file.metadata().map_err(KeyError::File)?.permissions();
    match mode.mode() & OTHERS {
        0 => Ok(()),
        _ => Err(KeyError::Exposed),
    }
}

#[cfg(not(unix))]
fn check_owner(_: &File) -> Result<(), KeyError> {
    Ok(())
}

/// Why nobody drew these bytes at random. Of 2^45 random keys of 32 bytes one is refused.
fn weakness(bytes: &[u8]) -> Option<&'static str> {
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    let different = seen.iter().filter(|seen| **seen).count();
    let step = bytes[1].wrapping_sub(bytes[0]);
    let counts = |pair: &[u8]| pair[1].wrapping_sub(pair[0]) == step;
    if bytes
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    {
        Some("it is text; a key is random bytes, or their base64")
    } else if different < 16 {
        Some("it has few different bytes")
    } else if bytes.windows(2).all(counts) {
        Some("it is a sequence")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[test]
    fn a_generated_key_reads_back() {
        for _ in 0..1000 {
            let key = SecretKey::generate().unwrap();
            let text = key.expose_base64();
            let read = SecretKey::from_base64(&text).unwrap();
            assert!(read.bytes() == key.bytes());
        }
    }

    #[test]
    fn every_spelling_of_base64_is_read() {
        let bytes: Vec<u8> = (0..32).map(|n| 255 - 7 * n).collect();
        for text in [
            Base64::encode_string(&bytes),
            Base64Unpadded::encode_string(&bytes),
            Base64Url::encode_string(&bytes),
            Base64UrlUnpadded::encode_string(&bytes),
            format!("\n  {}\r\n", Base64::encode_string(&bytes)),
        ] {
            // A sequence, so it is refused: but it was read.
            let refused = SecretKey::from_base64(&text);
            assert!(matches!(refused, Err(KeyError::Weak(_))), "{text}");
        }
        for text in ["", "%", "AAAA AAAA", "=AAA", "ab\0c"] {
            let refused = SecretKey::from_base64(text);
            let short = matches!(refused, Err(KeyError::TooShort { .. }));
            assert!(short == text.is_empty(), "{text:?}: {refused:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_reason() {
        let random: Vec<u8> = (0_u32..2000).map(|n| (n * n * 31 + n * 7) as u8).collect();
        assert!(matches!(
            SecretKey::from_bytes(&random[..31]),
            Err(KeyError::TooShort { len: 31 })
        ));
        assert!(SecretKey::from_bytes(&random[..SecretKey::MAX]).is_ok());
        assert!(matches!(
            SecretKey::from_bytes(&random[..=SecretKey::MAX]),
            Err(KeyError::TooLong { len: 1025 })
        ));
        let sequence: Vec<u8> = (0..64).collect();
        for weak in [
            &[0; 32][..],
            &[0xff; 64],
            &sequence,
            b"0123456789abcdef0123456789abcdef",
            b"a sentence that has many letters and more",
            &[
                random[..15].to_vec(),
                random[..15].to_vec(),
                vec![random[0]; 4],
            ]
            .concat(),
        ] {
            assert!(matches!(
                SecretKey::from_bytes(weak),
                Err(KeyError::Weak(_))
            ));
        }
    }

    #[test]
    fn a_key_is_read_from_a_file_of_its_owner() {
        let key = SecretKey::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let mut file = File::create(&path).unwrap();
        writeln!(file, "{}", &*key.expose_base64()).unwrap();
        drop(file);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            for (mode, open) in [(0o600, false), (0o440, false), (0o644, true), (0o620, true)] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                let read = SecretKey::from_file(&path);
                assert_eq!(matches!(read, Err(KeyError::Exposed)), open, "{mode:o}");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert!(SecretKey::from_file(&path).unwrap().bytes() == key.bytes());
        fs::write(&path, "A".repeat(LONGEST_FILE + 1)).unwrap();
        assert!(matches!(
            SecretKey::from_file(&path),
            Err(KeyError::TooLong { .. })
        ));
        let nowhere = SecretKey::from_file(directory.path().join("nowhere"));
        assert!(matches!(nowhere, Err(KeyError::File(_))));
    }

    #[test]
    fn a_variable_that_is_not_set_is_no_key() {
        let read = SecretKey::from_env("ASM_CRYPT_NOBODY_SETS_THIS");
        assert!(matches!(read, Err(KeyError::NoVariable)));
    }
}
