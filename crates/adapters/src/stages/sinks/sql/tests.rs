//! Records as rows, surveys of records, and what goes together in options.

use std::collections::HashMap;

use super::record::{row, text};
use super::survey::{Kind, Survey};
use super::*;

#[test]
fn a_line_that_is_no_record_says_why() {
    let columns = HashMap::from([("a".to_owned(), 0)]);
    let check = |line: &[u8], said: &str| {
        let found = row(line, &columns).unwrap_err();
        assert!(found.contains(said), "{found}");
    };
    check(b"", "EOF");
    check(b"{\"a\":1", "EOF");
    check(b"{\"a\":NaN}", "not a record");
    check(b"[1]", "expected a JSON object");
    check(b"5", "expected a JSON object");
    check(b"{\"a\":1} {}", "trailing");
    check(b"{\"a\":\"\xff\"}", "unicode");
}

#[test]
fn a_record_is_put_in_the_order_of_columns() {
    let columns = HashMap::from([("a".to_owned(), 0), ("b".to_owned(), 1)]);
    let line = br#"{"b":1.10,"x":0,"b":12345678901234567890123,"\u0061":"q\n"}"#;
    let row = row(line, &columns).unwrap();
    let values: Vec<_> = row.values.iter().map(|v| v.unwrap().get()).collect();
    assert_eq!(values, [r#""q\n""#, "12345678901234567890123"]);
    assert_eq!(text(row.values[0].unwrap()).unwrap(), "q\n");
    assert_eq!(row.extra, ["x"]);
}

#[test]
fn half_a_surrogate_pair_is_no_text() {
    let columns = HashMap::from([("a".to_owned(), 0)]);
    let said = row(br#"{"a":"\ud800"}"#, &columns).unwrap_err();
    assert!(said.contains("half of a surrogate pair"), "{said}");
}

#[test]
fn kinds_of_all_values_make_a_type() {
    let check = |values: &[&str], kind: Kind| {
        let lines: Vec<Bytes> = values
            .iter()
            .map(|v| Bytes::from(format!("{{\"f\":{v}}}")))
            .collect();
        let columns = BTreeMap::new();
        let wanted = Wanted {
            mode: Mode::Insert,
            key: &[],
            create: true,
            columns: &columns,
        };
        let survey = Survey::of(&lines);
        let made = survey.columns(&wanted, |kind| match kind {
            Kind::Integer => "Integer",
            Kind::BigInteger => "BigInteger",
            Kind::Number => "Number",
            Kind::Boolean => "Boolean",
            Kind::Text => "Text",
            Kind::Json => "Json",
        });
        assert_eq!(made.unwrap(), [("f", format!("{kind:?}"))], "{values:?}");
    };
    check(&["1", "null", "-9223372036854775808"], Kind::Integer);
    check(&["1", "9223372036854775808"], Kind::BigInteger);
    check(&["1", "1.5"], Kind::Number);
    check(&["9223372036854775808", "1e3"], Kind::Number);
    check(&["true", "null"], Kind::Boolean);
    check(&["true", "1"], Kind::Text);
    check(&["\"a\"", "1"], Kind::Text);
    check(&["null", "null"], Kind::Text);
    check(&["null", "[]", "\"a\"", "1"], Kind::Json);
    check(&["1", "\"broken"], Kind::Integer);
}

#[test]
fn options_that_do_not_go_together_are_all_named() {
    let check = |mode, key: &[&str], create, columns: &[(&str, &str)], expected: &[&str]| {
        let key: Vec<String> = key.iter().map(ToString::to_string).collect();
        let columns = columns
            .iter()
            .map(|(a, b)| (a.to_string(), b.to_string()))
            .collect();
        let wanted = Wanted {
            mode,
            key: &key,
            create,
            columns: &columns,
        };
        let bad = |given: &str| (given != "bad").then_some(()).ok_or("bad type".to_owned());
        let found = wanted.check(bad);
        let pointers: Vec<_> = found.iter().map(|m| m.pointer.as_str()).collect();
        assert_eq!(pointers, expected);
    };
    check(Mode::Insert, &[], false, &[], &[]);
    check(Mode::Upsert, &["a", "b"], false, &[], &[]);
    check(Mode::Insert, &["a"], true, &[("a", "text")], &[]);
    check(Mode::Upsert, &[], false, &[], &["/key"]);
    check(Mode::Insert, &["a"], false, &[], &["/key"]);
    check(Mode::Upsert, &["a", "a"], true, &[], &["/key/1"]);
    check(
        Mode::Upsert,
        &[],
        false,
        &[("a/b", "bad")],
        &["/key", "/columns", "/columns/a~1b"],
    );
}
