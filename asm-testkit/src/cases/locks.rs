//! Locks: who holds, who waits, and how each ends.
