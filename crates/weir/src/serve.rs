//! `weir serve`: boot, serve, follow the plugins folder, and end in order on SIGTERM or SIGINT.

use std::fmt::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::{Listed, PluginState, PluginStatus};
use server::{AddPolicy, ServerConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::ServeArgs;
use crate::config::{self, Config};
use crate::key::{self, Key};
use crate::{Failure, logs, say, urls, wiring};

/// How long plugins may take to stop when the host ends.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Serves until told to stop.
pub(crate) fn run(arguments: &ServeArgs) -> Result<(), Failure> {
    let config =
        config::load(arguments, &|name| std::env::var(name).ok()).map_err(Failure::Data)?;
    logs::start(None);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let outcome = runtime.block_on(serve(config));
    runtime.shutdown_background();
    Ok(outcome?)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let wiring::Server {
        host,
        plugins,
        specs,
        discovery,
    } = wiring::server(&config).await?;
    let key = key::choose(config.key.clone(), config.compat, &config.data)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let watching = [
        plugins.follow(&host.engine, &config.plugins),
        specs.follow(&host.engine, &discovery, &config.pipelines.folders),
    ];
    let (booted, boot_over) = watch::channel(false);
    let server = ServerConfig {
        key: key.key.clone(),
        compat: config.compat,
        limits: config.http.clone(),
        cors: config.cors.clone(),
        add: AddPolicy {
            allow: config.add.allow.clone(),
        },
        plugins_dir_shown: config.plugins.first.display().to_string(),
        defaults: config.defaults.clone(),
        ceilings: config.ceilings.clone(),
        pipelines: Arc::clone(&discovery),
        clock: Arc::clone(&host.clock),
        booted: boot_over,
    };
    let mut serving = pin!(server::serve(
        listener,
        Arc::clone(&host.engine),
        server,
        stop_signal()?
    ));
    let booting = async {
        host.engine.tidy_runs().await;
        host.engine.look_after_kept().await;
        boot(&host, &config).await;
        host.engine.know_conditions().await;
        // After the plugins, since specs name them. A spec that waits for a slow one is looked at again when it has started.
        discovery.look().await;
        host.engine.take_up_runs();
        say(&banner(
            address,
            &key,
            &host.engine.plugins(),
            &discovery.list(),
        ));
        booted.send_replace(true);
    };
    let served = tokio::select! {
        served = &mut serving => served,
        () = booting => serving.await,
    };
    watching.iter().for_each(JoinHandle::abort);
    host.engine.shutdown(STOP_WITHIN).await;
    tracing::info!("stopped");
    Ok(served?)
}

/// Loads the folder and what `PIPELINES_URLS` names. A plugin that takes longer than `boot_wait` goes on loading while the host
/// serves already.
async fn boot(host: &wiring::Host, config: &Config) {
    let engine = Arc::clone(&host.engine);
    let fetching = urls::Fetch::new(host, config);
    let loading = tokio::spawn(async move {
        engine.sync().await;
        fetching.all(&engine).await;
    });
    if tokio::time::timeout(config.runtime.boot_wait, loading)
        .await
        .is_err()
    {
        tracing::warn!("some plugins are still loading, serving the others");
    }
}

/// Done at the first SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: requests under way may finish");
    })
}

/// What an operator sees at start.
fn banner(
    address: SocketAddr,
    key: &Key,
    plugins: &[PluginStatus],
    pipelines: &[Listed],
) -> String {
    let mut text = format!(
        "Weir {} serves on http://{address}\n",
        env!("CARGO_PKG_VERSION")
    );
    let started = plugins
        .iter()
        .filter(|p| p.state == PluginState::Started)
        .count();
    // Writing to a String cannot fail.
    let _infallible = writeln!(text, "Key: {}", key.shown);
    let _infallible = writeln!(
        text,
        "Plugins: {started} started, {} not",
        plugins.len() - started
    );
    for plugin in plugins {
        let name = plugin
            .id
            .as_ref()
            .map_or_else(|| plugin.file.to_string(), ToString::to_string);
        let state = match &plugin.reason {
            Some(reason) => format!("{}: {}", plugin.state.as_str(), reason.message),
            None if plugin.state == PluginState::Started => plugin.kind.as_str().to_owned(),
            None => plugin.state.as_str().to_owned(),
        };
        let _infallible = writeln!(text, "  {name:<24} {state}");
    }
    text.push_str(&told(pipelines));
    let example = plugins
        .iter()
        .find(|p| p.state == PluginState::Started && p.kind == engine::Kind::Pipe)
        .and_then(|p| p.id.as_ref());
    let request = match example {
        Some(id) => format!(
            "/v1/chat/completions -H 'Content-Type: application/json' \\\n  -d '{{\"model\": \"{id}\", \"stream\": false, \"messages\": [{{\"role\": \"user\", \"content\": \"hello\"}}]}}'"
        ),
        None => "/v1/models".into(),
    };
    let _infallible = write!(
        text,
        "Try: curl -H \"Authorization: Bearer {}\" http://{address}{request}",
        key.in_shell
    );
    text
}

/// The pipelines in the banner: how many there are, and what is wrong with which.
fn told(pipelines: &[Listed]) -> String {
    let mut text = String::new();
    if pipelines.is_empty() {
        return text;
    }
    let registered = pipelines.iter().filter(|p| p.registered.is_some()).count();
    let failed = pipelines.len() - registered;
    // Writing to a String cannot fail.
    let _infallible = writeln!(text, "Pipelines: {registered} registered, {failed} not");
    for (pipeline, failure) in pipelines
        .iter()
        .filter_map(|p| Some((p, p.failure.as_ref()?)))
    {
        let _infallible = writeln!(text, "  {:<24} failed: {failure}", pipeline.id);
    }
    text
}
