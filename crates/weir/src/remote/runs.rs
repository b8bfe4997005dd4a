//! `weir runs`: the runs of a server, what they did, and how they are ended and followed.

use anyhow::bail;
use clap::Subcommand;
use http_body_util::BodyExt;
use model::run::RunState;
use serde_json::Value;

use super::client::Client;
use super::events::Lines;
use crate::table::{at, cell, items, list as lines, plain, table};
use crate::{Failure, ending};

/// What to do with a run.
#[derive(Debug, Subcommand)]
pub(super) enum RunAction {
    /// End a run
    Cancel {
        /// Its id
        id: String,
    },
    /// Follow a run to its end; the exit code says how it went
    #[command(after_help = ending::HELP_FOLLOWED)]
    Follow {
        /// Its id
        id: String,
    },
    /// Show the first records that stages of a run rejected, and why
    Rejects {
        /// Its id
        id: String,
    },
    /// Show the first records after each stage of a run that was started with --preview
    Preview {
        /// Its id
        id: String,
    },
}

/// Does one of these.
pub(super) async fn act(client: &Client, action: RunAction) -> Result<(), Failure> {
    match action {
        RunAction::Cancel { id } => {
            let url = client.url(&["runs", &id, "cancel"], &[]);
            let answer = client.ask("POST", url).await?;
            client.show(&answer, |_| format!("{} is being ended", plain(&id)));
            Ok(())
        }
        RunAction::Follow { id } => follow(client, &id).await,
        RunAction::Rejects { id } => Ok(rejects(client, &id).await?),
        RunAction::Preview { id } => Ok(preview(client, &id).await?),
    }
}

/// Runs, the newest first.
pub(super) async fn list(
    client: &Client,
    pipeline: Option<&str>,
    state: Option<&str>,
    limit: u32,
) -> anyhow::Result<()> {
    let limit = limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(pipeline.map(|p| ("pipeline", p)));
    query.extend(state.map(|s| ("state", s)));
    let answer = client.ask("GET", client.url(&["runs"], &query)).await?;
    client.show(&answer, |answer| {
        let rows: Vec<_> = items(&answer["runs"]).iter().map(row).collect();
        if rows.is_empty() {
            return "no runs".into();
        }
        table(
            [
                "id",
                "pipeline",
                "version",
                "window",
                "submitted",
                "took",
                "state",
                "why",
            ],
            &rows,
        )
    });
    Ok(())
}

fn row(run: &Value) -> [String; 8] {
    [
        cell(&run["id"]),
        cell(&run["pipeline"]),
        cell(&run["version"]),
        cell(at(run, "/window/label")),
        seconds(&cell(&run["submitted_at"])),
        took(run),
        cell(&run["state"]),
        items(&run["error"]).first().map(cell).unwrap_or_default(),
    ]
}

/// An instant without what is smaller than a second.
fn seconds(instant: &str) -> String {
    match instant.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => instant.to_owned(),
    }
}

fn took(run: &Value) -> String {
    let ms = run["duration_ms"].as_u64().unwrap_or(0);
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}

/// One run.
pub(super) async fn show(client: &Client, id: &str) -> anyhow::Result<()> {
    let answer = client.get(&["runs", id]).await?;
    client.show(&answer, details);
    Ok(())
}

fn details(run: &Value) -> String {
    let mut text = lines(&[
        ("id", cell(&run["id"])),
        ("pipeline", cell(&run["pipeline"])),
        ("version", cell(&run["version"])),
        ("started by", cell(&run["started_by"])),
        ("part of", cell(&run["parent"])),
        ("parts", cell(&run["children"])),
        ("window", cell(at(run, "/window/label"))),
        ("parameters", cell(&run["parameters"])),
        ("state", cell(&run["state"])),
        ("submitted", cell(&run["submitted_at"])),
        ("ended", cell(&run["ended_at"])),
        ("took", took(run)),
        ("rejected", cell(&run["rejects_file"])),
        ("why", cell(&run["error"])),
    ]);
    let rows: Vec<_> = items(&run["stages"]).iter().map(stage).collect();
    if !rows.is_empty() {
        text.push('\n');
        let names = ["stage", "kind", "in", "out", "left out", "rejected", "why"];
        text.push_str(&table(names, &rows));
    }
    let attempts: Vec<_> = items(&run["attempts"]).iter().map(attempt).collect();
    if attempts.len() > 1 {
        text.push('\n');
        text.push_str(&table(["attempt", "server", "came to", "why"], &attempts));
    }
    for line in items(&run["log"]) {
        text.push_str(&format!(
            "{} {} {}\n",
            cell(&line["at"]),
            cell(&line["level"]),
            cell(&line["message"])
        ));
    }
    text
}

