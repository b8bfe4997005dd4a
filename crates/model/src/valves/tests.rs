//! Valves against recordings of pydantic 2.7 (`tests/valves/record.py`) and of Open WebUI Pipelines, and against what schemars writes.

use super::{Layer, Spec};
use serde_json::{Map, Value, json};

fn spec(value: &Value) -> Spec {
    Spec::parse(&value.to_string()).unwrap_or_else(|e| panic!("{e}: {value}"))
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

/// Numbers are the same if their values are: Python writes 1e+20, we write 1e20.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let float = |n: &serde_json::Number| n.to_string().contains(['.', 'e', 'E']);
            x == y || (float(x) == float(y) && x.as_f64() == y.as_f64())
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|((j, x), (k, y))| j == k && same(x, y))
        }
        _ => a == b,
    }
}

/// What came of it, in the shape of the recording.
fn outcome(spec: &Spec, given: &Value) -> Value {
    match spec.fit(given.as_object().unwrap()) {
        Ok(values) => json!({ "values": values }),
        Err(errors) => {
            json!({ "errors": errors.iter().map(|e| json!({"loc": e.loc, "kind": e.kind, "message": e.message})).collect::<Vec<_>>() })
        }
    }
}

#[test]
fn values_and_errors_are_pydantics() {
    let recorded: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/valves/pydantic.json")).unwrap();
    let mut differences = Vec::new();
    let mut cases = 0;
    for entry in &recorded {
        let spec = spec(&entry["spec"]);
        for case in entry["cases"].as_array().unwrap() {
            cases += 1;
            let mut expected = case.clone();
            map_mut(&mut expected).shift_remove("given");
            let got = outcome(&spec, &case["given"]);
            if !same(&got, &expected) {
                differences.push(format!("{}: got {got}, pydantic {expected}", case["given"]));
            }
        }
    }
    assert!(cases > 1000, "{cases}");
    assert!(
        differences.is_empty(),
        "{} of {cases}:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn map_mut(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().unwrap()
}

#[test]
fn specs_look_as_pydantics() {
    let recorded: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/valves/pydantic.json")).unwrap();
    for entry in &recorded {
        // pydantic's model_json_schema sorts in the same way; text equality checks the order too.
        assert_eq!(
            spec(&entry["spec"]).shown().to_string(),
            entry["spec"].to_string()
        );
    }
}

/// The spec, defaults and updates recorded from Open WebUI Pipelines (its `valves_all` pipeline).
const ALL: &str = r##"{"description":"All the kinds of valve that the examples use.","properties":{"API_KEY":{"default":"","description":"The key","title":"Api Key","type":"string"},"HOST":{"title":"Host","type":"string"},"PORT":{"default":5006,"title":"Port","type":"integer"},"temperature":{"default":0.7,"maximum":2.0,"minimum":0.0,"title":"Temperature","type":"number"},"enabled":{"default":true,"title":"Enabled","type":"boolean"},"mode":{"default":"fast","enum":["fast","slow"],"title":"Mode","type":"string"},"tags":{"default":["a"],"items":{"type":"string"},"title":"Tags","type":"array"},"limit":{"anyOf":[{"type":"integer"},{"type":"null"}],"default":null,"title":"Limit"},"headers":{"additionalProperties":{"type":"string"},"default":{},"title":"Headers","type":"object"},"either":{"anyOf":[{"type":"integer"},{"type":"string"}],"default":1,"title":"Either"}},"required":["HOST"],"title":"Valves","type":"object"}"##;

/// The same valves as schemars 1 writes them for a Rust struct.
const FROM_RUST: &str = r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","title":"AllValves","description":"All the kinds of valve that the examples use.","type":"object","properties":{
  "API_KEY":{"description":"The key","type":"string","default":""},
  "HOST":{"type":"string"},
  "PORT":{"type":"integer","format":"int64","default":5006},
  "temperature":{"type":"number","format":"double","minimum":0,"maximum":2,"default":0.7},
  "enabled":{"type":"boolean","default":true},
  "mode":{"$ref":"#/$defs/Mode","default":"fast"},
  "tags":{"type":"array","items":{"type":"string"},"default":["a"]},
  "limit":{"type":["integer","null"],"format":"int64"},
  "headers":{"type":"object","additionalProperties":{"type":"string"},"default":{}},
  "either":{"anyOf":[{"type":"integer","format":"int64"},{"type":"string"}],"default":1}},
  "required":["HOST"],"$defs":{"Mode":{"oneOf":[{"description":"Quick","type":"string","const":"fast"},{"description":"Slow","type":"string","const":"slow"}]}}}"##;

