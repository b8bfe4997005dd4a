//! `weir invoke`: one call of one plugin, as a host would make it, with what it used beside what it may use.

mod call;
mod stage;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use model::grants::Capability;
use model::limits::Limit;
use model::plugin::Usage;
use model::settings::PluginSettings;

use crate::cli::InvokeArgs;
use crate::wiring::Host;
use crate::{Failure, check, complain, logs};

/// How long what a call has set off may take.
const SETTLE: Duration = Duration::from_secs(10);
/// How often to look whether it is done.
const LOOK: Duration = Duration::from_millis(1);

/// What `invoke` calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CallArg {
    /// Answers a chat
    Pipe,
    /// Changes a request
    Inlet,
    /// Changes an answer
    Outlet,
    /// Lists the models of a manifold
    Models,
    /// Takes a step at a hook point, with the plugin's hooks around it
    Hook,
    /// Answers another plugin
    Peer,
    /// Hears an event
    Event,
}

/// What calls other than chats are made with.
#[derive(Debug, clap::Args)]
pub(crate) struct OtherCalls {
    /// Of `hook`: the point
    #[arg(long, value_name = "POINT")]
    pub(crate) point: Option<String>,
    /// Of `hook`: the context, JSON
    #[arg(long, value_name = "JSON")]
    pub(crate) context: Option<String>,
    /// Of `hook`: what the step at the point answers, JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) result: String,
    /// Of `peer`: the method
    #[arg(long)]
    pub(crate) method: Option<String>,
    /// Of `event`: the topic
    #[arg(long)]
    pub(crate) topic: Option<String>,
    /// Of `peer` and `event`: the payload, JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) payload: String,
    /// Of `peer` and `event`: the plugin that calls or emits
    #[arg(long, value_name = "ID", default_value = "someone")]
    pub(crate) caller: String,
    /// Another plugin that is there, too: one that it depends on, calls, or is heard by
    #[arg(long, value_name = "FILE.wasm")]
    pub(crate) with: Vec<PathBuf>,
}

/// Calls the plugin and prints its answer; usage goes to standard error.
pub(crate) fn run(arguments: InvokeArgs) -> Result<(), Failure> {
    logs::start(Some("warn,plugin=info"));
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let outcome = runtime.block_on(invoke(arguments));
    runtime.shutdown_background();
    outcome
}

async fn invoke(arguments: InvokeArgs) -> Result<(), Failure> {
    let loaded = check::load(
        &arguments.component,
        &arguments.other.with,
        arguments.config.as_deref(),
        arguments.valves.as_deref(),
    )
    .await?;
    let check::Loaded {
        host,
        plugin,
        _data,
    } = loaded;
    if let Some(reason) = plugin.reason {
        return Err(Failure::Data(format!(
            "{}: {}",
            arguments.component.display(),
            reason.message
        )));
    }
    let id = plugin.id.context("the plugin has no id")?.to_string();
    let usage = || host.engine.plugin(&id).map(|p| p.usage);
    let before = usage().context("the plugin is gone")?;
    let (event, begin) = (host.engine.bus().last(), host.clock.monotonic());
    let outcome = call::make(&host, &id, &arguments).await;
    let took = host.clock.monotonic().saturating_sub(begin);
    settle(&host).await;
    tell_events(&host, event).await;
    if let Some(after) = usage() {
        let settings = plugin.settings.unwrap_or_default();
        complain(&used(&before, &after, took, &settings));
    }
    host.engine.shutdown(Duration::from_secs(5)).await;
    Ok(outcome?)
}

/// Waits until the events and queued calls that a call set off are delivered.
async fn settle(host: &Host) {
    let settled = async {
        while !host.engine.is_settled() {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(SETTLE, settled).await.is_err() {
        complain("some events or queued calls are still under way");
    }
}

/// The events after this one, a line each.
async fn tell_events(host: &Host, last: u64) {
    let bus = host.engine.bus();
    if bus.last() <= last {
        return;
    }
    let heard = bus.after(last, Arc::default(), 1_000).await;
    for event in heard.events {
        complain(&format!(
            "event {} by {}: {}",
            event.topic, event.origin, event.payload
        ));
    }
}

/// What a call used, each number beside its limit, and what it was denied.
fn used(before: &Usage, after: &Usage, took: Duration, settings: &PluginSettings) -> String {
    let limit = |limit| settings.limits.get(limit);
    let mut text = format!(
        "fuel {} of {}, memory {} of {} bytes, host calls {} of {}, time {:.1} of {} ms",
        after.fuel - before.fuel,
        limit(Limit::Fuel),
        after.memory_high_water,
        limit(Limit::MemoryBytes),
        after.host_calls - before.host_calls,
        limit(Limit::HostCalls),
        took.as_secs_f64() * 1_000.0,
        limit(Limit::DeadlineMs),
    );
    let uses = after.capabilities.iter().zip(&before.capabilities);
    for (capability, (now, then)) in Capability::ALL.iter().zip(uses) {
        let times = now.denied - then.denied;
        if times > 0 {
            let name = capability.name();
            text += &format!(
                "\ndenied: {name}, {times} times; {} would grant it",
                capability.example()
            );
        }
    }
    text
}
