//! Sessions over the memory driver, with time moved by hand.

mod ids;
mod life;
mod locks;
mod merging;
mod modes;
mod world;
