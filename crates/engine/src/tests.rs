//! Tests of the engine with fake plugins, stores and a clock that is set by hand.

mod calls;
mod clock;
mod compositions;
mod delivery;
mod dependencies;
mod exchange;
mod fake;
mod files;
mod hooks;
mod jumps;
mod kept;
mod lifecycle;
mod logs;
mod quarantine;
mod reload;
mod run_plugins;
mod runs;
mod schedules;
mod silver;
mod stages;
mod supervision;
mod turmoil;
mod unload;
mod valves;
