//! What pipelines within others are given, and how many they may come to.

use std::sync::Arc;

use super::kinds::natives;
use super::{Few, SMALL, said_of};
use crate::spec::{Alone, read};

#[test]
fn what_pipelines_are_given_is_checked() {
    let mut known = Few::default();
    for (id, text) in [
        (
            "city",
            format!(
                "parameters: {{city: {{type: string}}, days: {{type: integer, default: 7}}}}\n{SMALL}"
            ),
        ),
        (
            "many",
            format!("parallel: {{pipelines: [{}city]}}", "city, ".repeat(999)),
        ),
    ] {
        let pipeline = read(&text, id, &natives(), &Alone).unwrap();
        known
            .pipelines
            .insert(pipeline.id.clone(), Arc::new(pipeline));
    }
    let said = said_of(
        "parameters: {n: {type: integer}}
sequential:
  pipelines:
    - city
    - {pipeline: city}
    - {pipeline: city, parameters: {city: 5, day: 1}}
    - {pipeline: city, parameters: {city: '{{params.m}}'}}
    - {pipeline: city, with: {city: a}}
    - {pipeline: city, parameters: {city: Ulm, days: '{{params.n}}'}}
    - {source: {type: pipeline, pipeline: city}, sink: {type: store, table: t}}
",
        &known,
    );
    let needed = "pipeline city: the parameter `city` is needed: it has no default";
    assert_eq!(said.len(), 7, "{said:#?}");
    assert_eq!(said[0], format!("4:7: {needed}"));
    assert_eq!(said[1], format!("5:18: {needed}"));
    assert_eq!(
        said[2],
        "6:43: pipeline city: `city` is 5; a text is allowed"
    );
    assert_eq!(
        said[3],
        "6:51: pipeline city: the pipeline has no parameter \"day\"; did you mean \"days\"?"
    );
    assert!(
        said[4].starts_with("7:43: ") && said[4].contains('m'),
        "{}",
        said[4]
    );
    assert!(
        said[5].starts_with("8:24: unknown key `with`"),
        "{}",
        said[5]
    );
    assert_eq!(said[6], format!("10:43: {needed}"));
    let many = said_of(
        &format!("parallel: {{pipelines: [{}many]}}", "many, ".repeat(10)),
        &known,
    );
    assert_eq!(
        many,
        ["1:1: a run of it comes to 11011 runs, all levels together; at most 10000 are allowed"]
    );
}
