//! What stands in a route's path, query and headers.

use serde_json::{Value, json};

use crate::routes::table::{Op, Route, around};

/// The parameters of a route at this path.
pub(super) fn of(route: &Route, path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut rest = path;
    while let Some((_, name, after)) = around(rest) {
        all.push(json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": in_path(path, name),
            "schema": {"type": "string"},
        }));
        rest = after;
    }
    let text = || json!({"type": "string"});
    match route.op {
        Op::InstallPlugin => all.push(query(
            "name",
            "The file name, ending in .wasm; needed unless the body is a form.",
            text(),
        )),
        Op::StopPlugin | Op::DeletePlugin => all.push(query(
            "force",
            "Also if other plugins need it: they fail until it is there again.",
            json!({"type": "boolean", "default": false}),
        )),
        Op::ListCapabilities | Op::GetCapability => {
            all.push(query("type", "Only providers of this type.", text()));
        }
        Op::Events => {
            let topics = json!({"type": "array", "items": text(), "maxItems": 100});
            let what = "A topic, or what topics start with and a `*`; may be given more than once. Without it: all.";
            all.push(query("topic", what, topics));
            all.extend(last_event());
        }
        Op::ListLetters | Op::PurgeLetters => all.extend(of_letters(route.op)),
        Op::LiveRecords => all.extend(last_event()),
        Op::RecentRecords => {
            let limit = json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 20});
            all.push(query("limit", "How many.", limit));
        }
        Op::ListPipelines => all.push(query("tag", "Only pipelines with this tag.", text())),
        Op::CheckPipeline => all.push(query(
            "file",
            "The spec's file name, for messages, and for its id where it gives none.",
            text(),
        )),
        Op::ListRuns => all.extend(of_runs()),
        Op::RawSegments => {
            let limit = json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100});
            all.push(query(
                "after",
                "`next` of the page before.",
                json!({"type": "integer", "minimum": 0}),
            ));
            all.push(query("limit", "How many.", limit));
        }
        Op::SilverFiles => {
            let limit = json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100});
            all.push(query("after", "`next` of the page before.", text()));
            all.push(query("limit", "How many.", limit));
        }
        Op::RawRecords => all.extend(of_raw()),
        Op::Webhook => all.extend(of_webhook()),
        _ => {}
    }
    all
}

/// Where a stream of events begins.
fn last_event() -> [Value; 2] {
    let id = json!({"type": "integer", "minimum": 0});
    let what = "Begin after the event of this id; the header wins.";
    [
        query("last_event_id", what, id.clone()),
        json!({
            "name": "Last-Event-ID",
            "in": "header",
            "description": "Begin after the event of this id. Without it: with the next one.",
            "schema": id,
        }),
    ]
}

fn of_letters(op: Op) -> Vec<Value> {
    let text = || json!({"type": "string"});
    let states = json!({"enum": ["waiting", "taken", "resolved"]});
    let mut all = vec![
        query("stage", "Only those of this stage.", text()),
        query("state", "Only those in this state.", states),
    ];
    if op == Op::PurgeLetters {
        let time = json!({"type": "string", "format": "date-time"});
        all.push(query("before", "Only those that came before.", time));
        return all;
    }
    let limit = json!({"type": "integer", "minimum": 1, "maximum": 500, "default": 50});
    all.push(query("limit", "How many.", limit));
    let after = json!({"type": "integer", "minimum": 0});
    all.push(query("after", "`next` of the page before.", after));
    all
}

fn of_runs() -> [Value; 5] {
    let text = || json!({"type": "string"});
    let states =
        json!({"enum": ["queued", "running", "succeeded", "partial", "failed", "cancelled"]});
    let limit = json!({"type": "integer", "minimum": 1, "maximum": 500, "default": 50});
    [
        query("pipeline", "Only runs of this pipeline.", text()),
        query("state", "Only runs in this state.", states),
        query("parent", "Only the parts of this run.", text()),
        query("limit", "How many.", limit),
        query("cursor", "`next` of the page before.", text()),
    ]
}

fn of_raw() -> [Value; 4] {
    let text = || json!({"type": "string"});
    let limit = json!({"type": "integer", "minimum": 1, "maximum": 500, "default": 20});
    [
        query("after", "`next` of the page before.", text()),
        query(
            "from",
            "Received at this moment (RFC 3339) or later; a day, a month and so on is its beginning in UTC.",
            text(),
        ),
        query("until", "Received before this moment.", text()),
        query("limit", "How many.", limit),
    ]
}

/// The two ways to sign.
fn of_webhook() -> Vec<Value> {
    let header = |name: &str, what: &str| json!({"name": name, "in": "header", "description": what, "schema": {"type": "string"}});
    vec![
        header(
            "x-webhook-signature",
            "The HMAC-SHA256 of the body with the pipeline's secret, in lower-case hexadecimal digits, with or without `sha256=` before them.",
        ),
        header("webhook-id", "Standard Webhooks: the id of the message."),
        header(
            "webhook-timestamp",
            "Standard Webhooks: when it was sent, in seconds since 1970.",
        ),
        header(
            "webhook-signature",
            "Standard Webhooks: `v1,` and the signature in Base64; several with spaces between them.",
        ),
    ]
}

fn query(name: &str, description: &str, schema: Value) -> Value {
    let mut parameter = json!({"name": name, "in": "query", "description": description});
    super::set(&mut parameter, "schema", schema);
    parameter
}

fn in_path(path: &str, name: &str) -> &'static str {
    match name {
        "n" if path.contains("/dead-letters/") => "A dead letter's id.",
        "n" if path.contains("/checkpoints/") => "A checkpoint's name.",
        "n" => "The number of a version, from 1.",
        "id" if path.contains("/pipelines/{id}") || path.contains("/webhooks/{id}") => {
            "A pipeline's id."
        }
        "id" if path.contains("/runs/{id}") => "A run's id.",
        "name" => "A capability's name.",
        "point" => "A core point's name, or `<plugin id>/<name>` of one that a plugin defines.",
        _ => {
            "A plugin's id; filters also by a manifold's model. A slash in it may stand as it is, or as %2F."
        }
    }
}
