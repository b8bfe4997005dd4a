//! A spec's text as a JSON value, and the line and column of each of its keys and values. YAML 1.2, and so JSON, within bounds. What the keys mean is decided
//! elsewhere.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Error, Location, Spanned};

use super::MAX_BYTES;
use super::problems::Finding;
use crate::templates::pointer;

/// Levels of lists and maps.
const MAX_DEPTH: usize = 48;
/// Values and keys, aliases followed.
const MAX_NODES: usize = 100_000;
/// Values and keys that stand where an alias (`*name`) is written.
const MAX_REPEATED: usize = 20_000;

/// A line and a column, both from 1.
pub(super) type Place = (u64, u64);

/// A document.
#[derive(Debug, Default)]
pub(super) struct Located {
    pub(super) value: Value,
    places: HashMap<String, Places>,
}

#[derive(Debug, Clone, Copy)]
struct Places {
    /// Of the key, or of the value where it has none.
    key: Place,
    value: Place,
}

impl Located {
    /// Where a finding belongs: at its key or value, or at what holds it.
    pub(super) fn place(&self, finding: &Finding) -> Place {
        let mut pointer = finding.pointer.as_str();
        loop {
            if let Some(places) = self.places.get(pointer) {
                let exact = pointer.len() == finding.pointer.len();
                // What is wrong below, with no place of its own, is shown where its holder is named.
                return if exact && !finding.on_key {
                    places.value
                } else {
                    places.key
                };
            }
            match pointer.rsplit_once('/') {
                Some((parent, _)) => pointer = parent,
                None => return (1, 1),
            }
        }
    }
}

/// Reads a text.
///
/// # Errors
/// Why it is no YAML and no JSON, or which bound it goes over, and where.
pub(super) fn read(text: &str) -> Result<(Located, Vec<Finding>), (Place, String)> {
    if text.len() > MAX_BYTES {
        let size = text.len();
        return Err((
            (1, 1),
            format!("has {size} bytes; at most {MAX_BYTES} are allowed"),
        ));
    }
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: MAX_NODES * 2,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPEATED,
        },
    };
    let root: Spanned<Node> = serde_saphyr::from_str_with_options(text, options).map_err(|e| {
        let place = e.location().map_or((1, 1), place);
        (place, sentence(&e))
    })?;
    let mut unfolding = Unfolding::default();
    let value = unfolding.value(root, String::new(), None);
    let located = Located {
        value,
        places: unfolding.places,
    };
    Ok((located, unfolding.findings))
}

/// What the parser says, on one line and without the place: that stands before it.
fn sentence(error: &Error) -> String {
    let own = match error.without_snippet() {
        Error::MultipleDocuments { .. } => {
            Some("there is a second document (`---`); a file holds one pipeline")
        }
        Error::UnknownAnchor { .. } => Some("`*` stands before a name that no `&` gives"),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            Some("what `&` names holds itself (`*`)")
        }
        Error::NonFiniteFloat { .. } => Some("a number without a value, which JSON does not have"),
        _ => None,
    };
    if let Some(own) = own {
        return format!("cannot be read: {own}");
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let plain = first.split(" at line ").next().unwrap_or(first);
    let plain = plain.strip_prefix("error: ").unwrap_or(plain);
    let plain = plain.split_once(": ").map_or(plain, |(head, rest)| {
        if head.starts_with("line ") {
            rest
        } else {
            plain
        }
    });
    format!("cannot be read: {}", plain.trim_end_matches([',', ' ']))
}

fn place(location: Location) -> Place {
    (location.line().max(1), location.column().max(1))
}

/// A value as it is written, keys that come twice included.
enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has, too")
    }

    fn visit_bool<E>(self, given: bool) -> Result<Node, E> {
        Ok(Node::Bool(given))
    }

    fn visit_i64<E>(self, given: i64) -> Result<Node, E> {
        Ok(Node::Number(given.into()))
    }

    fn visit_u64<E>(self, given: u64) -> Result<Node, E> {
        Ok(Node::Number(given.into()))
    }

    fn visit_i128<E: serde::de::Error>(self, given: i128) -> Result<Node, E> {
        let number = given.to_string().parse();
        number.map(Node::Number).map_err(E::custom)
    }

    fn visit_u128<E: serde::de::Error>(self, given: u128) -> Result<Node, E> {
        let number = given.to_string().parse();
        number.map(Node::Number).map_err(E::custom)
    }

    fn visit_f64<E: serde::de::Error>(self, given: f64) -> Result<Node, E> {
        let number = Number::from_f64(given);
        let number = number.ok_or_else(|| E::custom("a number without a value"))?;
        Ok(Node::Number(number))
    }

    fn visit_str<E>(self, given: &str) -> Result<Node, E> {
        Ok(Node::Text(given.into()))
    }

    fn visit_string<E>(self, given: String) -> Result<Node, E> {
        Ok(Node::Text(given))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Map(members))
    }
}

/// Turns nodes into a value and places.
#[derive(Default)]
struct Unfolding {
    places: HashMap<String, Places>,
    findings: Vec<Finding>,
}

