//! How long sessions live, and what extends that.
