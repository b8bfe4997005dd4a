//! `weir pipelines`: the data pipelines of a server, their specs and versions, and how runs of them are started.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use adapters::clock::SystemClock;
use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use model::ports::Clock;
use serde_json::{Map, Value, json};

use super::client::{Client, Refusal};
use super::runs;
use crate::table::{at, cell, items, list as lines, plain, table, when};
use crate::{Failure, ending};

/// What to do with pipelines.
#[derive(Debug, Subcommand)]
pub(super) enum PipelineAction {
    /// Register a new pipeline
    Add {
        /// Its spec
        file: PathBuf,
    },
    /// Put a new version in the place of a pipeline
    Replace {
        /// Its id
        id: String,
        /// Its new spec
        file: PathBuf,
    },
    /// Remove a pipeline and its file on the server
    Remove {
        /// Its id
        id: String,
    },
    /// Say all that is wrong with a spec, as the server sees it
    Check {
        /// The spec
        file: PathBuf,
    },
    /// List the versions of a pipeline, or print the spec of one
    Versions {
        /// Its id
        id: String,
        /// The number of a version
        number: Option<u64>,
    },
    /// Let the trigger of a pipeline start nothing, and what it started read no further, until it is resumed
    Pause {
        /// Its id
        id: String,
    },
    /// Let a paused pipeline go on
    Resume {
        /// Its id
        id: String,
    },
    /// Start a run of a pipeline
    #[command(after_help = ending::HELP_FOLLOWED)]
    Run(RunArgs),
    /// Start a run for each window of a span, in order
    #[command(after_help = ending::HELP_FOLLOWED)]
    Backfill(BackfillArgs),
}

/// The options of `pipelines run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The pipeline's id
    id: String,
    #[command(flatten)]
    with: With,
    /// The span of time to cover, such as 2026-11-22, 2026-w47, 2026-Q4 or START..END [default: the last that is over]
    #[arg(long, value_name = "WINDOW")]
    window: Option<String>,
    /// Stop after so many records of the source
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Keep the first so many records after each stage, which `weir runs preview` shows
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "10", require_equals = true)]
    preview: Option<u32>,
}

/// The options of `pipelines backfill`.
#[derive(Debug, Args)]
pub(super) struct BackfillArgs {
    /// The pipeline's id
    id: String,
    #[command(flatten)]
    with: With,
    /// The first window
    #[arg(long, value_name = "WINDOW")]
    from: String,
    /// The last window
    #[arg(long, value_name = "WINDOW")]
    to: String,
    /// How many windows at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    parallel: u32,
    /// Go on with the next window when one fails
    #[arg(long)]
    keep_going: bool,
}

