//! What the application decides about a request, within a deadline.
