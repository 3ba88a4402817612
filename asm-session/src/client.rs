//! Who sends the request, as far as it can be told.
