//! Each codec over each driver, through sessions.

mod given;
mod matrix;
mod moved;
mod places;
mod shown;
