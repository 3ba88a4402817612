//! What the application is told, and can never change.
