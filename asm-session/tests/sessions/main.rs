//! Sessions over the memory driver, with time moved by hand.

mod ids;
mod merging;
mod modes;
mod world;
