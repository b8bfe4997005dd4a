//! Tests of the engine with fake plugins.