/// What all runs may be asked for with.
#[derive(Debug, Args)]
struct With {
    /// A parameter of the pipeline; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Open no sinks; what would go to them is counted
    #[arg(long)]
    dry_run: bool,
    /// Follow the run to its end; the exit code says how it went
    #[arg(long)]
    wait: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("it has the form NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

impl With {
    fn parameters(&self) -> Map<String, Value> {
        let given = self.parameters.iter();
        given
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect()
    }
}

/// Does one of these.
pub(super) async fn act(client: &Client, action: PipelineAction) -> Result<(), Failure> {
    let done = match action {
        PipelineAction::Add { file } => put(client, "POST", &["pipelines"], &file).await,
        PipelineAction::Replace { id, file } => {
            put(client, "PUT", &["pipelines", &id], &file).await
        }
        PipelineAction::Remove { id } => remove(client, &id).await,
        PipelineAction::Check { file } => check(client, &file).await,
        PipelineAction::Versions { id, number: None } => versions(client, &id).await,
        PipelineAction::Versions {
            id,
            number: Some(number),
        } => version(client, &id, number).await,
        PipelineAction::Pause { id } => pause(client, &id, "pause").await,
        PipelineAction::Resume { id } => pause(client, &id, "resume").await,
        PipelineAction::Run(arguments) => return run(client, &arguments).await,
        PipelineAction::Backfill(arguments) => return backfill(client, &arguments).await,
    };
    Ok(done?)
}

async fn remove(client: &Client, id: &str) -> anyhow::Result<()> {
    let url = client.url(&["pipelines", id], &[]);
    let answer = client.ask("DELETE", url).await?;
    client.show(&answer, |answer| cell(&answer["message"]));
    Ok(())
}

async fn pause(client: &Client, id: &str, what: &str) -> anyhow::Result<()> {
    let url = client.url(&["pipelines", id, what], &[]);
    let answer = client.ask("POST", url).await?;
    client.show(&answer, |p| {
        format!("{} is {}", cell(&p["id"]), cell(&p["status"]))
    });
    Ok(())
}

/// The spec of a version.
async fn version(client: &Client, id: &str, number: u64) -> anyhow::Result<()> {
    let path = ["pipelines", id, "versions", &number.to_string()];
    crate::say(client.text(&path).await?.trim_end());
    Ok(())
}

/// All pipelines.
pub(super) async fn list(client: &Client) -> anyhow::Result<()> {
    let answer = client.get(&["pipelines"]).await?;
    client.show(&answer, |answer| {
        let rows: Vec<_> = items(&answer["pipelines"]).iter().map(row).collect();
        if rows.is_empty() {
            return "no pipelines".into();
        }
        table(["id", "version", "kind", "state", "last run", "why"], &rows)
    });
    Ok(())
}

fn row(p: &Value) -> [String; 6] {
    let state = match (&p["state"], &p["status"]) {
        (state, status) if state == "registered" => cell(status),
        (state, _) => cell(state),
    };
    [
        cell(&p["id"]),
        cell(&p["version"]),
        cell(&p["kind"]),
        state,
        cell(at(p, "/last_run/state")),
        cell(match at(p, "/reason/message") {
            Value::Null => at(p, "/error/message"),
            reason => reason,
        }),
    ]
}

/// One pipeline.
pub(super) async fn show(client: &Client, id: &str) -> anyhow::Result<()> {
    let answer = client.get(&["pipelines", id]).await?;
    client.show(&answer, |p| details(p, SystemClock::new().now()));
    Ok(())
}

fn details(p: &Value, now: SystemTime) -> String {
    let mut text = lines(&[
        ("id", cell(&p["id"])),
        ("name", cell(&p["name"])),
        ("description", cell(&p["description"])),
        ("tags", cell(&p["tags"])),
        ("version", cell(&p["version"])),
        ("kind", cell(&p["kind"])),
        ("state", cell(&p["state"])),
        ("status", cell(&p["status"])),
        ("error", cell(at(p, "/error/message"))),
        ("why", cell(at(p, "/reason/message"))),
        ("file", cell(&p["file"])),
        ("registered", when(&p["registered_at_ms"], now)),
        ("last run", cell(at(p, "/last_run/id"))),
        ("its state", cell(at(p, "/last_run/state"))),
    ]);
    for problem in items(at(p, "/reason/problems")) {
        text.push_str(&format!("problem  {}\n", told(problem)));
    }
    let rows: Vec<_> = items(&p["parameters"])
        .iter()
        .map(|p| [cell(&p["name"]), cell(&p["schema"]), cell(&p["default"])])
        .collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table(["parameter", "schema", "default"], &rows));
    }
    if let Some(source) = p["source"].as_str() {
        text.push('\n');
        source
            .lines()
            .for_each(|line| text.push_str(&format!("  {}\n", plain(line))));
    }
    text
}

/// `3:5: what is wrong`.
fn told(problem: &Value) -> String {
    match (problem["line"].as_u64(), problem["column"].as_u64()) {
        (Some(line), Some(column)) => format!("{line}:{column}: {}", cell(&problem["message"])),
        _ => format!(
            "{} {}",
            cell(&problem["pointer"]),
            cell(&problem["message"])
        ),
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| file.display().to_string())
}

