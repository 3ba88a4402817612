//! One conformance suite for every session driver, and the tools to test with.
