//! The OpenAPI 3.1 document, made from the table of routes and the schemas beside this file. It lists what the table lists: there is
//! no second list to forget.

mod parameters;
mod schemas;

use http::Method;
use serde_json::{Map, Value, json};

use crate::config::Compat;
use crate::routes::table::{Access, Op, ROUTES, Route};

/// The whole document.
#[must_use]
pub fn document(compat: Compat) -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        for path in route.paths() {
            let operation = operation(route, &path, compat);
            let here = paths.entry(path).or_insert_with(|| json!({}));
            set(here, &route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weir",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "A WebAssembly-sandboxed pipeline runtime: the Open WebUI Pipelines contract, bare and under /v1, and Weir's own API under /api/v1.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "responses": {
                "Problem": {
                    "description": "It did not work; `error.code` is stable, and the reason phrase holds the message too.",
                    "content": {"application/json": {"schema": reference("Problem")}},
                },
            },
        },
    })
}

fn operation(route: &Route, path: &str, compat: Compat) -> Value {
    let mut operation = json!({
        "operationId": operation_id(route, path),
        "summary": route.summary,
        "tags": [if route.also_v1 { "Open WebUI" } else { "Weir" }],
        "responses": {
            "200": {"description": "It worked.", "content": gives(route)},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    });
    if needs_key(route.access, compat) {
        set(&mut operation, "security", json!([{"key": []}]));
    }
    if let Some(responses) = operation.get_mut("responses") {
        also_answers(route, responses);
    }
    let parameters = parameters::of(route, path);
    if !parameters.is_empty() {
        set(&mut operation, "parameters", parameters.into());
    }
    if let Some(takes) = route.takes {
        let mut content = content(takes);
        if route.op == Op::InstallPlugin {
            let form = json!({"schema": reference("UploadForm")});
            set(&mut content, "multipart/form-data", form);
        }
        if takes.ends_with(" Spec") {
            set(
                &mut content,
                "application/json",
                json!({"schema": reference("AnyObject")}),
            );
        }
        let may_be_left_out =
            matches!(route.op, Op::RunPipeline | Op::ReplayPipeline | Op::Redrive);
        let body = json!({"required": !may_be_left_out, "content": content});
        set(&mut operation, "requestBody", body);
    }
    operation
}

/// The statuses of a route beside 200, and those it has in its place.
fn also_answers(route: &Route, responses: &mut Value) {
    let (status, what) = match route.op {
        Op::InstallPlugin => ("201", "A new plugin."),
        Op::CreatePipeline | Op::PutPipeline => ("201", "A new pipeline."),
        Op::RunPipeline | Op::BackfillPipeline | Op::ReplayPipeline => {
            ("202", "The run is on its way.")
        }
        Op::CancelRun => ("202", "The run is being ended."),
        Op::Redrive => ("202", "The runs are on their way."),
        _ => return,
    };
    let only = matches!(
        route.op,
        Op::CreatePipeline | Op::BackfillPipeline | Op::CancelRun | Op::Redrive
    );
    if let (true, Value::Object(fields)) = (only, &mut *responses) {
        fields.remove("200");
    }
    set(
        responses,
        status,
        json!({"description": what, "content": gives(route)}),
    );
}

/// Puts a field into what is known to be an object.
fn set(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(key.into(), value);
    }
}

fn needs_key(access: Access, compat: Compat) -> bool {
    match access {
        Access::Open => false,
        Access::Key | Access::KeyAfterBodyInStrict => true,
        Access::OpenInStrict => compat == Compat::Default,
    }
}

fn gives(route: &Route) -> Value {
    let mut content = content(route.gives);
    if route.op == Op::Chat {
        let events = json!({
            "schema": {
                "type": "string",
                "description": "OpenAI chunks as events, `data: {..}`, ended by `data: [DONE]`. A failure is an event with `error`.",
            },
        });
        set(&mut content, "text/event-stream", events);
    }
    if route.op == Op::ReplayPipeline {
        let either = json!({"schema": {"anyOf": [reference("Run"), reference("ReplayDiff")]}});
        set(&mut content, "application/json", either);
    }
    if route.op == Op::RunRejects {
        let lines = json!({"schema": reference("Text")});
        set(&mut content, "application/x-ndjson", lines);
    }
    if route.op == Op::Metrics {
        let open = json!({"schema": reference("Text")});
        set(&mut content, "application/openmetrics-text", open);
    }
    content
}

fn content(named: &str) -> Value {
    let (kind, schema) = named.split_once(' ').unwrap_or(("application/json", named));
    json!({kind: {"schema": reference(schema)}})
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// Unique: the method and the path, in words.
fn operation_id(route: &Route, path: &str) -> String {
    let verb = match route.method {
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::DELETE => "delete",
        _ => "call",
    };
    let words: Vec<_> = path
        .split(['/', '.'])
        .filter(|w| !w.is_empty())
        .map(|w| w.trim_matches(['{', '}']))
        .collect();
    if words.is_empty() {
        return format!("{verb}_root");
    }
    format!("{verb}_{}", words.join("_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = document(Compat::Default);
        let text = document.to_string();
        let known: BTreeSet<_> = schemas::all().keys().cloned().collect();
        let marker = "#/components/schemas/";
        let used: BTreeSet<_> = text
            .split(marker)
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect();
        assert_eq!(used, known);
    }

    #[test]
    fn operations_are_all_there_and_have_names_of_their_own() {
        let document = document(Compat::Default);
        let mut names = BTreeSet::new();
        let mut count = 0;
        for path in document["paths"].as_object().unwrap().values() {
            for operation in path.as_object().unwrap().values() {
                count += 1;
                names.insert(operation["operationId"].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(count, ROUTES.iter().map(|r| r.paths().len()).sum::<usize>());
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_key_is_asked_for_where_it_is_needed() {
        let has = |compat, path: &str, method: &str| {
            document(compat)["paths"][path][method]
                .get("security")
                .is_some()
        };
        assert!(!has(Compat::Default, "/", "get"));
        assert!(!has(Compat::Default, "/healthz", "get"));
        assert!(has(Compat::Default, "/v1/chat/completions", "post"));
        assert!(!has(Compat::Strict, "/v1/chat/completions", "post"));
        assert!(has(Compat::Strict, "/models", "get"));
        assert!(has(Compat::Strict, "/metrics", "get"));
    }

    #[test]
    fn the_document_is_kept_with_the_docs() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api/openapi.json");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        let now = format!("{:#}\n", document(Compat::Default));
        if std::env::var_os("WEIR_BLESS").is_some() {
            std::fs::write(path, &now).unwrap();
            return;
        }
        assert!(
            kept == now,
            "docs/api/openapi.json is out of date; run this test with WEIR_BLESS=1"
        );
    }
}
