//! Shows and runs Advanced Session Management.
fn main() {}
