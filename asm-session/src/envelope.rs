//! The bytes of a record: format, codecs, envelope.
