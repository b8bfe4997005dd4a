//! `weir hooks`: every point and the hooks there, in the order they run.

use serde_json::Value;

use super::client::Client;
use super::table::{cell, items, list as lines, table};

/// All points that have hooks, and the names of the others.
pub(super) async fn list(client: &Client) -> anyhow::Result<()> {
    let answer = client.get(&["hooks"]).await?;
    client.show(&answer, |answer| {
        let (with, without): (Vec<_>, Vec<_>) = items(&answer["points"])
            .iter()
            .partition(|p| !items(&p["hooks"]).is_empty());
        let rows: Vec<_> = with.into_iter().flat_map(rows).collect();
        let without: Vec<_> = without.into_iter().map(|p| cell(&p["point"])).collect();
        let mut text = String::new();
        if !rows.is_empty() {
            text = table(
                ["point", "mode", "priority", "plugin", "on failure", "note"],
                &rows,
            );
            text.push('\n');
        }
        if !without.is_empty() {
            text.push_str(&format!("no hooks at: {}\n", without.join(", ")));
        }
        text
    });
    Ok(())
}

/// One point.
pub(super) async fn show(client: &Client, point: &str) -> anyhow::Result<()> {
    let answer = client.get(&["hooks", point]).await?;
    client.show(&answer, |p| {
        let mut text = lines(&[
            ("point", cell(&p["point"])),
            ("what", cell(&p["what"])),
            ("defined by", cell(&p["defined_by"])),
            ("modes", cell(&p["modes"])),
            ("context", cell(&p["context"])),
            ("result", cell(&p["result"])),
        ]);
        let rows = rows(p);
        if rows.is_empty() {
            text.push_str("no hooks\n");
        } else {
            text.push('\n');
            text.push_str(&table(
                ["point", "mode", "priority", "plugin", "on failure", "note"],
                &rows,
            ));
        }
        text
    });
    Ok(())
}

fn rows(point: &Value) -> Vec<[String; 6]> {
    let never = point["fires"] == false;
    let note = |hook: &Value| match &hook["beaten_by"] {
        Value::Null if never => "this step is never taken".to_owned(),
        Value::Null => String::new(),
        by => format!("not called: {} replaces the step", cell(by)),
    };
    let hooks = items(&point["hooks"]).iter();
    hooks
        .map(|h| {
            [
                cell(&point["point"]),
                cell(&h["mode"]),
                cell(&h["priority"]),
                cell(&h["plugin"]),
                cell(&h["on_failure"]),
                note(h),
            ]
        })
        .collect()
}
