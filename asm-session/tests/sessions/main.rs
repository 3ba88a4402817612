//! Sessions over the memory driver, with time moved by hand.

mod modes;
mod world;
