//! Tests of the engine with fake plugins, stores and a clock that is set by hand.

mod calls;
mod fake;
mod files;
mod logs;
mod quarantine;
mod reload;
mod valves;