fn attempt(attempt: &Value) -> [String; 4] {
    ["number", "owner", "outcome", "error"].map(|key| cell(&attempt[key]))
}

fn stage(stage: &Value) -> [String; 7] {
    [
        cell(&stage["name"]),
        cell(&stage["kind"]),
        cell(&stage["records_in"]),
        cell(&stage["records_out"]),
        cell(&stage["left_out"]),
        cell(&stage["rejected"]),
        cell(&stage["error"]),
    ]
}

/// Follows a run to its end, says how it went, and ends as `weir run` does.
pub(super) async fn follow(client: &Client, id: &str) -> Result<(), Failure> {
    let run = over(client, id).await?;
    client.show(&run, details);
    let state = at(&run, "/state").as_str().and_then(RunState::by_name);
    let ended = ending::of(state.unwrap_or(RunState::Failed));
    if ended.is_err() {
        let (id, state) = (cell(at(&run, "/id")), cell(at(&run, "/state")));
        let why = items(at(&run, "/error")).first().map(cell);
        let why = why.map(|w| format!(": {w}")).unwrap_or_default();
        crate::complain(&format!("run {id} is {state}{why}"));
    }
    ended
}

/// Shows a run as it goes on; the run as it is at its end.
async fn over(client: &Client, id: &str) -> anyhow::Result<Value> {
    let url = client.url(&["runs", id, "events"], &[]);
    let answer = client.send("GET", url, &[]).await?;
    let mut body = answer.into_body();
    let mut lines = Lines::default();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        for event in lines.take(&bytes)? {
            let Ok(run) = serde_json::from_str::<Value>(&event.data) else {
                continue;
            };
            if event.name == "over" {
                return Ok(run);
            }
            if client.json {
                crate::say(&run.to_string());
            } else {
                crate::complain(&progress(&run));
            }
        }
    }
    bail!("the connection ended before run {} did", plain(id));
}

/// A line for a run under way: what each stage passed on; of a composition, the stages of the pipelines that are at work.
fn progress(run: &Value) -> String {
    let mut told = passed_on(run);
    for member in items(&run["members"]) {
        if member["state"] == "running" {
            let stages = passed_on(member).join(", ");
            told.push(format!("{} ({stages})", cell(&member["pipeline"])));
        }
    }
    format!("{} {}: {}", took(run), cell(&run["state"]), told.join(", "))
}

fn passed_on(run: &Value) -> Vec<String> {
    let stages = items(&run["stages"]).iter();
    stages
        .map(|s| format!("{} {}", cell(&s["name"]), cell(&s["records_out"])))
        .collect()
}

async fn rejects(client: &Client, id: &str) -> anyhow::Result<()> {
    let answer = client.get(&["runs", id, "rejects"]).await?;
    client.show(&answer, |answer| {
        let row = |r: &Value| {
            [
                cell(&r["stage"]),
                cell(&r["number"]),
                cell(&r["reason"]),
                cell(&r["record"]),
            ]
        };
        let rows: Vec<_> = items(&answer["rejects"]).iter().map(row).collect();
        let mut text = table(["stage", "number", "why", "record"], &rows);
        text.push_str(&format!("\n{} rejected in all", cell(&answer["total"])));
        if let Some(file) = answer["file"].as_str() {
            text.push_str(&format!("; the server keeps them in {}", plain(file)));
        }
        text
    });
    Ok(())
}

async fn preview(client: &Client, id: &str) -> anyhow::Result<()> {
    let answer = client.get(&["runs", id, "preview"]).await?;
    client.show(&answer, |answer| {
        let mut text = String::new();
        for stage in items(&answer["stages"]) {
            text.push_str(&format!("after {}:\n", cell(&stage["stage"])));
            for row in items(&stage["rows"]) {
                text.push_str(&format!("  {}\n", plain(&row.to_string())));
            }
        }
        text
    });
    Ok(())
}
