//! Changes to a document that an actor can be told: `{"set": {<pointer>: <value>}, "append": {<pointer>: <text>}}`. A pointer is a JSON pointer in which `-` is
//! the last entry of a list. `set` makes the last key if it is absent, `append` the text.

use weir_sdk::serde_json::Value;

/// Makes the changes. A pointer that leads nowhere changes nothing.
pub fn edit(document: &mut Value, changes: &Value) {
    let each = |key: &str| {
        changes
            .get(key)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    for (pointer, value) in each("set") {
        if let Some(place) = find(document, pointer) {
            *place = value.clone();
        }
    }
    for (pointer, text) in each("append") {
        let Some(place) = find(document, pointer) else {
            continue;
        };
        let old = place.as_str().unwrap_or_default();
        *place = format!("{old}{}", text.as_str().unwrap_or_default()).into();
    }
}

fn find<'document>(document: &'document mut Value, pointer: &str) -> Option<&'document mut Value> {
    let mut place = document;
    for part in pointer.split('/').skip(1) {
        place = match place {
            Value::Object(map) => map.entry(part).or_insert(Value::Null),
            Value::Array(list) => {
                let last = list.len().checked_sub(1);
                let index = if part == "-" { last } else { part.parse().ok() };
                list.get_mut(index?)?
            }
            _ => return None,
        };
    }
    Some(place)
}

#[cfg(test)]
mod tests {
    use weir_sdk::serde_json::json;

    use super::*;

    #[test]
    fn edits() {
        let mut document =
            json!({"body": {"messages": [{"content": "a"}, {"content": "b"}]}, "n": 1});
        edit(
            &mut document,
            &json!({"set": {"/m": 2, "/n/x": 3}, "append": {"/body/messages/-/content": "!", "/text": "t"}}),
        );
        assert_eq!(
            document,
            json!({"body": {"messages": [{"content": "a"}, {"content": "b!"}]}, "n": 1, "m": 2, "text": "t"})
        );
    }
}
