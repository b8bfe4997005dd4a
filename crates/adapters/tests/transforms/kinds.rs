//! What each kind makes of records, bad ones first.

use super::*;

#[tokio::test]
async fn what_is_no_record_is_rejected_with_its_place() {
    let lines = "{\"a\":1}\n{\"a\":\n[1]\n\n{\"a\":\"\u{1}\"}\nx\n{\"a\":2}";
    let expected = [
        "1: not JSON: it ends too early at byte 5",
        "2: not JSON: a record has to be an object; no `{` at byte 0",
        "3: not JSON: it ends too early at byte 0",
        "4: not JSON: a control character in a string at byte 6",
        "5: not JSON: no value at byte 0",
    ];
    for (name, options) in [
        ("filter", json!({"where": "a > 0"})),
        ("map", json!({"fields": {"a": "a"}})),
        ("map", json!({"fields": {}, "rest": true})),
        ("convert", json!({"fields": {"a": "integer"}})),
        ("columns", json!({})),
        ("dedupe", json!({"keys": ["a"]})),
        ("jq", json!({"filter": "."})),
    ] {
        let (out, rejects) = run(name, &options, lines).await;
        assert_eq!(out, "{\"a\":1}\n{\"a\":2}\n", "{name}");
        assert_eq!(rejects, expected, "{name}");
    }
    let mut filter = open("filter", &json!({"where": "true"})).await.unwrap();
    let bytes = Batch {
        encoding: Encoding::Ndjson,
        count: 3,
        data: b"{\"a\":1}\n{\"a\":\"\xff\"}\n{\"a\":2}\n"
            .as_slice()
            .into(),
    };
    let gave = filter.apply(bytes).await.unwrap();
    assert_eq!(gave.batch.data.as_ref(), b"{\"a\":1}\n{\"a\":2}\n");
    assert_eq!(
        gave.rejects[0].reason,
        "not JSON: a byte that is no UTF-8 at byte 6"
    );
}

#[tokio::test]
async fn filter_lets_through_what_the_condition_holds_for() {
    check_misfit("filter", &json!({"where": "a <"}), "/where", "no CEL");
    let options = json!({"where": "status < 400 && event != \"debug\""});
    let lines = "{\"status\":200,\"event\":\"view\"}\n{\"status\":500,\"event\":\"view\"}\n{\"status\":200,\"event\":\"debug\"}\n{\"status\":\"x\",\"event\":\"view\"}\n";
    let (out, rejects) = run("filter", &options, lines).await;
    assert_eq!(out, "{\"status\":200,\"event\":\"view\"}\n");
    assert_eq!(
        rejects,
        [
            "1: ",
            "2: ",
            "3: the condition needs status to be a number, and it is a string"
        ]
    );
}

#[tokio::test]
async fn map_says_what_does_not_fit() {
    check_misfit(
        "map",
        &json!({"fields": {}}),
        "/fields",
        "every record would be empty",
    );
    check_misfit(
        "map",
        &json!({"fields": {"a": "b..c", "d": {"fields": {"e": "["}}}}),
        "/fields/a",
        "no path",
    );
    check_misfit(
        "map",
        &json!({"fields": {"d": {"fields": {"e": "["}}}}),
        "/fields/d/fields/e",
        "no path",
    );
    check_misfit(
        "map",
        &json!({"fields": {"a": {"path": "b", "value": 1}}}),
        "/fields/a",
        "one of `path`",
    );
    check_misfit(
        "map",
        &json!({"fields": {"a": {"path": "b", "apply": ["shout"]}}}),
        "/fields/a",
        "shout",
    );
    check_misfit(
        "map",
        &json!({"fields": {"a": {"nested": {}}}}),
        "/fields/a",
        "nested",
    );
}

