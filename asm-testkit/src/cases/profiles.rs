//! Clients that change, and what the application decides about them.
