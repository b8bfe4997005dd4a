//! `weir plugins`: what is there, one in particular, and what to do with it.

use std::time::SystemTime;

use adapters::clock::SystemClock;
use model::ports::Clock;
use serde_json::Value;

use super::client::Client;
use super::table::{at, cell, items, list as lines, plain, table, when};

/// All plugins.
pub(super) async fn list(client: &Client) -> anyhow::Result<()> {
    let answer = client.get(&["plugins"]).await?;
    client.show(&answer, |answer| {
        let rows: Vec<_> = items(&answer["plugins"]).iter().map(row).collect();
        if rows.is_empty() {
            return "no plugins".into();
        }
        table(["id", "version", "kind", "state", "restarts", "why"], &rows)
    });
    Ok(())
}

fn row(p: &Value) -> [String; 6] {
    let id = if p["id"].is_null() {
        &p["file"]
    } else {
        &p["id"]
    };
    [
        cell(id),
        cell(&p["version"]),
        cell(&p["kind"]),
        cell(&p["state"]),
        cell(at(p, "/restarts/count")),
        cell(at(p, "/reason/message")),
    ]
}

/// One plugin.
pub(super) async fn show(client: &Client, id: &str) -> anyhow::Result<()> {
    let answer = client.get(&["plugins", id]).await?;
    client.show(&answer, |p| details(p, SystemClock::new().now()));
    Ok(())
}

/// Stops, starts or reloads a plugin.
pub(super) async fn act(
    client: &Client,
    id: &str,
    action: &str,
    force: bool,
) -> anyhow::Result<()> {
    let url = client.url(&["plugins", id, action], forced(force));
    let answer = client.ask("POST", url).await?;
    client.show(&answer, |p| {
        format!("{} is {}", plain(id), cell(&p["state"]))
    });
    Ok(())
}

/// Deletes a plugin and its file.
pub(super) async fn delete(client: &Client, id: &str, force: bool) -> anyhow::Result<()> {
    let url = client.url(&["plugins", id], forced(force));
    let answer = client.ask("DELETE", url).await?;
    client.show(&answer, |answer| cell(&answer["message"]));
    Ok(())
}

fn forced(force: bool) -> &'static [(&'static str, &'static str)] {
    if force { &[("force", "true")] } else { &[] }
}

/// All that an operator asks first.
fn details(p: &Value, now: SystemTime) -> String {
    let manifest = &p["manifest"];
    let calls = &p["calls"];
    let waiting = &p["waiting"];
    let usage = &p["usage"];
    let mut text = lines(&[
        ("id", cell(&p["id"])),
        ("name", cell(&p["name"])),
        ("version", cell(&p["version"])),
        ("description", cell(&manifest["description"])),
        ("file", cell(&p["file"])),
        ("digest", cell(&p["digest"])),
        ("kind", cell(&p["kind"])),
        ("roles", cell(&p["roles"])),
        ("track", cell(&p["track"])),
        ("state", cell(&p["state"])),
        ("why", cell(at(p, "/reason/message"))),
        ("loaded", when(&p["loaded_at_ms"], now)),
        ("generation", cell(&p["generation"])),
        ("restart", cell(at(p, "/restarts/policy"))),
        ("restarts", cell(at(p, "/restarts/count"))),
        ("next restart", when(at(p, "/restarts/next_at_ms"), now)),
        ("not loaded", cell(at(p, "/last_load_error/message"))),
        ("calls", counts(calls, &["total", "failed", "in_flight"])),
        (
            "waiting",
            counts(waiting, &["events", "events_dropped", "casts"]),
        ),
        (
            "used",
            counts(
                usage,
                &[
                    "fuel",
                    "cpu_us",
                    "memory_high_water",
                    "host_calls",
                    "denials",
                ],
            ),
        ),
        ("grants", cell(at(p, "/grants/granted"))),
        ("needed by", cell(&p["dependants"])),
    ]);
    section(&mut text, "depends on", items(&p["dependencies"]), |d| {
        let optional = if d["optional"] == true {
            ", optional"
        } else {
            ""
        };
        format!(
            "{} {} ({}{optional})",
            cell(&d["id"]),
            cell(&d["range"]),
            cell(&d["state"])
        )
    });
    section(
        &mut text,
        "not granted",
        items(at(p, "/grants/missing")),
        |m| cell(&m["to_grant"]),
    );
    section(&mut text, "notes", items(&p["notes"]), cell);
    section(&mut text, "last faults", items(&p["faults"]), |f| {
        format!(
            "{}: {} in {}: {}",
            when(&f["at_ms"], now),
            cell(&f["code"]),
            cell(&f["call"]),
            cell(&f["message"])
        )
    });
    text
}

/// Counts by their names.
fn counts(of: &Value, names: &[&str]) -> String {
    let shown = names.iter().filter(|n| !of[**n].is_null());
    let shown: Vec<_> = shown
        .map(|name| format!("{} {}", cell(&of[*name]), name.replace('_', " ")))
        .collect();
    shown.join(", ")
}

/// A list under its own heading; nothing where it is empty.
fn section(text: &mut String, heading: &str, entries: &[Value], line: impl Fn(&Value) -> String) {
    if entries.is_empty() {
        return;
    }
    text.push_str(&format!("{heading}:\n"));
    for entry in entries {
        text.push_str(&format!("  {}\n", line(entry)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plugin_is_told_in_lines() {
        let plugin = json!({
            "id": "top", "file": "top.wasm", "state": "failed", "kind": "pipe",
            "reason": {"message": "base\u{1b}[2J is missing"},
            "calls": {"total": 3, "failed": 1, "in_flight": 0},
            "dependencies": [{"id": "base", "range": "^1.2", "optional": true, "state": "missing"}],
            "dependants": ["a", "b"],
            "faults": [{"at_ms": 0, "code": "trapped", "call": "chat", "message": "x"}],
        });
        let text = details(&plugin, SystemTime::UNIX_EPOCH);
        for part in [
            "state         failed\n",
            "why           base [2J is missing\n",
            "calls         3 total, 1 failed, 0 in flight\n",
            "needed by     a, b\n",
            "depends on:\n  base ^1.2 (missing, optional)\n",
            "last faults:\n  0 s ago: trapped in chat: x\n",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert!(!text.contains("notes"), "{text}");
        assert_eq!(row(&plugin)[0], "top");
        assert_eq!(row(&json!({"file": "x.wasm"}))[0], "x.wasm");
    }
}
