//! Sessions over the memory driver, with time moved by hand.

mod merging;
mod modes;
mod world;
