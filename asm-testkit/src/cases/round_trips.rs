//! How often the store is asked.