impl Unfolding {
    /// The bound of depth holds for the recursion here.
    fn value(&mut self, node: Spanned<Node>, at: String, key: Option<Place>) -> Value {
        let value_at = place(node.referenced);
        let places = Places {
            key: key.unwrap_or(value_at),
            value: value_at,
        };
        let value = match node.value {
            Node::Null => Value::Null,
            Node::Bool(b) => Value::Bool(b),
            Node::Number(n) => Value::Number(n),
            Node::Text(text) => Value::String(text),
            Node::List(items) => {
                let items = items.into_iter().enumerate();
                items
                    .map(|(i, item)| self.value(item, format!("{at}/{i}"), None))
                    .collect()
            }
            Node::Map(members) => self.map(members, &at),
        };
        self.places.insert(at, places);
        value
    }

    fn map(&mut self, members: Vec<(Spanned<String>, Spanned<Node>)>, at: &str) -> Value {
        let mut map = Map::new();
        for (key, node) in members {
            let (name, key_at) = (key.value, place(key.referenced));
            let at = pointer(at, &name);
            if let Some(first) = self.places.get(&at) {
                let message = format!(
                    "the key `{name}` is written twice, first in line {}",
                    first.key.0
                );
                self.findings.push(Finding::placed(at, key_at, message));
                continue;
            }
            let value = self.value(node, at, Some(key_at));
            map.insert(name, value);
        }
        Value::Object(map)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_those_of_json() {
        let check = |text: &str, expected: Value| match read(text) {
            Ok((located, _)) => assert_eq!(located.value, expected, "{text}"),
            Err((_, said)) => panic!("{text}: {said}"),
        };
        check(
            "a: [1, -2.5, x, 'y', true, no, ~]",
            json!({"a": [1, -2.5, "x", "y", true, "no", null]}),
        );
        check(
            "a: 01234\nb: 1_000\nc: 2026-11-22",
            json!({"a": "01234", "b": "1_000", "c": "2026-11-22"}),
        );
        check(
            "{\n\t\"a\": {\"b\": \"\\u00fc\"},\n\t\"c\": []\n}\n",
            json!({"a": {"b": "ü"}, "c": []}),
        );
        check(
            "x: &x {k: 1}\ny:\n  <<: *x\n  l: 2",
            json!({"x": {"k": 1}, "y": {"k": 1, "l": 2}}),
        );
        check("1: a\ntrue: b", json!({"1": "a", "true": "b"}));
        check("a: |\n  two\n  lines\n", json!({"a": "two\nlines\n"}));
        check("", Value::Null);
    }

    #[test]
    fn keys_and_values_have_places() {
        let (located, _) = read("a:\n  b: [10,\n    ü, {c: x}]\n").unwrap();
        let check = |pointer: &str, on_key: bool, expected: Place| {
            let mut finding = Finding::value(pointer, "");
            finding.on_key = on_key;
            assert_eq!(located.place(&finding), expected, "{pointer}");
        };
        check("/a", true, (1, 1));
        check("/a/b", true, (2, 3));
        check("/a/b", false, (2, 6));
        check("/a/b/1", false, (3, 5));
        check("/a/b/2/c", false, (3, 12));
        check("/a/b/2/missing", false, (3, 8));
        check("/elsewhere", false, (1, 1));
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        let bomb: String = (1..20).fold("a0: &a0 [x, x]\n".to_owned(), |text, i| {
            let last = i - 1;
            text + &format!("a{i}: &a{i} [*a{last}, *a{last}, *a{last}]\n")
        });
        for (text, line, words) in [
            ("a: 1\nb: [1, 2\nc: 3\n", 3, ""),
            ("a: \"x\nb: 1", 1, ""),
            ("a: 1\n---\nb: 2", 0, "document"),
            ("a: !secret x", 1, "tag"),
            ("a: *nowhere", 1, "no `&` gives"),
            ("a: .nan", 1, ""),
            (&"[".repeat(10_000), 1, ""),
            (&bomb, 0, ""),
            (&"x".repeat((1 << 20) + 1), 1, "1048576"),
            (&format!("a: [{}]", "x,".repeat(200_000)), 0, ""),
        ] {
            let start: String = text.chars().take(40).collect();
            match read(text) {
                Ok(_) => panic!("{start} was read"),
                Err((place, said)) => {
                    println!("{start:?}: {place:?}: {said}");
                    assert!(line == 0 || place.0 == line, "{start}: {place:?}");
                    assert!(said.contains(words), "{start}: {said}");
                }
            }
        }
    }

    #[test]
    fn all_keys_that_come_twice_are_found() {
        let (located, findings) = read("a: 1\nb: {c: 1, c: 2}\na: 2\n").unwrap();
        assert_eq!(located.value, json!({"a": 1, "b": {"c": 1}}));
        let places: Vec<_> = findings.iter().map(|f| f.place).collect();
        assert_eq!(places, [Some((2, 11)), Some((3, 1))]);
    }
}
