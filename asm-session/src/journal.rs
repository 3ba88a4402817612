//! Changes over the loaded base, what was read, and how they meet a newer version.
