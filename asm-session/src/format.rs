//! How one value becomes bytes.
