//! What strings of options become, and what they cannot.

use model::ports::References;
use serde_json::json;

use super::*;

#[derive(Debug)]
struct Two;

impl References for Two {
    fn get(&self, reference: &str) -> Result<String, String> {
        match reference {
            "env:TOKEN" => Ok("t{{run.id}}${env:TOKEN}".into()),
            "file:/run/key" => Ok("k".into()),
            other => Err(format!("there is no {other}")),
        }
    }
}

fn values(window: Option<Covered>) -> Values {
    let parameters = json!({
        "n": 5, "price": 0, "text": "a b/ü", "evil": "{{run.id}} ${env:TOKEN}", "list": [1, {"x": true}], "none": null,
    });
    let Value::Object(mut parameters) = parameters else {
        unreachable!()
    };
    let price = serde_json::from_str("12.345678901234567890").unwrap();
    parameters.insert("price".into(), price);
    Values {
        pipeline: PipelineId::new("flights").unwrap(),
        run: RunId::of(1),
        parameters,
        window,
    }
}

fn november() -> Option<Covered> {
    Some(Covered {
        label: "2026_11".into(),
        start: Some("2026-11-01T00:00:00+01:00".into()),
        end: Some("2026-12-01T00:00:00+01:00".into()),
    })
}

fn filled(text: &str) -> Result<Value, String> {
    let options = Map::from_iter([("k".to_owned(), json!([text]))]);
    match fill(&options, &values(november()), &Two) {
        Ok(filled) => Ok(filled["k"][0].clone()),
        Err(wrong) => {
            assert_eq!(wrong[0].pointer, "/k/0");
            Err(wrong[0].message.clone())
        }
    }
}

#[test]
fn strings_are_filled_in() {
    let check = |text: &str, expected: Value| assert_eq!(filled(text), Ok(expected), "{text}");
    check("plain { } $ }} text", json!("plain { } $ }} text"));
    check("x/{{timescope}}.csv", json!("x/2026_11.csv"));
    check("{{ window.start }}", json!("2026-11-01T00:00:00+01:00"));
    check(
        "{{pipeline.id}}-{{run.id}}",
        json!(format!("flights-{}", RunId::of(1))),
    );
    check(
        "?from={{window.start|urlencode}}",
        json!("?from=2026-11-01T00%3A00%3A00%2B01%3A00"),
    );
    check("{{window.end | date('%Y/%m/%d')}}", json!("2026/12/01"));
    check("{{params.text|upper|urlencode}}", json!("A%20B%2F%C3%9C"));
    check("{{ '{{' }}{{ \"}}\" }}", json!("{{}}"));
    check("$${env:X} $$ ${file:/run/key}", json!("${env:X} $$ k"));
    check("{{params.none|default('d', true)}}!", json!("d!"));
    check(
        "{% if x %} {# no tags #}",
        json!("{% if x %} {# no tags #}"),
    );
}

#[test]
fn a_parameter_alone_keeps_its_type() {
    let check = |text: &str, expected: Value| assert_eq!(filled(text), Ok(expected), "{text}");
    check("{{params.n}}", json!(5));
    check("n={{ params.n }}", json!("n=5"));
    check("{{params.list}}", json!([1, {"x": true}]));
    check("{{params.list[1].x}}", json!(true));
    check("{{params.none}}", Value::Null);
    let price: Value = serde_json::from_str("12.345678901234567890").unwrap();
    check("{{params.price}}", price);
    check("€{{params.price}}", json!("€12.345678901234567890"));
}

#[test]
fn what_a_piece_gives_is_never_read_again() {
    let check =
        |text: &str, expected: &str| assert_eq!(filled(text), Ok(json!(expected)), "{text}");
    check("{{params.evil}}", "{{run.id}} ${env:TOKEN}");
    check("<{{params.evil}}>", "<{{run.id}} ${env:TOKEN}>");
    check("{{params.evil|default('x')}}", "{{run.id}} ${env:TOKEN}");
    check("Bearer ${env:TOKEN}", "Bearer t{{run.id}}${env:TOKEN}");
    check("${env:TOKEN}", "t{{run.id}}${env:TOKEN}");
}

#[test]
fn what_cannot_be_filled_in_says_why() {
    for (text, words) in [
        ("{{params.m}}", "of parameters there are: n, price"),
        ("{{nothing}}", "timescope, window, params, pipeline, run"),
        ("{{window.begin}}", "has no value"),
        ("{{run.id.x.y}}", "has no value"),
        ("{{timescope", "not closed"),
        ("{{a}b}}", "closes nothing"),
        ("{{params.n|sha1}}", "filters are date, default"),
        ("{{'a' * 100000000}}", "`*` cannot be used"),
        ("{{ range(9) }}", "range"),
        ("x{{params.none}}", "is null"),
        ("{{params.text|date('%Y')}}", "a b/ü"),
        ("${env:HOME}", "there is no env:HOME"),
        ("${HOME}", "`${env:NAME}`"),
        ("${env:1X}", "no reference"),
        ("${file:{{params.text}}}", "no reference"),
        ("${env:TOKEN", "not closed by `}`"),
        ("{{ 1 + }}", "{{1 +}}"),
    ] {
        let said = filled(text).unwrap_err();
        assert!(said.contains(words), "{text}: {said}");
        assert!(!said.contains("t{{run.id}}"), "{text}: {said}");
    }
}

#[test]
fn all_misfits_come_at_once_and_sizes_are_bounded() {
    let mut values = values(None);
    let long = "x".repeat(600 << 10);
    values.parameters.insert("long".into(), long.into());
    let options =
        json!({"a": "{{timescope}}", "b/c": {"d": "{{params.long}}{{params.long}}"}, "e": 1});
    let wrong = fill(options.as_object().unwrap(), &values, &Two).unwrap_err();
    assert_eq!(wrong[0].pointer, "/a");
    assert!(wrong[0].message.contains("no timescope"), "{wrong:?}");
    assert_eq!(wrong[1].pointer, "/b~1c/d");
    assert!(wrong[1].message.contains("1048576 bytes"), "{wrong:?}");
    let many = json!({"a": vec!["{{params.long}}"; 8]});
    let wrong = fill(many.as_object().unwrap(), &values, &Two).unwrap_err();
    assert!(wrong[0].message.contains("4194304 bytes"), "{wrong:?}");
}

#[test]
fn templates_are_checked_without_values() {
    let parameters = [Parameter {
        name: "city".into(),
        schema: json!({"type": "string"}),
        default: None,
    }];
    let check = |text: &str, words: &str| {
        let options = Map::from_iter([("url".to_owned(), json!(text))]);
        let said = super::check(&options, &parameters, text.contains("window"));
        match said.as_slice() {
            [] => assert!(words.is_empty(), "{text} is good"),
            [one] => {
                assert_eq!(one.pointer, "/url");
                assert!(!words.is_empty() && one.message.contains(words), "{one:?}");
            }
            more => panic!("{more:?}"),
        }
    };
    check("{{params.city}}{{window.start|date('%F')}}${env:X}", "");
    check("{{params.city.x}}{{pipeline.id}}{{run.id}}", "");
    check("{{params.ctiy}}", "did you mean \"city\"?");
    check("{{window.strat}}", "did you mean \"start\"?");
    check("{{param.city}}", "did you mean \"params\"?");
    check("{{run.state}}", "has no \"state\"");
    check("{{timescope}}", "has no timescope");
    check("{{params.city|urlencod}}", "did you mean \"urlencode\"?");
    check("{{params.city | default('|x') | lower}}", "");
    check("${env}", "no reference");
}
