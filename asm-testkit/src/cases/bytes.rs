//! What records are made of: formats, codecs, seals.
