//! Session ids: a handle that is no secret, and a secret that is never stored.
