//! Manifests that are too much, made when they are asked for: they would not fit into the room of a stamped one.

use weir_sdk::serde_json::{Map, Value, json};

/// If the manifest says `"does": {"bomb": {<key>: <how many>}}`, fills that key, and says so. Lists get as many entries, texts as many
/// characters, and `deep` as many levels of an object; `same_hooks` is one hook so often.
pub fn expand(manifest: &mut Map<String, Value>) -> bool {
    let Some(bomb) = manifest
        .get("does")
        .and_then(|does| does.get("bomb"))
        .and_then(Value::as_object)
        .cloned()
    else {
        return false;
    };
    for (key, many) in bomb {
        let many = many.as_u64().unwrap_or_default();
        let name = if key == "same_hooks" { "hooks" } else { &key };
        manifest.insert(name.to_owned(), entries(&key, many));
    }
    true
}

fn entries(key: &str, many: u64) -> Value {
    let list = |entry: fn(u64) -> Value| (0..many).map(entry).collect();
    match key {
        "hooks" => list(|number| json!({"point": format!("p{number}/x"), "mode": "before"})),
        "same_hooks" => list(|_| json!({"point": "chat_request", "mode": "before"})),
        "topics" => list(|number| json!(format!("t{number}.*"))),
        "dependencies" => list(|number| json!({"id": format!("d{number}"), "optional": true})),
        "points" => {
            list(|number| json!({"name": format!("p{number}"), "schema": {"type": "object"}}))
        }
        "provides" => (0..many)
            .map(|number| (format!("c{number}"), json!(true)))
            .collect(),
        "deep" => (0..many).fold(json!(1), |inner, _| json!({"a": inner})),
        _ => "x"
            .repeat(usize::try_from(many).unwrap_or(usize::MAX))
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_what_it_is_told() {
        let mut manifest =
            Map::from_iter([("does".to_owned(), json!({"bomb": {"topics": 3, "name": 5}}))]);
        assert!(expand(&mut manifest));
        assert_eq!(
            manifest.get("topics"),
            Some(&json!(["t0.*", "t1.*", "t2.*"]))
        );
        assert_eq!(manifest.get("name"), Some(&json!("xxxxx")));
        assert!(!expand(&mut Map::new()));
    }
}
