//! `weir grants show`: what a plugin asks for, has and used.

use serde_json::Value;

use super::client::Client;
use super::table::{at, cell, items, table};

/// One plugin's grants.
pub(super) async fn show(client: &Client, id: &str) -> anyhow::Result<()> {
    let answer = client.get(&["plugins", id, "grants"]).await?;
    client.show(&answer, written);
    Ok(())
}

fn written(grants: &Value) -> String {
    let rows: Vec<_> = grants["used"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, used)| row(grants, name, used))
        .filter(|row| row.iter().skip(1).any(|c| !c.is_empty() && c != "0"))
        .collect();
    if rows.is_empty() {
        return "it asks for nothing, and has nothing".into();
    }
    let mut text = table(["capability", "asked", "granted", "used", "denied"], &rows);
    let missing: Vec<_> = items(&grants["missing"])
        .iter()
        .map(|m| cell(&m["to_grant"]))
        .collect();
    if !missing.is_empty() {
        text.push_str(&format!(
            "\nto grant what is missing, write in its settings:\n  {}\n",
            missing.join("\n  ")
        ));
    }
    text
}

fn row(grants: &Value, name: &str, used: &Value) -> [String; 5] {
    let asked = items(&grants["asked"]).iter().any(|a| a == name);
    let details = &grants["details"];
    let parts = |list: &Value, key: &str| -> Vec<String> {
        items(list).iter().map(|entry| cell(&entry[key])).collect()
    };
    let named = match name {
        "hooks" => parts(&details["hooks"], "point"),
        "events" => parts(&details["topics"], "topic"),
        "calls" => parts(&details["dependencies"], "id"),
        _ => Vec::new(),
    };
    let asked = match (asked, named.is_empty()) {
        (false, _) => String::new(),
        (true, true) => "yes".into(),
        (true, false) => named.join(", "),
    };
    [
        cell(&Value::String(name.to_owned())),
        asked,
        match at(grants, &format!("/granted/{name}")) {
            Value::Bool(true) => "yes".into(),
            other => cell(other),
        },
        cell(&used["used"]),
        cell(&used["denied"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn grants_are_told_in_a_table() {
        let grants = json!({
            "asked": ["hooks", "state"],
            "details": {"hooks": [{"point": "inlet"}], "topics": [], "dependencies": []},
            "granted": {"state": {}},
            "used": {"http": {"used": 0, "denied": 0}, "state": {"used": 4, "denied": 0}, "hooks": {"used": 0, "denied": 1}},
            "missing": [{"capability": "hooks", "to_grant": "grants.hooks = [\"inlet\"]"}],
        });
        assert_eq!(
            written(&grants),
            "CAPABILITY  ASKED  GRANTED  USED  DENIED\nstate       yes    {}       4     0\nhooks       inlet           0     1\n\nto grant what is missing, write in its settings:\n  grants.hooks = [\"inlet\"]\n"
        );
    }
}
