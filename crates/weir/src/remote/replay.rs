//! `weir replay`: what a pipeline of a server was sent goes through it again, or through another version of it; first, what would come out otherwise.

use clap::Args;
use serde_json::{Value, json};

use super::RemoteArgs;
use super::client::Client;
use super::pipelines::start;
use crate::table::{at, cell, items, list as lines, plain};
use crate::{Failure, ending};

/// The options of `replay`.
#[derive(Debug, Args)]
#[command(after_help = ending::HELP_FOLLOWED)]
pub(crate) struct ReplayArgs {
    /// The pipeline's id
    pipeline: String,
    /// Received at this moment or later: RFC 3339, or a day, a month and so on [default: from the first on]
    #[arg(long, value_name = "MOMENT")]
    from: Option<String>,
    /// Received before this moment [default: now]
    #[arg(long, value_name = "MOMENT")]
    until: Option<String>,
    /// The version it goes through [default: the newest]
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// A sink it goes to, by its name; may be repeated [default: all]
    #[arg(long = "sink", value_name = "NAME")]
    sinks: Vec<String>,
    /// Change nothing, and show what would come out otherwise
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: the version to compare with [default: the one before]
    #[arg(long, value_name = "N", requires = "dry_run")]
    against: Option<u64>,
    /// Follow the run to its end; the exit code says how it went
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
}

/// Does it.
pub(super) async fn replay(client: &Client, arguments: &ReplayArgs) -> Result<(), Failure> {
    let sinks = (!arguments.sinks.is_empty()).then_some(&arguments.sinks);
    let body = json!({
        "from": arguments.from,
        "until": arguments.until,
        "version": arguments.version,
        "sinks": sinks,
        "dry_run": arguments.dry_run,
        "against": arguments.against,
    });
    let path = ["pipelines", &arguments.pipeline, "replay"];
    if !arguments.dry_run {
        return start(client, &path, &body, arguments.wait).await;
    }
    let url = client.url(&path, &[]);
    let answer = client
        .give("POST", url, "application/json", body.to_string())
        .await?;
    client.show(&answer, shown);
    Ok(())
}

/// A diff in words.
fn shown(diff: &Value) -> String {
    let side = |side: &Value| match side {
        Value::Null => "there is no version before".to_owned(),
        side => format!(
            "version {}: {} records read, {} for the sinks, {} rejected",
            cell(&side["version"]),
            cell(&side["read"]),
            cell(&side["records"]),
            cell(&side["rejected"])
        ),
    };
    let mut text = lines(&[
        ("before", side(&diff["before"])),
        ("after", side(&diff["after"])),
        ("paired by", cell(&diff["key"])),
        ("same", cell(&diff["same"])),
        ("changed", cell(&diff["changed"])),
        ("added", cell(&diff["added"])),
        ("removed", cell(&diff["removed"])),
    ]);
    for sample in items(&diff["samples"]) {
        text.push('\n');
        for (mark, place) in [("-", "/before"), ("+", "/after")] {
            let record = at(sample, place);
            if !record.is_null() {
                text.push_str(&format!("{mark} {}\n", plain(&record.to_string())));
            }
        }
    }
    text
}
