//! Native code and interpreter, side by side.

use super::*;

/// What a condition says of a record.
fn said(condition: &Condition, line: &str) -> Result<bool, String> {
    condition.holds(line.as_bytes(), &mut condition.slots())
}

fn check(source: &str, line: &str, expected: Option<bool>) {
    let native = Condition::compile(source).unwrap();
    let found = said(&native, line);
    assert_eq!(
        found.clone().ok(),
        expected,
        "{source} of {line}: {found:?}"
    );
    let interpreted = said(&Condition::interpreted(source).unwrap(), line);
    assert_eq!(
        interpreted.clone().ok(),
        expected,
        "{source} of {line}, interpreted: {interpreted:?}"
    );
}

#[test]
fn a_condition_that_is_none_is_said_to_be() {
    let check = |source: &str, expected: &str| {
        let said = Condition::compile(source).unwrap_err();
        assert!(said.contains(expected), "{source}: {said}");
    };
    check("status <", "no CEL");
    check("", "no CEL");
    check("status < 400 AND x", "no CEL");
    check("lower(name) == 'a'", "calls lower");
    check(&format!("a == '{}'", "x".repeat(5000)), "allowed are 4096");
    check(&vec!["a"; 500].join(" + "), "operations in one another");
    check(
        &format!("{}a{}", "(".repeat(1000), ")".repeat(1000)),
        "no CEL",
    );
    let loops = |n: usize| {
        (0..n).fold("true".to_owned(), |inner, i| {
            format!("tags.all(x{i}, {inner} && tags.size() > 0)")
        })
    };
    check(&loops(6), "loops");
}

#[test]
fn a_record_without_an_answer_is_told_why() {
    let check = |source: &str, line: &str, expected: &str| {
        let condition = Condition::compile(source).unwrap();
        assert_eq!(said(&condition, line).unwrap_err(), expected);
    };
    check(
        "status < 400",
        "{}",
        "the condition asks for status, and the record has no such field; `has(record.status)` asks whether it does",
    );
    check(
        "user.age > 1",
        r#"{"user":{"age":"x"}}"#,
        "the condition needs user.age to be a number, and it is a string",
    );
    check(
        "has(user.age)",
        r#"{"user":[]}"#,
        "the condition needs user to be an object, and it is a list",
    );
    check(
        "name.startsWith('a')",
        r#"{"name":null}"#,
        "the condition needs name to be a string, and it is null",
    );
    check(
        "active",
        r#"{"active":1}"#,
        "the condition needs active to be true or false, and it is a number",
    );
    check(
        "a + 1",
        r#"{"a":1}"#,
        "the condition has no answer: it gives int, and has to give true or false",
    );
    check("a", "{", "not JSON: it ends too early at byte 1");
    check(
        "a",
        "[1]",
        "not JSON: a record has to be an object; no `{` at byte 0",
    );
}

