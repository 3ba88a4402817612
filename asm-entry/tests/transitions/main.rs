//! Every transition of an entry, by itself: no store, no waiting.

mod fields;
mod given;
mod lock;
mod parts;
mod record;
mod subjects;
