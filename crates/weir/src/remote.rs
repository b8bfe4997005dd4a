//! Commands about a server that runs: what it has, and what is to be done with it. They speak its HTTP API; what that means is the server's business.

mod capabilities;
mod client;
mod events;
mod grants;
mod hooks;
mod letters;
mod pipelines;
mod plugins;
mod replay;
mod runs;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::{Failure, table};
use client::Client;
use letters::LetterAction;
use pipelines::PipelineAction;
pub(crate) use replay::ReplayArgs;
use runs::RunAction;

/// Where the server is, who asks, and for whom the answer is.
#[derive(Debug, Args)]
pub(crate) struct RemoteArgs {
    /// The server
    #[arg(
        long,
        value_name = "URL",
        env = "WEIR_SERVER",
        default_value = "http://127.0.0.1:9099",
        global = true
    )]
    server: String,
    /// File with the API key [default: PIPELINES_API_KEY, else the key of weir.toml, else the one `weir serve` made in the data folder]
    #[arg(long, value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
    /// Print the server's answer as JSON, for machines
    #[arg(long, global = true)]
    json: bool,
}

/// The options of `plugins`.
#[derive(Debug, Args)]
pub(crate) struct PluginsArgs {
    /// Show one plugin with all that is known of it
    id: Option<String>,
    #[command(subcommand)]
    action: Option<PluginAction>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// What to do with a plugin.
#[derive(Debug, Subcommand)]
enum PluginAction {
    /// Stop a plugin until it is started, or the server is
    Stop {
        /// Its id
        id: String,
        /// Also if others need it: they fail until it is there again
        #[arg(long)]
        force: bool,
    },
    /// Start a plugin that is stopped or failed
    Start {
        /// Its id, or the stem of its file's name
        id: String,
    },
    /// Load a plugin again from its file
    Reload {
        /// Its id, or the stem of its file's name
        id: String,
    },
    /// Delete a plugin and its file
    Delete {
        /// Its id, or the stem of its file's name
        id: String,
        /// Also if others need it: they fail until it is there again
        #[arg(long)]
        force: bool,
    },
}

/// The options of `pipelines`.
#[derive(Debug, Args)]
pub(crate) struct PipelinesArgs {
    /// Show one pipeline with its spec
    id: Option<String>,
    #[command(subcommand)]
    action: Option<PipelineAction>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// The options of `runs`.
#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// Show one run with what its stages did
    id: Option<String>,
    #[command(subcommand)]
    action: Option<RunAction>,
    /// Only runs of this pipeline
    #[arg(long, value_name = "ID", conflicts_with = "id")]
    pipeline: Option<String>,
    /// Only runs in this state
    #[arg(long, value_name = "STATE", conflicts_with = "id")]
    state: Option<String>,
    /// At most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// The options of `dead-letters`.
#[derive(Debug, Args)]
pub(crate) struct LettersArgs {
    #[command(subcommand)]
    action: LetterAction,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// The options of `hooks`.
#[derive(Debug, Args)]
pub(crate) struct HooksArgs {
    /// Show one point, with the schemas of its context and result
    point: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// The options of `capabilities`.
#[derive(Debug, Args)]
pub(crate) struct CapabilitiesArgs {
    /// Show who provides this one
    name: Option<String>,
    /// Only what has this type
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "name")]
    kind: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// The options of `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only this topic, or all that start with what stands before a `*`; may be given more than once
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Begin after the event of this id [default: with the next one]
    #[arg(long, value_name = "ID")]
    since: Option<u64>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// The options of `grants show`.
#[derive(Debug, Args)]
pub(crate) struct GrantsShowArgs {
    /// The plugin's id
    id: String,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// `weir plugins`.
pub(crate) fn plugins(arguments: PluginsArgs) -> Result<(), Failure> {
    let PluginsArgs { id, action, remote } = arguments;
    if action.is_some() && id.is_some() {
        let how = "name the plugin after what is to be done: weir plugins stop <id>";
        return Err(anyhow::anyhow!(how).into());
    }
    with_client(&remote, PATIENCE_MS, async |client| match (action, id) {
        (None, None) => plugins::list(client).await,
        (None, Some(id)) => plugins::show(client, &id).await,
        (Some(PluginAction::Stop { id, force }), _) => {
            plugins::act(client, &id, "stop", force).await
        }
        (Some(PluginAction::Start { id }), _) => plugins::act(client, &id, "start", false).await,
        (Some(PluginAction::Reload { id }), _) => plugins::act(client, &id, "reload", false).await,
        (Some(PluginAction::Delete { id, force }), _) => plugins::delete(client, &id, force).await,
    })
}

/// `weir pipelines`.
pub(crate) fn pipelines(arguments: PipelinesArgs) -> Result<(), Failure> {
    let PipelinesArgs { id, action, remote } = arguments;
    if action.is_some() && id.is_some() {
        let how = "name the pipeline after what is to be done: weir pipelines run <id>";
        return Err(anyhow::anyhow!(how).into());
    }
    with_client(&remote, PATIENCE_MS, async |client| match (action, id) {
        (Some(action), _) => pipelines::act(client, action).await,
        (None, Some(id)) => Ok(pipelines::show(client, &id).await?),
        (None, None) => Ok(pipelines::list(client).await?),
    })
}

/// `weir runs`.
pub(crate) fn runs(arguments: RunsArgs) -> Result<(), Failure> {
    let RunsArgs {
        id,
        action,
        pipeline,
        state,
        limit,
        remote,
    } = arguments;
    if action.is_some() && id.is_some() {
        let how = "name the run after what is to be done: weir runs cancel <id>";
        return Err(anyhow::anyhow!(how).into());
    }
    with_client(&remote, PATIENCE_MS, async |client| match (action, id) {
        (Some(action), _) => runs::act(client, action).await,
        (None, Some(id)) => Ok(runs::show(client, &id).await?),
        (None, None) => Ok(runs::list(client, pipeline.as_deref(), state.as_deref(), limit).await?),
    })
}

/// `weir replay`.
pub(crate) fn replay(arguments: &ReplayArgs) -> Result<(), Failure> {
    with_client(&arguments.remote, PATIENCE_MS, async |client| {
        replay::replay(client, arguments).await
    })
}

/// `weir dead-letters`.
pub(crate) fn letters(arguments: LettersArgs) -> Result<(), Failure> {
    let LettersArgs { action, remote } = arguments;
    with_client(&remote, PATIENCE_MS, async |client| {
        letters::act(client, action).await
    })
}

/// `weir hooks`.
pub(crate) fn hooks(arguments: &HooksArgs) -> Result<(), Failure> {
    with_client(
        &arguments.remote,
        PATIENCE_MS,
        async |client| match &arguments.point {
            None => hooks::list(client).await,
            Some(point) => hooks::show(client, point).await,
        },
    )
}

/// `weir capabilities`.
pub(crate) fn capabilities(arguments: &CapabilitiesArgs) -> Result<(), Failure> {
    let kind = arguments.kind.as_deref();
    with_client(
        &arguments.remote,
        PATIENCE_MS,
        async |client| match &arguments.name {
            None => capabilities::list(client, kind).await,
            Some(name) => capabilities::show(client, name).await,
        },
    )
}

/// `weir events`.
pub(crate) fn events(arguments: &EventsArgs) -> Result<(), Failure> {
    with_client(&arguments.remote, SILENCE_MS, async |client| {
        events::follow(client, &arguments.topic, arguments.since).await
    })
}

/// `weir grants show`.
pub(crate) fn grants_show(arguments: &GrantsShowArgs) -> Result<(), Failure> {
    with_client(&arguments.remote, PATIENCE_MS, async |client| {
        grants::show(client, &arguments.id).await
    })
}

/// How long a server may take to answer, in milliseconds: a reload may have to compile.
const PATIENCE_MS: u64 = 600_000;
/// How long a stream of events may be silent: three times the server's heartbeat.
const SILENCE_MS: u64 = 45_000;

/// Runs a command with a client for the server named, which may be silent for `patience_ms`.
fn with_client<E: Into<Failure>>(
    remote: &RemoteArgs,
    patience_ms: u64,
    command: impl AsyncFnOnce(&Client) -> Result<(), E>,
) -> Result<(), Failure> {
    crate::logs::start(Some("warn"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let done = runtime.block_on(async {
        let client = Client::new(remote, patience_ms)?;
        command(&client).await.map_err(Into::into)
    });
    runtime.shutdown_background();
    done
}