async fn put(client: &Client, method: &str, path: &[&str], file: &Path) -> anyhow::Result<()> {
    let url = client.url(path, &[]);
    let answer = client
        .give(method, url, "application/yaml", read(file)?)
        .await;
    let answer = answer.map_err(|e| all_told(e, file))?;
    client.show(&answer, |p| {
        format!(
            "{} is registered, version {}",
            cell(&p["id"]),
            cell(&p["version"])
        )
    });
    Ok(())
}

/// A refusal with all that is wrong, a line each.
fn all_told(error: anyhow::Error, file: &Path) -> anyhow::Error {
    let problems = error
        .downcast_ref::<Refusal>()
        .map(|r| items(&r.errors).to_vec());
    match problems {
        Some(problems) if !problems.is_empty() => anyhow!("{}", listed(&problems, file)),
        _ => error,
    }
}

fn listed(problems: &[Value], file: &Path) -> String {
    let lines = problems
        .iter()
        .map(|p| format!("{}:{}", file.display(), told(p)));
    lines.collect::<Vec<_>>().join("\n")
}

async fn check(client: &Client, file: &Path) -> anyhow::Result<()> {
    let name = file
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    let url = client.url(&["pipelines", "check"], &[("file", name)]);
    let answer = client
        .give("POST", url, "application/yaml", read(file)?)
        .await?;
    let fits = *at(&answer, "/ok") != false;
    if !fits && !client.json {
        bail!("{}", listed(items(at(&answer, "/problems")), file));
    }
    client.show(&answer, |_| format!("{}: fine", file.display()));
    if !fits {
        bail!("{} does not fit", file.display());
    }
    Ok(())
}

async fn versions(client: &Client, id: &str) -> anyhow::Result<()> {
    let answer = client.get(&["pipelines", id, "versions"]).await?;
    let now = SystemClock::new().now();
    client.show(&answer, |answer| {
        let row = |v: &Value| {
            let current = if v["current"] == true { "current" } else { "" };
            [
                cell(&v["version"]),
                when(&v["registered_at_ms"], now),
                cell(&v["bytes"]),
                current.to_owned(),
            ]
        };
        let rows: Vec<_> = items(&answer["versions"]).iter().map(row).collect();
        table(["version", "registered", "bytes", ""], &rows)
    });
    Ok(())
}

async fn run(client: &Client, arguments: &RunArgs) -> Result<(), Failure> {
    let body = json!({
        "parameters": arguments.with.parameters(),
        "window": arguments.window,
        "limit": arguments.limit,
        "preview": arguments.preview,
        "dry_run": arguments.with.dry_run,
    });
    start(
        client,
        &["pipelines", &arguments.id, "runs"],
        &body,
        arguments.with.wait,
    )
    .await
}

async fn backfill(client: &Client, arguments: &BackfillArgs) -> Result<(), Failure> {
    let body = json!({
        "from": arguments.from,
        "to": arguments.to,
        "parallel": arguments.parallel,
        "stop_on_error": !arguments.keep_going,
        "parameters": arguments.with.parameters(),
        "dry_run": arguments.with.dry_run,
    });
    start(
        client,
        &["pipelines", &arguments.id, "backfill"],
        &body,
        arguments.with.wait,
    )
    .await
}

/// Starts what is asked for, and follows it where that is wanted.
pub(super) async fn start(
    client: &Client,
    path: &[&str],
    body: &Value,
    wait: bool,
) -> Result<(), Failure> {
    let url = client.url(path, &[]);
    let answer = client
        .give("POST", url, "application/json", body.to_string())
        .await?;
    if wait {
        return runs::follow(client, &cell(at(&answer, "/id"))).await;
    }
    client.show(&answer, |run| {
        format!("{} is {}", cell(&run["id"]), cell(&run["state"]))
    });
    Ok(())
}
