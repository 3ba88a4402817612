//! The save loop: from a journal to an acknowledged version.