#[test]
fn what_a_condition_says() {
    let line = r#"{"status":200,"event":"view","user":{"name":"ana","age":33},"tags":["t1","t2"],"amount":12.5,"none":null,"on":true,"type":"x","odd key":1}"#;
    let check = |source: &str, expected: Option<bool>| check(source, line, expected);
    check(r#"status < 400 && event != "debug""#, Some(true));
    check("400 > status", Some(true));
    check("amount >= 12.5 && amount < 13", Some(true));
    check("amount == 12", Some(false));
    check("status == 200.0", Some(true));
    check("status in [200, 201]", Some(true));
    check("event in ['click']", Some(false));
    check(
        "user.name.startsWith('a') && user.name.endsWith(\"na\") && user.name.contains('n')",
        Some(true),
    );
    check("has(user.email)", Some(false));
    check("has(record.status) && !has(record.email)", Some(true));
    check(
        "record['odd key'] == 1 && record.user.age == 33",
        Some(true),
    );
    check("tags[0] == 't1' && user['name'] == 'ana'", Some(true));
    check("tags[7] == 't1'", None);
    check("none == null && status != null", Some(true));
    check("on && !(none == 1)", Some(true));
    check("type == 'x'", Some(true));
    check("status < 'x'", None);
    check("missing == 1 || on", Some(true));
    check("on || missing == 1", Some(true));
    check("missing == 1 && false", Some(false));
    check("missing == 1 && on", None);
    check(
        "status + 1 == 201 && size(tags) == 2 && user.name.matches('^a.a$')",
        Some(true),
    );
    check(
        "tags.exists(t, t == 't2') && tags.all(t, t.startsWith('t'))",
        Some(true),
    );
    check("'t1' in tags", Some(true));
    check("string(status) == '200' && int(amount) == 12", Some(true));
    check("status > 300 ? on : !on", Some(false));
}

#[test]
fn loops_are_bounded() {
    let condition = Condition::compile("tags.all(t, t in tags)").unwrap();
    let line = |n: usize| format!(r#"{{"tags":[{}]}}"#, vec!["1"; n].join(","));
    assert_eq!(said(&condition, &line(1_000)), Ok(true));
    let said_of_many = said(&condition, &line(10_000)).unwrap_err();
    assert!(said_of_many.contains("3162 are allowed"), "{said_of_many}");
    let own = Condition::compile("tags.all(t, t > 0)").unwrap();
    assert_eq!(said(&own, &line(10_000)), Ok(true));
}

/// Conditions of every native form, over every kind of constant and path.
fn conditions() -> Vec<String> {
    let constants = [
        "null",
        "true",
        "0",
        "1",
        "-1",
        "1u",
        "400",
        "1.0",
        "0.1",
        "18446744073709551615u",
        "9223372036854775807",
        "''",
        "'a'",
        "'debug'",
        "'Zoë 😀'",
        "'a\"b'",
    ];
    let paths = [
        "a",
        "a.b",
        "a[0]",
        "a.b.c",
        "record.a",
        "a['b']",
        "record['a'].b",
        "type",
    ];
    let mut sources = Vec::new();
    for path in paths {
        for constant in constants {
            for operator in ["==", "!=", "<", "<=", ">", ">="] {
                sources.push(format!("{path} {operator} {constant}"));
                sources.push(format!("{constant} {operator} {path}"));
            }
            sources.push(format!("{path} in [{constant}, 2, 'x']"));
            sources.push(format!("!({path} == {constant}) || {path}"));
            sources.push(format!("{path} == {constant} && has(a.b)"));
        }
        for text in ["''", "'a'", "'Z'", "'😀'"] {
            sources.push(format!(
                "{path}.startsWith({text}) || {path}.endsWith({text}) && {path}.contains({text})"
            ));
        }
        sources.push(path.to_owned());
        sources.push(format!("has({path}.b)"));
    }
    sources
}

/// Records with every kind of value, once and twice.
fn records() -> Vec<String> {
    let values = [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1",
        "1.0",
        "1.5",
        "400",
        "4e2",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "1e999",
        "0.1",
        "\"\"",
        "\"a\"",
        "\"\\u0061\"",
        "\"debug\"",
        "\"de\\u0062ug\"",
        "\"Zoë \\ud83d\\ude00\"",
        "\"a\\\"b\"",
        "[]",
        "[1]",
        "[\"a\"]",
        "{}",
        "{\"b\":1}",
        "{\"b\":\"a\"}",
        "{\"b\":null}",
        "{\"b\":{\"c\":\"ab\"}}",
    ];
    let mut lines = vec!["{}".to_owned()];
    for value in values {
        lines.push(format!(r#"{{"x":1,"a":{value}}}"#));
        lines.push(format!(r#"{{"type":{value},"a":7,"a":{value}}}"#));
    }
    lines
}

#[test]
fn both_ways_agree_on_generated_records() {
    let (sources, lines) = (conditions(), records());
    let mut answers = [0_u32; 3];
    for source in &sources {
        let native = Condition::compile(source).unwrap();
        let interpreted = Condition::interpreted(source).unwrap();
        for line in &lines {
            let (ours, theirs) = (said(&native, line), said(&interpreted, line));
            assert_eq!(
                ours.clone().ok(),
                theirs.clone().ok(),
                "{source} of {line}: {ours:?}, interpreted {theirs:?}"
            );
            answers[usize::from(ours.is_ok()) + usize::from(ours == Ok(true))] += 1;
        }
    }
    assert!(answers.iter().all(|&n| n > 1_000), "{answers:?}");
}
