//! How long a session lives.
