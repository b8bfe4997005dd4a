//! `weir capabilities`: who provides what.

use serde_json::Value;

use super::client::Client;
use super::table::{cell, items, table};

/// All capabilities, or those with providers of this type.
pub(super) async fn list(client: &Client, kind: Option<&str>) -> anyhow::Result<()> {
    let kind: Vec<_> = kind.map(|k| ("type", k)).into_iter().collect();
    let answer = client
        .ask("GET", client.url(&["capabilities"], &kind))
        .await?;
    client.show(&answer, |answer| {
        let rows: Vec<_> = items(&answer["capabilities"])
            .iter()
            .flat_map(rows)
            .collect();
        if rows.is_empty() {
            return "no started plugin provides any".into();
        }
        shown(&rows)
    });
    Ok(())
}

/// One capability.
pub(super) async fn show(client: &Client, name: &str) -> anyhow::Result<()> {
    let answer = client.get(&["capabilities", name]).await?;
    client.show(&answer, |c| shown(&rows(c)));
    Ok(())
}

fn shown(rows: &[[String; 6]]) -> String {
    table(
        [
            "capability",
            "plugin",
            "version",
            "type",
            "preferred",
            "options",
        ],
        rows,
    )
}

fn rows(capability: &Value) -> Vec<[String; 6]> {
    let providers = items(&capability["providers"]).iter();
    providers
        .map(|p| {
            let preferred = if p["preferred"] == true { "yes" } else { "" };
            let options = match &p["options"] {
                Value::Object(options) if options.is_empty() => String::new(),
                options => cell(options),
            };
            [
                cell(&capability["name"]),
                cell(&p["plugin"]),
                cell(&p["version"]),
                cell(&p["type"]),
                preferred.into(),
                options,
            ]
        })
        .collect()
}
