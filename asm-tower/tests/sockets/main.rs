//! Over real sockets, on each driver: a race for one session, and clients that hang up.

mod hang_up;
mod race;
mod site;
