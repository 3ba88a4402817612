//! Records: what is stored, and who may write it.
