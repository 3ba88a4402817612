//! zlib.

use std::{
    ffi::{CStr, c_int, c_uint},
    mem::MaybeUninit,
};

use libz_sys::{
    Z_DEFAULT_STRATEGY, Z_DEFLATED, Z_FINISH, Z_OK, Z_STREAM_END, deflate, deflateEnd,
    deflateInit2_, deflateReset, inflate, inflateEnd, inflateInit2_, inflateReset, z_stream,
    zlibVersion,
};

/// Which zlib it is.
#[must_use]
pub fn version() -> String {
    // SAFETY: it answers a text that is never changed.
    let version = unsafe { CStr::from_ptr(zlibVersion()) };
    version.to_string_lossy().into_owned()
}

/// What is around the deflated bytes. Its number tells zlib, together with the size of the window.
#[derive(Clone, Copy)]
pub enum Around {
    /// Nothing (RFC 1951).
    Nothing = -15,
    /// Header, checksum and length of gzip (RFC 1952).
    Gzip = 15 + 16,
}

/// What zlib itself takes.
const MEMORY: c_int = 8;

/// Never made a Rust value of: zlib accepts no allocator, and a Rust value would have to have one.
/// It is boxed because zlib keeps its address.
type Stream = Box<MaybeUninit<z_stream>>;

/// A state that deflates, to be used again and again.
pub struct Deflate(Stream);

impl Deflate {
    /// One of this level, from 1 to 9.
    pub fn new(level: i32, around: Around) -> Self {
        let mut stream = Box::new(MaybeUninit::zeroed());
        // SAFETY: zeros are what zlib wants, and the version and size are those of its header.
        let code = unsafe {
            deflateInit2_(
                stream.as_mut_ptr(),
                level,
                Z_DEFLATED,
                around as c_int,
                MEMORY,
                Z_DEFAULT_STRATEGY,
                zlibVersion(),
                size_of::<z_stream>() as c_int,
            )
        };
        assert_eq!(code, Z_OK);
        Self(stream)
    }

    /// Deflates into the room; answers how much of that is used.
    pub fn run(&mut self, plain: &[u8], room: &mut [u8]) -> usize {
        let stream = self.0.as_mut_ptr();
        // SAFETY: it was made by `new`; both slices are valid for as long as zlib looks at them.
        let code = unsafe {
            deflateReset(stream);
            point(stream, plain, room);
            deflate(stream, Z_FINISH)
        };
        assert_eq!(code, Z_STREAM_END);
        left(&self.0, room.len())
    }
}

impl Drop for Deflate {
    fn drop(&mut self) {
        // SAFETY: it was made by `new`.
        unsafe { deflateEnd(self.0.as_mut_ptr()) };
    }
}

/// A state that inflates, to be used again and again.
pub struct Inflate(Stream);

impl Inflate {
    /// One for this.
    pub fn new(around: Around) -> Self {
        let mut stream = Box::new(MaybeUninit::zeroed());
        // SAFETY: as for deflate.
        let code = unsafe {
            inflateInit2_(
                stream.as_mut_ptr(),
                around as c_int,
                zlibVersion(),
                size_of::<z_stream>() as c_int,
            )
        };
        assert_eq!(code, Z_OK);
        Self(stream)
    }

    /// Inflates into the room; answers how much of that is used.
    pub fn run(&mut self, coded: &[u8], room: &mut [u8]) -> usize {
        let stream = self.0.as_mut_ptr();
        // SAFETY: as for deflate.
        let code = unsafe {
            inflateReset(stream);
            point(stream, coded, room);
            inflate(stream, Z_FINISH)
        };
        assert_eq!(code, Z_STREAM_END);
        left(&self.0, room.len())
    }
}

impl Drop for Inflate {
    fn drop(&mut self) {
        // SAFETY: it was made by `new`.
        unsafe { inflateEnd(self.0.as_mut_ptr()) };
    }
}

/// # Safety
/// The stream is valid.
unsafe fn point(stream: *mut z_stream, from: &[u8], room: &mut [u8]) {
    // SAFETY: the caller's.
    unsafe {
        (*stream).next_in = from.as_ptr().cast_mut();
        (*stream).avail_in = from.len() as c_uint;
        (*stream).next_out = room.as_mut_ptr();
        (*stream).avail_out = room.len() as c_uint;
    }
}

fn left(stream: &Stream, room: usize) -> usize {
    // SAFETY: the field was written by `point` and by zlib.
    room - unsafe { (*stream.as_ptr()).avail_out } as usize
}
