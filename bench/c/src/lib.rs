//! Two C libraries as yardsticks: liblzf and zlib.
//!
//! C cannot be called without unsafe code, and there are no safe crates around these two that are
//! still sound or would not put another library in their place. So this one is: for the bench alone,
//! and the only place of the repository where there is any.

pub mod lzf;
pub mod zlib;
