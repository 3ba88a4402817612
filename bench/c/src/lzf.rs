//! liblzf.

use std::ffi::c_uint;

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
