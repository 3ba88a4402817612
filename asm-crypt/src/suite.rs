//! The ciphers.

use aes_gcm::Aes256Gcm;
use chacha20poly1305::{
    AeadInOut, KeyInit, XChaCha20Poly1305,
    aead::{Nonce, Tag},
};

use crate::ring::Derived;

/// A cipher with authentication, and what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Suite {
    /// XChaCha20-Poly1305 of draft-irtf-cfrg-xchacha-03.
    XChaCha,
    /// AES-256-GCM of NIST SP 800-38D.
    AesGcm,
}

impl Suite {
    /// Bytes of a tag, of both.
    pub(crate) const TAG: usize = 16;

    /// Bytes of the longest nonce.
    pub(crate) const LONGEST_NONCE: usize = 24;

    /// Bytes of a nonce.
    pub(crate) const fn nonce_len(self) -> usize {
        match self {
            Self::XChaCha => 24,
            Self::AesGcm => 12,
        }
    }

    /// What keys are derived for.
    pub(crate) const fn label(self) -> &'static [u8] {
        match self {
            Self::XChaCha => b"xchacha20-poly1305",
            Self::AesGcm => b"aes-256-gcm",
        }
    }

    /// Encrypts in place, and answers the tag. `None` when there is too much for the cipher.
    pub(crate) fn seal(
        self,
        key: &Derived,
        nonce: &[u8],
        associated: &[u8],
        content: &mut [u8],
    ) -> Option<[u8; Self::TAG]> {
        match self {
            Self::XChaCha => seal::<XChaCha20Poly1305>(key, nonce, associated, content),
            Self::AesGcm => seal::<Aes256Gcm>(key, nonce, associated, content),
        }
    }

    /// Decrypts in place, if the tag fits.
    #[must_use]
    pub(crate) fn open(
        self,
        key: &Derived,
        nonce: &[u8],
        associated: &[u8],
        content: &mut [u8],
        tag: &[u8],
    ) -> bool {
        match self {
            Self::XChaCha => open::<XChaCha20Poly1305>(key, nonce, associated, content, tag),
            Self::AesGcm => open::<Aes256Gcm>(key, nonce, associated, content, tag),
        }
        .is_some()
    }
}

fn seal<C: AeadInOut + KeyInit>(
    key: &Derived,
    nonce: &[u8],
    associated: &[u8],
    content: &mut [u8],
) -> Option<[u8; Suite::TAG]> {
    let cipher = C::new_from_slice(&key.0).ok()?;
    let nonce = <&Nonce<C>>::try_from(nonce).ok()?;
    let tag = cipher.encrypt_inout_detached(nonce, associated, content.into());
    tag.ok()?.as_slice().try_into().ok()
}

fn open<C: AeadInOut + KeyInit>(
    key: &Derived,
    nonce: &[u8],
    associated: &[u8],
    content: &mut [u8],
    tag: &[u8],
) -> Option<()> {
    let cipher = C::new_from_slice(&key.0).ok()?;
    let nonce = <&Nonce<C>>::try_from(nonce).ok()?;
    let tag = <&Tag<C>>::try_from(tag).ok()?;
    let opened = cipher.decrypt_inout_detached(nonce, associated, content.into(), tag);
    opened.ok()
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::ChaCha20Poly1305;

    use super::*;

    struct Vector {
        key: &'static str,
        nonce: &'static str,
        associated: &'static str,
        plain: &'static str,
        sealed: &'static str,
        tag: &'static str,
    }

    /// The text of RFC 8439 and of draft-irtf-cfrg-xchacha.
    const SUNSCREEN: &str = "4c616469657320616e642047656e746c656d656e206f662074686520636c6173\
        73206f66202739393a204966204920636f756c64206f6666657220796f75206f6e6c79206f6e652074697020\
        666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069742e";

    const KEY: &str = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";

    /// RFC 8439, section 2.8.2.
    const RFC_8439: Vector = Vector {
        key: KEY,
        nonce: "070000004041424344454647",
        associated: "50515253c0c1c2c3c4c5c6c7",
        plain: SUNSCREEN,
        sealed: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca96712\
            82fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab3\
            24e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116",
        tag: "1ae10b594f09e26a7e902ecbd0600691",
    };

    /// draft-irtf-cfrg-xchacha-03, section A.3.1.
    const XCHACHA: Vector = Vector {
        key: KEY,
        nonce: "404142434445464748494a4b4c4d4e4f5051525354555657",
        associated: "50515253c0c1c2c3c4c5c6c7",
        plain: SUNSCREEN,
        sealed: "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa644\
            0bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3f\
            ac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e",
        tag: "c0875924c1c7987947deafd8780acf49",
    };

    /// Test cases 13, 14 and 16 of the specification of GCM that NIST SP 800-38D is made from.
    const GCM: [Vector; 3] = [
        Vector {
            key: "0000000000000000000000000000000000000000000000000000000000000000",
            nonce: "000000000000000000000000",
            associated: "",
            plain: "",
            sealed: "",
            tag: "530f8afbc74536b9a963b4f1c4cb738b",
        },
        Vector {
            key: "0000000000000000000000000000000000000000000000000000000000000000",
            nonce: "000000000000000000000000",
            associated: "",
            plain: "00000000000000000000000000000000",
            sealed: "cea7403d4d606b6e074ec5d3baf39d18",
            tag: "d0d1c8a799996bf0265b98b5d48ab919",
        },
        Vector {
            key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            nonce: "cafebabefacedbaddecaf888",
            associated: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            plain: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809\
                532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb\
                3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            tag: "76fc6ece0f4e1768cddf8853bb2d551b",
        },
    ];

    impl Vector {
        fn holds_for<C: AeadInOut + KeyInit>(&self) {
            let key = Derived(hex(self.key).try_into().unwrap());
            let [nonce, associated] = [self.nonce, self.associated].map(hex);
            let mut content = hex(self.plain);
            let tag = seal::<C>(&key, &nonce, &associated, &mut content).unwrap();
            assert_eq!(content, hex(self.sealed));
            assert_eq!(tag.to_vec(), hex(self.tag));
            open::<C>(&key, &nonce, &associated, &mut content, &tag).unwrap();
            assert_eq!(content, hex(self.plain));
        }
    }

    #[test]
    fn the_published_vectors_hold() {
        RFC_8439.holds_for::<ChaCha20Poly1305>();
        XCHACHA.holds_for::<XChaCha20Poly1305>();
        for vector in GCM {
            vector.holds_for::<Aes256Gcm>();
        }
    }

    #[test]
    fn a_nonce_or_tag_of_another_length_is_refused() {
        let key = Derived([7; 32]);
        for suite in [Suite::XChaCha, Suite::AesGcm] {
            let nonce = vec![0; suite.nonce_len()];
            let mut content = *b"content";
            let tag = suite.seal(&key, &nonce, b"", &mut content).unwrap();
            assert!(suite.seal(&key, &nonce[1..], b"", &mut content).is_none());
            for cut in 0..16 {
                assert!(!suite.open(&key, &nonce, b"", &mut content, &tag[cut + 1..]));
                assert!(!suite.open(&key, &nonce, b"", &mut content, &tag[..cut]));
            }
            assert!(suite.open(&key, &nonce, b"", &mut content, &tag));
            assert_eq!(&content, b"content");
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
        pairs
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect()
    }
}
