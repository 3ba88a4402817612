//! The suite of every codec.

use std::num::NonZeroU16;

use asm_crypt::{KeySource, Padding, Seal};
use asm_testkit::{codec_conformance, codecs::Vector};

use crate::given::ring;

fn peak(run: &mut dyn FnMut()) -> u64 {
    allocation_counter::measure(run).bytes_max
}

fn blocks() -> Padding {
    Padding::Blocks(NonZeroU16::new(512).expect("not zero"))
}

mod xchacha {
    use super::*;

    codec_conformance! {
        seal: || Seal::xchacha(ring(1)),
        stranger: || Seal::xchacha(ring(2)),
        peak: peak,
        vectors: [Vector::hex("card 4111", X1)],
        settings: { overhead: 45 },
    }
}

mod aes_gcm {
    use super::*;

    codec_conformance! {
        seal: || Seal::aes_gcm(ring(1)),
        stranger: || Seal::aes_gcm(ring(2)),
        peak: peak,
        vectors: [Vector::hex("card 4111", G1)],
        settings: { overhead: 33 },
    }
}

mod split_and_padded {
    use super::*;

    codec_conformance! {
        seal: || Seal::xchacha(ring(1)).key_source(KeySource::Split).padding(blocks()),
        stranger: || Seal::xchacha(ring(2)).key_source(KeySource::Split),
        peak: peak,
        vectors: [Vector::hex("card 4111", X2)],
        half: [7; 32],
        settings: { overhead: 45 + 512 },
    }
}

// Made by another implementation, of the description in `Seal` and the published ciphers.
const X1: &str = "00000000010b30557a9fc4e90e33587da2c7ec11365b80a5caef14395ea08b51b29aa2ac43acd44b\
    a0f543d60c29108e08bf0616104a";
const G1: &str = "00000000010b30557a9fc4e90e33587da2fed4a2659e06db13bb5fc0d7a82be27fe67e254da082b1\
    23e8";
const X2: &str = "01000000010b30557a9fc4e90e33587da2c7ec11365b80a5caef14395e9d70bdb067b7a2b93460f6\
    66704e346cddd1ebb138506e428435aeb82ffc35eade7b6afd4f6d569034e67262b093b5aca2fb60\
    8945e2391f35e8924249f6eb35ea97dbd0f001d97cf78dc856524b0d209dd72cc5106ae8bd6fcb5a\
    f25ee571aba3e20f568dfcab14046b4dcfd786b1d3f7d9f51863947ee1125048c2762d38b5398cf8\
    422a1ce15a903924d4818c4fdeca846ad24a64eb441fde13e43bffb5675321bf383af7d59bdb2913\
    1d1b21e910a0d58edb4e4abd6a7794379da39ff34639e9f3a50227ffa86834b386389b9648b45619\
    44e6e921ce35baf84f8414a66c038ce786eaf0d79b4acac268969fc6831055d07b8643ef419208a8\
    7037a156bbb9a61f2b6ae9e847ae3d9f1a45221944708081d7d76bd628c5082c216b0c9be5b99349\
    4e9f6e2e25d34b7450d1440347b148c690af0113664ec8dcc82c651dc7411501daf7b4d892123b97\
    22e85bc1e988ad1e7d8b91a0381a0f8e1c999f61647ad8d5e2241cf95d5547d9c6e55aad2084d534\
    744eae573b3fb9417c0ff423428aa1b9d7ecc2fac1d0fbc4d08b96f23854df2f8a310ea9b951b405\
    ace625ed2ecd3c4dacb1ac1fdbd8048f1f2ebf2aee509cdaf29c25a5d7190f7fa0b3dc145c62937f\
    74b4826b66f5fcee8226cc44ec7860d5b475a34353c83eb17ac36081fa01612faaecfbe6593dee8b\
    b73b6d4035ada33d9a13926f0f74d1d4ca501c1b099a41d814bb736c9bd14a3e3f362c4381";