#[test]
fn a_schema_from_rust_is_shown_as_pydantics() {
    assert_eq!(Spec::parse(FROM_RUST).unwrap().shown().to_string(), ALL);
    assert_eq!(Spec::parse(ALL).unwrap().shown().to_string(), ALL);
    let empty = r#"{"properties":{},"title":"Valves","type":"object"}"#;
    assert_eq!(
        Spec::parse(r#"{"type":"object","title":"X"}"#)
            .unwrap()
            .shown()
            .to_string(),
        empty
    );
}

#[test]
fn recorded_updates() {
    let spec = Spec::parse(FROM_RUST).unwrap();
    let check = |given: Value, expected: &str| {
        assert_eq!(json!(spec.fit(&map(given)).unwrap()).to_string(), expected);
    };
    check(
        json!({"API_KEY": "k", "HOST": "h", "PORT": "7000", "temperature": 1, "enabled": "yes", "mode": "slow", "tags": ["x", "y"],
            "limit": 3, "headers": {"a": "b"}, "either": "z", "unknown": 1}),
        r#"{"API_KEY":"k","HOST":"h","PORT":7000,"temperature":1.0,"enabled":true,"mode":"slow","tags":["x","y"],"limit":3,"headers":{"a":"b"},"either":"z"}"#,
    );
    check(
        json!({"HOST": "h2"}),
        r#"{"API_KEY":"","HOST":"h2","PORT":5006,"temperature":0.7,"enabled":true,"mode":"fast","tags":["a"],"limit":null,"headers":{},"either":1}"#,
    );
    let errors = spec
        .fit(&map(
            json!({"HOST": "h", "PORT": "abc", "mode": "medium", "temperature": 3}),
        ))
        .unwrap_err();
    let texts: Vec<_> = errors.iter().map(|e| (e.to_string(), e.kind)).collect();
    assert_eq!(
        texts,
        [
            (
                "PORT: Input should be a valid integer, unable to parse string as an integer"
                    .to_string(),
                "int_parsing"
            ),
            (
                "temperature: Input should be less than or equal to 2".into(),
                "less_than_equal"
            ),
            (
                "mode: Input should be 'fast' or 'slow'".into(),
                "literal_error"
            ),
        ]
    );
    let missing = spec.fit(&map(json!({"API_KEY": "k2"}))).unwrap_err();
    assert_eq!(
        (missing[0].kind, &missing[0].input),
        ("missing", &json!({"API_KEY": "k2"}))
    );
}

#[test]
fn other_schemas_from_rust() {
    let check = |node: Value, shown: Value| {
        let whole = json!({"type": "object", "properties": {"a": node}, "required": ["a"],
            "$defs": {"Word": {"title": "Word", "type": "string", "enum": ["x", "y"]}}});
        assert_eq!(
            spec(&whole).shown()["properties"]["a"].to_string(),
            shown.to_string()
        );
    };
    check(
        json!({"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255}),
        json!({"maximum": 255, "minimum": 0, "title": "A", "type": "integer"}),
    );
    check(
        json!({"anyOf": [{"$ref": "#/$defs/Word"}, {"type": "null"}]}),
        json!({"anyOf": [{"enum": ["x", "y"], "type": "string"}, {"type": "null"}], "title": "A"}),
    );
    check(
        json!({"allOf": [{"$ref": "#/$defs/Word"}], "default": "x"}),
        json!({"default": "x", "enum": ["x", "y"], "title": "A", "type": "string"}),
    );
    check(
        json!({"type": ["null", "string"], "description": "d"}),
        json!({"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d", "title": "A"}),
    );
    check(
        json!({"type": "string", "format": "password", "writeOnly": true}),
        json!({"format": "password", "title": "A", "type": "string", "writeOnly": true}),
    );
    check(json!(true), json!({"title": "A"}));
}

#[test]
fn a_number_the_guests_type_cannot_hold_is_refused() {
    let spec = spec(
        &json!({"type": "object", "properties": {"n": {"type": "integer", "format": "int32", "default": 0}}}),
    );
    assert_eq!(
        spec.fit(&map(json!({"n": "3000000000"}))).unwrap_err()[0].kind,
        "less_than_equal"
    );
}

#[test]
fn what_valves_cannot_be_is_refused_with_its_place() {
    let check = |node: Value, words: &[&str]| {
        let error = Spec::parse(&json!({"type": "object", "properties": {"a": node}}).to_string())
            .unwrap_err()
            .to_string();
        for word in ["properties.a"].iter().chain(words) {
            assert!(error.contains(word), "{word} in {error}");
        }
    };
    check(
        json!({"type": "object", "properties": {"b": {}}}),
        &["properties of its own"],
    );
    check(json!({"type": "text"}), &["\"text\"", "string, integer"]);
    check(json!({"$ref": "#/$defs/None"}), &["#/$defs/None"]);
    check(json!({"$ref": "#/properties/a"}), &["refers to itself"]);
    check(
        json!({"$ref": "https://example.com/x.json"}),
        &["not in this spec"],
    );
    check(
        json!({"type": "array", "items": {"$ref": "#/properties/a"}}),
        &["too much"],
    );
    check(json!({"not": {}}), &["`not`"]);
    check(
        json!({"type": "integer", "default": "x"}),
        &["default", "integer"],
    );
    check(json!({"enum": []}), &["enum"]);
    check(json!({"type": "integer", "minimum": "x"}), &["minimum"]);
    check(json!(3), &["not a schema"]);
    for (text, word) in [
        ("[]", "schema of an object"),
        ("{", "not JSON"),
        (r#"{"type":"string"}"#, "object"),
        (r#"{"required":["x"]}"#, "\"x\""),
    ] {
        let error = Spec::parse(text).unwrap_err().to_string();
        assert!(error.contains(word), "{word} in {error}");
    }
}

#[test]
fn bombs_are_refused() {
    let deep = format!(
        r#"{{"type":"object","properties":{{"a":{}{}}}}}"#,
        r#"{"items":"#.repeat(2000),
        "{}".to_string() + &"}".repeat(2000)
    );
    assert!(Spec::parse(&deep).is_err());
    let mut defs = map(json!({"d0": {"type": "integer"}}));
    for i in 1..12 {
        let below = json!({"$ref": format!("#/$defs/d{}", i - 1)});
        defs.insert(
            format!("d{i}"),
            json!({"anyOf": [below, below, below, {"type": "string"}]}),
        );
    }
    let wide =
        json!({"type": "object", "$defs": defs, "properties": {"a": {"$ref": "#/$defs/d11"}}});
    assert!(
        Spec::parse(&wide.to_string())
            .unwrap_err()
            .to_string()
            .contains("too much")
    );
    let spec = Spec::parse(ALL).unwrap();
    let big = spec
        .fit(&map(json!({"HOST": "x".repeat(2_000_000)})))
        .unwrap_err();
    assert_eq!(big[0].kind, "too_big");
}

#[test]
fn layers_lie_over_each_other() {
    let spec = Spec::parse(ALL).unwrap();
    let layer = |from, values, ignore_unknown| Layer {
        from,
        values,
        ignore_unknown,
    };
    let (manifest, settings, stored) = (
        map(json!({"HOST": "m", "PORT": 1, "enabled": false})),
        map(json!({"PORT": "2", "temperature": 1})),
        map(json!({"temperature": 0, "gone": 1})),
    );
    let values = spec
        .layer(&[
            layer("the manifest", &manifest, false),
            layer("x.toml", &settings, false),
            layer("stored", &stored, true),
        ])
        .unwrap();
    let got = ["API_KEY", "HOST", "PORT", "enabled", "temperature"].map(|k| values[k].to_string());
    assert_eq!(got, [r#""""#, r#""m""#, "2", "false", "0.0"]);

    let error = |layers: &[Layer<'_>]| spec.layer(layers).unwrap_err().to_string();
    let typo = map(json!({"PROT": 1}));
    let e = error(&[layer("x.toml", &typo, false)]);
    assert!(
        e.contains("x.toml") && e.contains("PROT") && e.contains("PORT"),
        "{e}"
    );
    let secret = map(json!({"HOST": "h", "PORT": "hunter2"}));
    let e = error(&[layer("the stored values", &secret, true)]);
    assert!(
        e.contains("the stored values") && e.contains("PORT") && !e.contains("hunter2"),
        "{e}"
    );
    let e = error(&[]);
    assert!(e.contains("HOST") && e.contains("required"), "{e}");
}
