//! Sessions over the memory driver, with time moved by hand.

mod budget;
mod bytes;
mod ids;
mod life;
mod locks;
mod merging;
mod modes;
mod others;
mod rules;
mod sweeping;
mod trouble;
mod world;