#[tokio::test]
async fn map_makes_a_new_record() {
    let line = r#"{"id":7,"user":{"id":1,"name":"ana"},"tags":["a","b"],"amount":12.34,"none":null,"big":123456789012345678901234567890}"#;
    let map = |fields: Value, expected: &'static str| {
        check("map", json!({"fields": fields}), line, expected)
    };
    map(
        json!({"b": "user.name", "a": "/user/id", "t": "tags[1]", "g": "big"}),
        r#"{"b":"ana","a":1,"t":"b","g":123456789012345678901234567890}"#,
    )
    .await;
    map(json!({"a": "missing", "b": {"path": "none", "default": [1]}, "c": {"path": "x", "missing": "omit"}}), r#"{"a":null,"b":[1]}"#).await;
    map(
        json!({"a": {"path": "x", "missing": "reject"}}),
        "0: field a: the record has nothing at x",
    )
    .await;
    map(json!({"a": {"value": null}, "o": {"fields": {"id": "id", "in": {"fields": {"n": "user.name"}}}}}), r#"{"a":null,"o":{"id":7,"in":{"n":"ana"}}}"#).await;
    map(
        json!({"a": {"path": "user", "apply": ["upper"]}}),
        r#"0: field a: upper needs a string, and the record has {"id":1,"name":"ana"}"#,
    )
    .await;
    let rest = |fields: Value, expected: &'static str| {
        check(
            "map",
            json!({"fields": fields, "rest": true}),
            r#"{"a":1,"b":{"c":2},"d":3}"#,
            expected,
        )
    };
    rest(json!({"x": "a"}), r#"{"x":1,"b":{"c":2},"d":3}"#).await;
    rest(json!({"d": "b.c"}), r#"{"d":2,"a":1,"b":{"c":2}}"#).await;
}

/// A value, what `apply` does to it, and what comes of it.
async fn apply(value: &str, apply: Value, expected: &str) {
    let options = json!({"fields": {"v": {"path": "v", "apply": apply}}});
    let (out, rejects) = run("map", &options, &format!("{{\"v\":{value}}}\n")).await;
    let said = rejects.first().cloned().unwrap_or(out);
    let said = said.trim_end();
    let now = said.strip_prefix("{\"v\":");
    let now = now.map_or(said, |v| v.strip_suffix('}').unwrap());
    assert_eq!(now, expected, "{apply} of {value}");
}

#[tokio::test]
async fn map_makes_no_record_larger_than_one_may_be() {
    let grow = |times: usize| {
        let replace = json!({"replace": {"from": "a", "to": "aaaaaaaaaa"}});
        json!({"fields": {"x": {"path": "x", "apply": vec![replace; times]}}})
    };
    let line = format!("{{\"x\":\"{}\"}}\n", "a".repeat(100_000));
    let (out, rejects) = run("map", &grow(2), &line).await;
    assert_eq!((out.len(), rejects.len()), (10_000_009, 0));
    let long = "x".repeat(1_000);
    let with = |apply: Value| json!({"fields": {"x": {"path": "x", "apply": apply}}});
    for options in [
        grow(8),
        with(json!([{"split": ""}, {"join": long}])),
        with(json!([{"replace": {"from": "a", "to": long}}])),
    ] {
        let (out, rejects) = run("map", &options, &line).await;
        assert_eq!((out.as_str(), rejects.len()), ("", 1));
        let words = "larger than a record may be (`limits.record_bytes`)";
        assert!(rejects[0].contains(words), "{rejects:?}");
    }
    // Each field may be there, but not all of them.
    let fields = (0..200).map(|n| (format!("f{n}"), json!("x")));
    let fields: serde_json::Map<String, Value> = fields.collect();
    let (out, rejects) = run("map", &json!({"fields": fields}), &line).await;
    assert_eq!((out.as_str(), rejects.len()), ("", 1));
    assert!(
        rejects[0].contains("more than 16777216 bytes"),
        "{rejects:?}"
    );
}

#[tokio::test]
async fn of_equal_names_the_last_one_counts() {
    let line = "{\"a\":1,\"b\":0,\"a\":2}\n";
    for (name, options, expected) in [
        ("map", json!({"fields": {"a": "a"}}), "{\"a\":2}\n"),
        ("jq", json!({"filter": "{a}"}), "{\"a\":2}\n"),
        ("filter", json!({"where": "a == 2"}), line),
        ("filter", json!({"where": "a == 1"}), ""),
        ("filter", json!({"where": "record.a == 2"}), line),
    ] {
        let (out, _) = run(name, &options, line).await;
        assert_eq!(out, expected, "{name} {options}");
    }
    for (name, options) in [
        ("columns", json!({"keep": ["a"]})),
        ("columns", json!({"rename": {"a": "c"}})),
        ("convert", json!({"fields": {"a": "string"}})),
    ] {
        let (out, _) = run(name, &options, line).await;
        let value: Value = serde_json::from_str(&out).unwrap();
        let value = value.get("a").or(value.get("c")).unwrap();
        assert!(*value == json!(2) || *value == json!("2"), "{name}: {out}");
    }
    let twice = format!("{line}{{\"a\":2}}\n");
    let (out, _) = run("dedupe", &json!({"keys": ["a"]}), &twice).await;
    assert_eq!(out, line);
}

#[tokio::test]
async fn map_changes_texts_and_numbers() {
    apply(r#""Zo\u00eb ß""#, json!(["upper"]), r#""ZOË SS""#).await;
    apply(r#""ÀB""#, json!(["lower"]), r#""àb""#).await;
    apply(
        r#""  a ""#,
        json!(["trim", {"prefix": "<"}, {"suffix": "\">"}]),
        r#""<a\">""#,
    )
    .await;
    apply("12.34", json!([{"multiply": 100}, "round"]), "1234").await;
    apply("9999.99", json!([{"multiply": 100}, "round"]), "999999").await;
    apply("3", json!([{"multiply": 1.5}]), "4.5").await;
    apply(
        "9223372036854775807",
        json!([{"add": 1}]),
        "9.223372036854776e+18",
    )
    .await;
    apply("2.5", json!(["round"]), "3").await;
    apply("-2.5", json!(["round"]), "-3").await;
    apply("-2.5", json!(["floor"]), "-3").await;
    apply("-2.5", json!(["ceil", "abs"]), "2").await;
    apply(
        "-9223372036854775808",
        json!(["abs"]),
        "9223372036854775808",
    )
    .await;
    apply("null", json!(["upper", {"multiply": 2}]), "null").await;
}

#[tokio::test]
async fn map_changes_types() {
    apply(r#""日本語""#, json!(["length"]), "3").await;
    apply(r#"{"a":1}"#, json!(["length"]), "1").await;
    apply("1.50", json!(["string"]), r#""1.50""#).await;
    apply(r#"[1, 2]"#, json!(["string"]), r#""[1, 2]""#).await;
    apply(r#"" 42 ""#, json!(["integer"]), "42").await;
    apply("4.0", json!(["integer"]), "4").await;
    apply("4.5", json!(["integer"]), "0: field v: integer needs a whole number of 64 bits, or a string that holds one, and the record has 4.5").await;
    apply(r#""1.5e3""#, json!(["number"]), "1500").await;
    apply(
        r#""NaN""#,
        json!(["number"]),
        "0: field v: number needs a number, or a string that holds one, and the record has \"NaN\"",
    )
    .await;
    apply(r#""true""#, json!(["boolean"]), "true").await;
    apply("0", json!(["boolean"]), "false").await;
    apply(
        r#""a-b-a""#,
        json!([{"replace": {"from": "a", "to": "x"}}]),
        r#""x-b-x""#,
    )
    .await;
    apply(r#""a,b""#, json!([{"split": ","}]), r#"["a","b"]"#).await;
    apply(
        r#"["a",1,true]"#,
        json!([{"join": "-"}, "upper"]),
        r#""A-1-TRUE""#,
    )
    .await;
    apply(
        "1e308",
        json!([{"multiply": 10}]),
        "0: field v: its value is no finite number any more",
    )
    .await;
}

#[tokio::test]
async fn convert_says_what_does_not_fit() {
    check_misfit(
        "convert",
        &json!({"fields": {"a": "float"}}),
        "/fields/a",
        "float",
    );
    check_misfit(
        "convert",
        &json!({"fields": {"a": {"type": "integer", "format": "%d"}}}),
        "/fields/a/format",
        "goes with",
    );
    check_misfit(
        "convert",
        &json!({"fields": {"a": {"type": "date", "format": "day"}}}),
        "/fields/a/format",
        "%d.%m.%Y",
    );
    check_misfit(
        "convert",
        &json!({"fields": {"a": {"type": "date", "format": "%Q"}}}),
        "/fields/a/format",
        "no format",
    );
    check_misfit(
        "convert",
        &json!({"fields": {"a": {"type": "timestamp", "zone": "Mars/Base"}}}),
        "/fields/a/zone",
        "Europe/Berlin",
    );
    check_misfit(
        "convert",
        &json!({"fields": {"a": {"type": "date", "to": "unix"}}}),
        "/fields/a/to",
        "timestamp",
    );
    check_misfit(
        "convert",
        &json!({"fields": {"a": "json", "a.b": "string"}}),
        "/fields/a.b",
        "in one another",
    );
    check_misfit(
        "convert",
        &json!({"fields": {"a": "json"}, "failed": "f"}),
        "/failed",
        "lenient",
    );
}

#[tokio::test]
async fn convert_makes_values_what_they_are_to_be() {
    let to = |conversion: Value, value: &'static str, expected: &'static str| async move {
        let (out, rejects) = run(
            "convert",
            &json!({"fields": {"o.v": conversion}}),
            &format!("{{\"o\":{{\"v\": {value} }},\"x\":1}}\n"),
        )
        .await;
        let said = rejects.first().cloned().unwrap_or(out);
        let said = said.trim_end();
        let value_now = said
            .strip_prefix("{\"o\":{\"v\": ")
            .map_or(said, |v| v.strip_suffix(" },\"x\":1}").unwrap());
        assert_eq!(value_now, expected, "{value} to {conversion}");
    };
    for (value, expected) in [
        ("\"12\"", "12"),
        ("\" +007 \"", "7"),
        ("2.0", "2"),
        ("1e3", "1000"),
        (
            "\"123456789012345678901234567890\"",
            "123456789012345678901234567890",
        ),
        ("null", "null"),
    ] {
        to(json!("integer"), value, expected).await;
    }
    to(
        json!("integer"),
        "\"1,234\"",
        "0: o.v: \"1,234\" is no integer",
    )
    .await;
    to(json!("integer"), "1.5", "0: o.v: 1.5 is no integer").await;
    to(json!("integer"), "true", "0: o.v: true is no integer").await;
    for (value, expected) in [
        ("\"1.50\"", "1.50"),
        ("\".5\"", "0.5"),
        ("\"+5\"", "5"),
        ("7", "7"),
    ] {
        to(json!("number"), value, expected).await;
    }
    to(json!("number"), "\"inf\"", "0: o.v: \"inf\" is no number").await;
    to(json!("string"), "1.50", "\"1.50\"").await;
    to(
        json!("string"),
        "{\"a\":\"b\"}",
        "\"{\\\"a\\\":\\\"b\\\"}\"",
    )
    .await;
    for (value, expected) in [
        ("\"Yes\"", "true"),
        ("\"off\"", "false"),
        ("1", "true"),
        ("0", "false"),
        ("true", "true"),
    ] {
        to(json!("boolean"), value, expected).await;
    }
    to(json!("boolean"), "2", "0: o.v: 2 is no boolean").await;
    to(json!("json"), "\"{\\\"a\\\":\\n[1]}\"", "{\"a\":[1]}").await;
    to(json!("json"), "\"{\"", "0: o.v: \"{\" is no JSON").await;
}

/// A value on its own, and what a conversion makes of it.
async fn date(conversion: Value, value: &str, expected: &str) {
    let options = json!({"fields": {"v": conversion}});
    let (out, rejects) = run("convert", &options, &format!("{{\"v\":{value}}}\n")).await;
    let said = rejects.first().cloned().unwrap_or(out);
    let said = said.trim_end();
    let now = said.strip_prefix("{\"v\":");
    let now = now.map_or(said, |v| v.strip_suffix('}').unwrap());
    assert_eq!(now, expected, "{value} to {conversion}");
}

#[tokio::test]
async fn convert_reads_dates() {
    let berlin =
        |format: &str| json!({"type": "timestamp", "format": format, "zone": "Europe/Berlin"});
    date(
        json!("timestamp"),
        "\"2026-01-31T12:00:00+01:00\"",
        "\"2026-01-31T11:00:00Z\"",
    )
    .await;
    date(
        json!("timestamp"),
        "\"2026-01-31 12:00\"",
        "\"2026-01-31T12:00:00Z\"",
    )
    .await;
    date(
        json!("timestamp"),
        "\"2026-01-31\"",
        "\"2026-01-31T00:00:00Z\"",
    )
    .await;
    date(json!("timestamp"), "1769860800", "\"2026-01-31T12:00:00Z\"").await;
    date(
        json!("timestamp"),
        "1769860800.5",
        "\"2026-01-31T12:00:00.5Z\"",
    )
    .await;
    date(
        json!({"type": "timestamp", "format": "unix_ms"}),
        "\"1769860800250\"",
        "\"2026-01-31T12:00:00.25Z\"",
    )
    .await;
    date(
        berlin("%d.%m.%Y %H:%M"),
        "\"31.01.2026 12:00\"",
        "\"2026-01-31T11:00:00Z\"",
    )
    .await;
    // Clocks go forward at 2:00 and back at 3:00.
    date(
        berlin("%d.%m.%Y %H:%M"),
        "\"29.03.2026 02:30\"",
        "\"2026-03-29T01:30:00Z\"",
    )
    .await;
    date(
        berlin("%d.%m.%Y %H:%M"),
        "\"25.10.2026 02:30\"",
        "\"2026-10-25T00:30:00Z\"",
    )
    .await;
    date(
        berlin("%d.%m.%Y %H:%M"),
        "\"31.02.2026 12:00\"",
        "0: v: \"31.02.2026 12:00\" is no timestamp written as %d.%m.%Y %H:%M",
    )
    .await;
}

#[tokio::test]
async fn convert_writes_dates() {
    date(
        json!({"type": "timestamp", "to": "unix"}),
        "\"2026-01-31T12:00:00Z\"",
        "1769860800",
    )
    .await;
    date(
        json!({"type": "timestamp", "to": "unix_ms"}),
        "\"2026-01-31T12:00:00.5Z\"",
        "1769860800500",
    )
    .await;
    date(
        json!({"type": "timestamp", "to": "%Y-%m-%d %H:%M", "zone": "Asia/Tokyo"}),
        "\"2026-01-31T23:30:00Z\"",
        "\"2026-02-01 08:30\"",
    )
    .await;
    date(json!("date"), "\"2026-01-31\"", "\"2026-01-31\"").await;
    date(
        json!({"type": "date", "zone": "Asia/Tokyo"}),
        "\"2026-01-31T23:30:00Z\"",
        "\"2026-02-01\"",
    )
    .await;
    date(
        json!({"type": "date", "format": "%m/%d/%Y", "to": "%d.%m.%y"}),
        "\"01/31/2026\"",
        "\"31.01.26\"",
    )
    .await;
    date(
        json!({"type": "date", "format": "%Y%m%d"}),
        "20260131",
        "\"2026-01-31\"",
    )
    .await;
    date(json!("date"), "\"soon\"", "0: v: \"soon\" is no date").await;
    date(json!("date"), "true", "0: v: true is no date").await;
}

#[tokio::test]
async fn convert_can_go_on_with_null() {
    let options = json!({"fields": {"a": "integer", "b": "date", "c": "number"}, "mode": "lenient", "failed": "bad"});
    check(
        "convert",
        options.clone(),
        r#"{"a":"x","b":"2026-01-31","c":"y"}"#,
        r#"{"a":null,"b":"2026-01-31","c":null,"bad":["a","c"]}"#,
    )
    .await;
    check(
        "convert",
        options.clone(),
        r#"{"bad":1,"a":"x"}"#,
        r#"{"bad":["a"],"a":null}"#,
    )
    .await;
    check(
        "convert",
        options,
        r#"{"a":"1","bad":1}"#,
        r#"{"a":1,"bad":1}"#,
    )
    .await;
}

#[tokio::test]
async fn columns_are_kept_dropped_renamed_added_and_ordered() {
    check_misfit(
        "columns",
        &json!({"keep": ["a"], "drop": ["b"]}),
        "/drop",
        "do not go together",
    );
    check_misfit(
        "columns",
        &json!({"rename": {"a": "x", "b": "x"}}),
        "/rename/b",
        "two fields",
    );
    check_misfit(
        "columns",
        &json!({"drop": ["a"], "rename": {"a": "x"}}),
        "/rename/a",
        "dropped before",
    );
    check_misfit(
        "columns",
        &json!({"reorder": ["a", "a"]}),
        "/reorder/1",
        "twice",
    );
    let line = r#"{"a":1,"b": [2] ,"c":"\u00e9","d":{"e":null}}"#;
    let columns =
        |options: Value, expected: &'static str| check("columns", options, line, expected);
    columns(json!({"keep": ["c", "a", "z"]}), r#"{"a":1,"c":"\u00e9"}"#).await;
    columns(
        json!({"drop": ["b", "d"], "rename": {"c": "é"}}),
        r#"{"a":1,"é":"\u00e9"}"#,
    )
    .await;
    columns(
        json!({"keep": ["a", "b"], "add": {"a": 7, "z": {"x": 1}}}),
        r#"{"a":1,"b":[2],"z":{"x":1}}"#,
    )
    .await;
    columns(
        json!({"reorder": ["z", "d", "b"], "add": {"z": 0, "y": 1}}),
        r#"{"z":0,"d":{"e":null},"b":[2],"a":1,"c":"\u00e9","y":1}"#,
    )
    .await;
    columns(
        json!({"rename": {"a": "b"}}),
        "0: a field would be renamed to b, and the record has one of that name",
    )
    .await;
    columns(
        json!({"rename": {"a": "b", "b": "a"}}),
        r#"{"b":1,"a":[2],"c":"\u00e9","d":{"e":null}}"#,
    )
    .await;
}

#[tokio::test]
async fn dedupe_keeps_the_first_of_each_key() {
    check_misfit("dedupe", &json!({"keys": ["a."]}), "/keys/0", "no path");
    check_misfit("dedupe", &json!({"max_keys": 1}), "/max_keys", "from 2");
    assert!(kind("dedupe").sees_all(&json!({})));
    let lines = [
        r#"{"k":1,"x":1}"#,
        r#"{"k":1.0,"x":2}"#,
        r#"{"k":"1"}"#,
        r#"{"k":"\u0031"}"#,
        r#"{"k":null}"#,
        "{}",
        r#"{"k":{"a":1,"b":[2]}}"#,
        r#"{"k":{"b":[2e0],"a":1}}"#,
        r#"{"k":10e-1}"#,
    ];
    let (out, rejects) = run(
        "dedupe",
        &json!({"keys": ["k"]}),
        &(lines.join("\n") + "\n"),
    )
    .await;
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        [lines[0], lines[2], lines[4], lines[6]]
    );
    assert_eq!(rejects, ["1: ", "3: ", "5: ", "7: ", "8: "]);
    let (out, _) = run(
        "dedupe",
        &json!({}),
        "{\"a\":1,\"b\":2}\n{\"b\":2, \"a\":1}\n{\"a\":1}\n",
    )
    .await;
    assert_eq!(out, "{\"a\":1,\"b\":2}\n{\"a\":1}\n");
    let (out, _) = run(
        "dedupe",
        &json!({"keys": ["a", "b"]}),
        "{\"a\":\"x\",\"b\":\"yz\"}\n{\"a\":\"xy\",\"b\":\"z\"}\n",
    )
    .await;
    assert_eq!(out.lines().count(), 2);
}

#[tokio::test]
async fn dedupe_is_bounded() {
    let lines = |from: u32, to: u32| {
        (from..to)
            .map(|n| format!("{{\"k\":{n}}}\n"))
            .collect::<String>()
    };
    let mut fails = open("dedupe", &json!({"keys": ["k"], "max_keys": 10}))
        .await
        .unwrap();
    assert_eq!(
        fails.apply(batch(&lines(0, 10))).await.unwrap().batch.count,
        10
    );
    assert_eq!(
        fails.apply(batch(&lines(0, 10))).await.unwrap().batch.count,
        0
    );
    let Err(Fault::Invalid(said)) = fails.apply(batch(&lines(10, 11))).await else {
        panic!("it takes more than it may");
    };
    assert!(said.contains("more than 10 different keys"), "{said}");
    let mut forgets = open(
        "dedupe",
        &json!({"keys": ["k"], "max_keys": 10, "when_full": "forget"}),
    )
    .await
    .unwrap();
    assert_eq!(
        forgets
            .apply(batch(&lines(0, 100)))
            .await
            .unwrap()
            .batch
            .count,
        100
    );
    assert_eq!(
        forgets
            .apply(batch(&lines(95, 100)))
            .await
            .unwrap()
            .batch
            .count,
        0
    );
    assert_eq!(
        forgets
            .apply(batch(&lines(0, 5)))
            .await
            .unwrap()
            .batch
            .count,
        5
    );
}
