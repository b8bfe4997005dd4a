//! End-to-end tests in one binary: the real server, real guests, over real sockets.

#[path = "e2e/api.rs"]
mod api;
#[path = "e2e/bad_input.rs"]
mod bad_input;
#[path = "e2e/bad_sinks.rs"]
mod bad_sinks;
#[path = "e2e/bad_upstream.rs"]
mod bad_upstream;
#[path = "e2e/boot.rs"]
mod boot;
#[path = "e2e/command_line.rs"]
mod command_line;
#[path = "e2e/compat.rs"]
mod compat;
#[path = "e2e/corpus.rs"]
mod corpus;
#[path = "e2e/crashes.rs"]
mod crashes;
#[path = "e2e/csv_to_postgres.rs"]
mod csv_to_postgres;
#[path = "e2e/dead_letters.rs"]
mod dead_letters;
#[path = "e2e/dependencies.rs"]
mod dependencies;
#[path = "e2e/dependencies_unload.rs"]
mod dependencies_unload;
#[path = "e2e/durable.rs"]
mod durable;
#[path = "e2e/egress.rs"]
mod egress;
#[path = "e2e/events.rs"]
mod events;
#[path = "e2e/faults.rs"]
mod faults;
#[path = "e2e/grants.rs"]
mod grants;
#[path = "e2e/guide.rs"]
mod guide;
#[path = "e2e/hook_misdeeds.rs"]
mod hook_misdeeds;
#[path = "e2e/hooks.rs"]
mod hooks;
#[path = "e2e/hostile.rs"]
mod hostile;
#[path = "e2e/hostile_lifecycle.rs"]
mod hostile_lifecycle;
#[path = "e2e/hostile_load.rs"]
mod hostile_load;
#[path = "e2e/hostile_neighbour.rs"]
mod hostile_neighbour;
#[path = "e2e/hostile_system.rs"]
mod hostile_system;
#[path = "e2e/install.rs"]
mod install;
#[path = "e2e/interrupts.rs"]
mod interrupts;
#[path = "e2e/kit.rs"]
mod kit;
#[path = "e2e/languages.rs"]
mod languages;
#[path = "e2e/life.rs"]
mod life;
#[path = "e2e/live.rs"]
mod live;
#[path = "e2e/pauses.rs"]
mod pauses;
#[path = "e2e/peers.rs"]
mod peers;
#[path = "e2e/pipeline_hooks.rs"]
mod pipeline_hooks;
#[path = "e2e/pipeline_traces.rs"]
mod pipeline_traces;
#[path = "e2e/pipelines.rs"]
mod pipelines;
#[path = "e2e/pipelines_remote.rs"]
mod pipelines_remote;
#[path = "e2e/reload.rs"]
mod reload;
#[path = "e2e/remote.rs"]
mod remote;
#[path = "e2e/replay.rs"]
mod replay;
#[path = "e2e/run.rs"]
mod run;
#[path = "e2e/silver.rs"]
mod silver;
#[path = "e2e/soak.rs"]
mod soak;
#[path = "e2e/structure.rs"]
mod structure;
#[path = "e2e/supervision.rs"]
mod supervision;
#[path = "e2e/two_servers.rs"]
mod two_servers;
#[path = "e2e/valves.rs"]
mod valves;
#[path = "e2e/watch.rs"]
mod watch;
#[path = "e2e/webhooks.rs"]
mod webhooks;
