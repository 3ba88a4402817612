//! liblzf.

use std::ffi::c_uint;

/// Whether it clears its table of 256 KiB at each call. Its last release, 3.6, does not; the sources of
/// `lzf-sys` are newer, and do unless they are told otherwise, as `bench/.cargo/config.toml` tells them.
#[must_use]
pub fn clears_its_table() -> bool {
    let flags = option_env!("CFLAGS").unwrap_or_default();
    !flags.split(' ').any(|flag| flag == "-DINIT_HTAB=0")
}

/// Compresses into the room, if there is enough; answers how much is used, 0 when there is not.
pub fn compress(plain: &[u8], room: &mut [u8]) -> usize {
    // SAFETY: both are valid for as many bytes as is said, and the library keeps within them.
    let used = unsafe {
        lzf_sys::lzf_compress(
            plain.as_ptr().cast(),
            plain.len() as c_uint,
            room.as_mut_ptr().cast(),
            room.len() as c_uint,
        )
    };
    used as usize
}

/// Decompresses into the room; answers how much is used, 0 for what does not decode.
pub fn decompress(coded: &[u8], room: &mut [u8]) -> usize {
    // SAFETY: as above.
    let used = unsafe {
        lzf_sys::lzf_decompress(
            coded.as_ptr().cast(),
            coded.len() as c_uint,
            room.as_mut_ptr().cast(),
            room.len() as c_uint,
        )
    };
    used as usize
}
