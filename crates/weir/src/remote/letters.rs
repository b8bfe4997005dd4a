//! `weir dead-letters`: the records that a pipeline could not deliver, and what is done about them.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::{Value, json};

use super::client::Client;
use crate::table::{cell, items, list as lines, plain, table};

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(super) enum LetterAction {
    /// List dead letters in the order they came
    List {
        /// The pipeline
        pipeline: String,
        /// Only those of this stage
        #[arg(long)]
        stage: Option<String>,
        /// Only those in this state: waiting, taken or resolved
        #[arg(long)]
        state: Option<String>,
        /// Only those after this one
        #[arg(long, value_name = "ID")]
        after: Option<i64>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Show one with its whole record
    Show {
        /// The pipeline
        pipeline: String,
        /// Its id
        id: i64,
    },
    /// Say which record is to be tried in its place
    Edit {
        /// The pipeline
        pipeline: String,
        /// Its id
        id: i64,
        /// File with the record, or `-` for standard input
        #[arg(long, value_name = "FILE", conflicts_with = "original")]
        record: Option<PathBuf>,
        /// Go back to the record as it came
        #[arg(long)]
        original: bool,
    },
    /// Try dead letters again, in order
    Retry {
        /// The pipeline
        pipeline: String,
        /// Just these; otherwise all that wait
        ids: Vec<i64>,
        /// Those of this stage
        #[arg(long)]
        stage: Option<String>,
    },
    /// Forget dead letters for good
    Purge {
        /// The pipeline
        pipeline: String,
        /// Just this one
        id: Option<i64>,
        /// Those of this stage
        #[arg(long, conflicts_with = "id")]
        stage: Option<String>,
        /// Those in this state: waiting or resolved
        #[arg(long, conflicts_with = "id")]
        state: Option<String>,
        /// Those that came before this instant, such as 2026-11-22T15:30:00Z
        #[arg(long, value_name = "INSTANT", conflicts_with = "id")]
        before: Option<String>,
        /// All of them
        #[arg(long, conflicts_with_all = ["id", "stage", "state", "before"])]
        all: bool,
    },
}

/// Does one of these.
pub(super) async fn act(client: &Client, action: LetterAction) -> anyhow::Result<()> {
    match action {
        LetterAction::List {
            pipeline,
            stage,
            state,
            after,
            limit,
        } => {
            let (limit, after) = (limit.to_string(), after.map(|id| id.to_string()));
            let mut query = vec![("limit", limit.as_str())];
            query.extend(stage.as_deref().map(|s| ("stage", s)));
            query.extend(state.as_deref().map(|s| ("state", s)));
            query.extend(after.as_deref().map(|a| ("after", a)));
            list(client, &pipeline, &query).await
        }
        LetterAction::Show { pipeline, id } => {
            let path = ["pipelines", &pipeline, "dead-letters", &id.to_string()];
            let answer = client.get(&path).await?;
            client.show(&answer, details);
            Ok(())
        }
        LetterAction::Edit {
            pipeline,
            id,
            record,
            original,
        } => edit(client, &pipeline, id, record, original).await,
        LetterAction::Retry {
            pipeline,
            ids,
            stage,
        } => retry(client, &pipeline, &ids, stage).await,
        LetterAction::Purge {
            pipeline,
            id,
            stage,
            state,
            before,
            all,
        } => {
            if let Some(id) = id {
                return forget(client, &pipeline, id).await;
            }
            let mut query = Vec::new();
            query.extend(stage.as_deref().map(|s| ("stage", s)));
            query.extend(state.as_deref().map(|s| ("state", s)));
            query.extend(before.as_deref().map(|b| ("before", b)));
            if query.is_empty() && !all {
                bail!("say which: an id, --stage, --state, --before, or --all");
            }
            purge(client, &pipeline, &query).await
        }
    }
}

async fn list(client: &Client, pipeline: &str, query: &[(&str, &str)]) -> anyhow::Result<()> {
    let url = client.url(&["pipelines", pipeline, "dead-letters"], query);
    let answer = client.ask("GET", url).await?;
    client.show(&answer, |answer| {
        let rows: Vec<_> = items(&answer["letters"]).iter().map(row).collect();
        if rows.is_empty() {
            return "no dead letters".into();
        }
        let names = [
            "id", "stage", "number", "state", "attempts", "why", "record",
        ];
        let mut text = table(names, &rows);
        if !answer["next"].is_null() {
            text.push_str(&format!("\nmore: --after {}", cell(&answer["next"])));
        }
        text
    });
    Ok(())
}

fn row(letter: &Value) -> [String; 7] {
    [
        cell(&letter["id"]),
        cell(&letter["stage"]),
        cell(&letter["number"]),
        cell(&letter["state"]),
        cell(&letter["attempts"]),
        cell(&letter["reason"]),
        cell(&letter["record"]).chars().take(120).collect(),
    ]
}

fn details(letter: &Value) -> String {
    lines(&[
        ("id", cell(&letter["id"])),
        ("stage", cell(&letter["stage"])),
        ("number", cell(&letter["number"])),
        ("state", cell(&letter["state"])),
        ("attempts", cell(&letter["attempts"])),
        ("run", cell(&letter["run"])),
        ("why", cell(&letter["reason"])),
        ("record", cell(&letter["record"])),
        ("base64", cell(&letter["base64"])),
        ("edited", cell(&letter["edited_record"])),
    ])
}

async fn edit(
    client: &Client,
    pipeline: &str,
    id: i64,
    record: Option<PathBuf>,
    original: bool,
) -> anyhow::Result<()> {
    let text = match (record, original) {
        (_, true) => "null".to_owned(),
        (None, false) => bail!("say which record: --record FILE, or --original"),
        (Some(path), false) if path.as_os_str() == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.context("cannot read the record")?;
            text
        }
        (Some(path), false) => std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?,
    };
    let url = client.url(
        &["pipelines", pipeline, "dead-letters", &id.to_string()],
        &[],
    );
    let answer = client.give("PUT", url, "application/json", text).await?;
    client.show(&answer, details);
    Ok(())
}

async fn retry(
    client: &Client,
    pipeline: &str,
    ids: &[i64],
    stage: Option<String>,
) -> anyhow::Result<()> {
    let url = client.url(&["pipelines", pipeline, "dead-letters", "redrive"], &[]);
    let body = json!({"stage": stage, "ids": ids}).to_string();
    let answer = client.give("POST", url, "application/json", body).await?;
    client.show(&answer, |answer| {
        let runs: Vec<_> = items(&answer["runs"]).iter().map(cell).collect();
        match runs.as_slice() {
            [] => "no dead letters wait".into(),
            runs => format!("tried again by {}", runs.join(", ")),
        }
    });
    Ok(())
}

async fn forget(client: &Client, pipeline: &str, id: i64) -> anyhow::Result<()> {
    let url = client.url(
        &["pipelines", pipeline, "dead-letters", &id.to_string()],
        &[],
    );
    let answer = client.ask("DELETE", url).await?;
    client.show(&answer, |answer| cell(&answer["message"]));
    Ok(())
}

async fn purge(client: &Client, pipeline: &str, query: &[(&str, &str)]) -> anyhow::Result<()> {
    let url = client.url(&["pipelines", pipeline, "dead-letters"], query);
    let answer = client.ask("DELETE", url).await?;
    client.show(&answer, |answer| {
        let number = cell(&answer["forgotten"]);
        format!("{number} dead letters of {} are forgotten", plain(pipeline))
    });
    Ok(())
}
