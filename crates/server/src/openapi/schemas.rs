//! The schemas of what goes in and comes out, by name.

use serde_json::{Map, Value, json};

/// All of them.
pub(super) fn all() -> Map<String, Value> {
    let mut all = Map::new();
    for part in [contract(), answers(), own(), plugins()] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    all
}

fn object(required: &[&str], properties: Value) -> Value {
    let mut object = Map::new();
    object.insert("type".into(), "object".into());
    object.insert("required".into(), json!(required));
    object.insert("properties".into(), properties);
    object.into()
}

fn text() -> Value {
    json!({"type": "string"})
}

fn number() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn list(of: &str) -> Value {
    json!({"type": "array", "items": to(of)})
}

fn to(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn or_null(schema: Value) -> Value {
    let both = vec![schema, json!({"type": "null"})];
    json!({ "anyOf": both })
}

/// What goes in, in the Open WebUI contract.
fn contract() -> Value {
    json!({
        "AddForm": object(&["url"], json!({"url": {"type": "string", "format": "uri"}})),
        "DeleteForm": object(&["id"], json!({"id": text()})),
        "UploadForm": object(&["file"], json!({
            "file": {"type": "string", "contentMediaType": "application/wasm", "description": "With a file name ending in .wasm, .wasm.py or .py; what counts is the content. It is stored as .wasm."},
        })),
        "ChatForm": {
            "type": "object",
            "required": ["model", "messages"],
            "properties": {
                "model": text(),
                "stream": {"type": "boolean", "default": true},
                "messages": {"type": "array", "items": {
                    "type": "object",
                    "required": ["role"],
                    "properties": {"role": text(), "content": {"type": ["string", "array", "null"]}},
                    "additionalProperties": true,
                }},
                "user": {"type": ["object", "string"]},
                "metadata": {"type": "object", "description": "chat_id, session_id, message_id, task and the like."},
            },
            "additionalProperties": true,
        },
        "FilterForm": object(&["body"], json!({
            "body": to("Body"),
            "user": {"type": ["object", "null"]},
        })),
        "Body": {"type": "object", "description": "A chat request (inlet) or a conversation (outlet)."},
        "Values": {"type": "object", "description": "Values of valves, by name."},
        "Component": {"type": "string", "contentMediaType": "application/wasm"},
    })
}

/// What comes out, in the Open WebUI contract.
fn answers() -> Value {
    json!({
        "Status": object(&["status"], json!({"status": {"const": true}})),
        "Text": text(),
        "AnyObject": {"type": "object"},
        "JsonSchema": {"type": "object", "description": "A JSON Schema in the shape pydantic 2.7 gives one."},
        "Message": object(&["message"], json!({"message": text()})),
        "Done": object(&["status", "detail"], json!({
            "status": {"const": true},
            "detail": text(),
            "plugin": to("Installed"),
        })),
        "ModelList": object(&["data", "object", "pipelines"], json!({
            "data": {"type": "array", "items": object(
                &["id", "name", "object", "created", "owned_by", "pipeline"],
                json!({
                    "id": text(),
                    "name": text(),
                    "object": {"const": "model"},
                    "created": number(),
                    "owned_by": text(),
                    "pipeline": object(&["type", "valves"], json!({
                        "type": to("Kind"),
                        "valves": {"type": "boolean"},
                        "pipelines": {"type": "array", "items": text()},
                        "priority": {"type": "integer"},
                    })),
                }),
            )},
            "object": {"const": "list"},
            "pipelines": {"const": true},
        })),
        "PipelineList": object(&["data"], json!({
            "data": {"type": "array", "items": object(&["id", "name", "type", "valves"], json!({
                "id": text(),
                "name": text(),
                "type": to("Kind"),
                "valves": {"type": "boolean"},
            }))},
        })),
        "Completion": {"type": "object", "description": "An OpenAI chat completion, or the object the pipe answered with."},
        "Problem": object(&["detail", "error"], json!({
            "detail": text(),
            "error": object(&["message", "detail", "type", "code"], json!({
                "message": text(),
                "detail": text(),
                "type": text(),
                "code": {"type": "string", "description": "Stable."},
                "errors": {"type": "array", "description": "All that is wrong, one by one, where there may be several."},
            })),
        })),
    })
}

/// Our own calls.
fn own() -> Value {
    json!({
        "ExecuteForm": object(&["body"], json!({
            "body": {"type": "object", "description": "A chat request; `model` and `messages` may be left out."},
            "user": {"type": ["object", "string", "null"]},
            "model": {"type": ["string", "null"], "description": "Wins over the body's."},
            "extra": {"type": ["object", "null"], "description": "Given to the pipe as its metadata."},
        })),
        "Executed": object(&["model", "text", "items"], json!({
            "model": text(),
            "text": {"type": "string", "description": "All texts joined."},
            "items": {"type": "array", "items": object(&["type"], json!({
                "type": {"enum": ["text", "event", "raw", "object"]},
                "text": text(),
                "raw": text(),
                "event": true,
                "object": true,
            }))},
        })),
        "Chained": object(&["body", "through"], json!({
            "body": {"description": "What the last filter returned."},
            "through": {"type": "array", "items": text(), "description": "The plugins it went through, in that order."},
        })),
        "Installed": object(&["id", "version", "file", "replaced"], json!({
            "id": text(),
            "version": text(),
            "file": text(),
            "replaced": {"type": "boolean"},
        })),
        "SyncReport": object(&["loaded", "failed", "removed", "unchanged"], json!({
            "loaded": {"type": "array", "items": text()},
            "failed": {"type": "array", "items": object(&["file", "code", "message"], json!({
                "file": text(), "code": text(), "message": text(),
            }))},
            "removed": {"type": "array", "items": text()},
            "unchanged": number(),
        })),
    })
}

/// What is known of plugins.
fn plugins() -> Value {
    json!({
        "Kind": {"enum": ["pipe", "filter", "manifold", "other"]},
        "Reason": object(&["code", "message", "at_ms"], json!({
            "code": text(), "message": text(), "at_ms": number(),
        })),
        "Fault": object(&["at_ms", "call", "code", "message"], json!({
            "at_ms": number(), "call": text(), "code": text(), "message": text(),
        })),
        "FaultList": object(&["faults"], json!({"faults": list("Fault")})),
        "Limit": object(&["name", "unit", "value", "default", "ceiling"], json!({
            "name": text(), "unit": text(), "value": or_null(number()), "default": number(), "ceiling": number(),
        })),
        "LimitList": object(&["limits"], json!({"limits": list("Limit")})),
        "GrantView": object(&["asked", "granted", "missing"], json!({
            "asked": {"type": ["array", "null"], "items": text(), "description": "Capabilities it imports."},
            "granted": {"type": ["object", "null"]},
            "missing": {"type": ["array", "null"], "items": object(&["capability", "to_grant"], json!({
                "capability": text(),
                "to_grant": {"type": "string", "description": "The line of its settings that would grant it."},
            }))},
        })),
        "PluginList": object(&["plugins"], json!({"plugins": list("PluginSummary")})),
        "PluginSummary": object(&["id", "file", "origin", "state", "kind", "generation"], json!({
            "id": or_null(text()),
            "file": text(),
            "origin": object(&["from"], json!({"from": {"enum": ["folder", "upload", "url"]}, "at": text()})),
            "state": {"enum": ["running", "failed", "stopped", "quarantined", "loading"]},
            "reason": or_null(to("Reason")),
            "kind": to("Kind"),
            "name": or_null(text()),
            "version": or_null(text()),
            "generation": number(),
            "loaded_at_ms": or_null(number()),
            "quarantined_until_ms": or_null(number()),
            "valves": {"type": "boolean"},
            "last_load_error": or_null(to("Reason")),
            "models_error": or_null(to("Reason")),
            "calls": object(&["total", "failed", "in_flight"], json!({
                "total": number(), "failed": number(), "in_flight": number(),
            })),
            "faults": list("Fault"),
        })),
        "Plugin": {"allOf": [to("PluginSummary"), {
            "type": "object",
            "properties": {
                "manifest": {"type": ["object", "null"]},
                "roles": {"type": ["array", "null"], "items": text()},
                "digest": {"type": ["string", "null"], "description": "SHA-256 of the component, in hex."},
                "size": or_null(number()),
                "notes": {"type": ["array", "null"], "items": text()},
                "reuse": {"enum": ["pool", "call", "single", null]},
                "grants": to("GrantView"),
                "limits": list("Limit"),
                "usage": {"type": "object", "additionalProperties": number()},
            },
        }]},
    })
}
