//! K1 and K2: records are sealed and opened, against the cipher alone.

use std::{error::Error, hint::black_box};

use aes_gcm::Aes256Gcm;
use asm_bench::{Options, Report};
use asm_core::{Codec, CodecContext, Encoded, Key, Part};
use asm_crypt::{KeyId, KeyRing, Seal, SecretKey};
use bytes::Bytes;
use chacha20poly1305::{
    XChaCha20Poly1305,
    aead::{AeadInOut, KeyInit, Nonce, Tag},
};

use crate::{compare, work};

const SIZES: [usize; 3] = [1 << 10, 2 << 10, 8 << 10];

pub(crate) fn rows(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let ring = KeyRing::new(KeyId::new(1), &SecretKey::generate()?);
    if options.wants("K1") {
        let seal = Seal::xchacha(ring.clone());
        let name = "XChaCha20-Poly1305";
        both::<XChaCha20Poly1305>(options, report, "K1", name, &seal);
    }
    if options.wants("K2") {
        let seal = Seal::aes_gcm(ring);
        both::<Aes256Gcm>(options, report, "K2", "AES-256-GCM", &seal);
    }
    Ok(())
}

/// Writing and reading, of each size.
fn both<C: AeadInOut + KeyInit>(
    options: &Options,
    report: &mut Report,
    id: &str,
    name: &str,
    seal: &Seal,
) {
    let alone = format!("{name} alone");
    let bare = Bare(C::new_from_slice(&[7; 32]).expect("a key"));
    for size in SIZES {
        let plain = Bytes::from(vec![b'x'; size]);
        let (ours, theirs) = (sealed(seal, &plain), bare.sealed(&plain));
        // Both read what they wrote before they are measured.
        assert_eq!(opened(seal, &ours), plain);
        assert_eq!(bare.opened(&theirs), plain);

        let kib = size >> 10;
        compare(
            options,
            report,
            id,
            &format!("a record of {kib} KiB is sealed"),
            work(|| sealed(seal, black_box(&plain))),
            vec![(&alone, work(|| bare.sealed(black_box(&plain))))],
        );
        compare(
            options,
            report,
            id,
            &format!("a sealed record of {kib} KiB is opened"),
            work(|| opened(seal, black_box(&ours))),
            vec![(&alone, work(|| bare.opened(black_box(&theirs))))],
        );
    }
}

fn sealed(seal: &Seal, plain: &Bytes) -> Bytes {
    match seal.encode(plain.clone(), &context(plain.len())) {
        Ok(Encoded::Coded(coded)) => coded,
        other => panic!("it is sealed, and the answer was {other:?}"),
    }
}

fn opened(seal: &Seal, sealed: &Bytes) -> Bytes {
    let opened = seal.decode(sealed.clone(), &context(sealed.len()));
    opened.expect("what was sealed")
}

fn context(limit: usize) -> CodecContext<'static> {
    const KEY: Key = Key::from_bytes([7; 16]);
    CodecContext {
        key: &KEY,
        part: Part::Body,
        associated: b"",
        client_half: None,
        limit,
    }
}

/// One key for all, and nothing but nonce, content and tag.
struct Bare<C>(C);

impl<C: AeadInOut> Bare<C> {
    fn sealed(&self, plain: &[u8]) -> Vec<u8> {
        let mut nonce = Nonce::<C>::default();
        getrandom::fill(&mut nonce).expect("randomness");
        let start = nonce.len();
        let mut out = Vec::with_capacity(start + plain.len() + size_of::<Tag<C>>());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let tag = self
            .0
            .encrypt_inout_detached(&nonce, b"", out[start..].as_mut().into())
            .expect("a short content");
        out.extend_from_slice(&tag);
        out
    }

    fn opened(&self, sealed: &[u8]) -> Vec<u8> {
        let (nonce, rest) = sealed.split_at(size_of::<Nonce<C>>());
        let (content, tag) = rest.split_at(rest.len() - size_of::<Tag<C>>());
        let mut plain = content.to_vec();
        let opened = self.0.decrypt_inout_detached(
            nonce.try_into().expect("a nonce"),
            b"",
            plain.as_mut_slice().into(),
            tag.try_into().expect("a tag"),
        );
        opened.expect("what was sealed");
        plain
    }
}
