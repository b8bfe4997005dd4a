//! The schemas of what goes in and comes out, by name.

mod data;

use serde_json::{Map, Value, json};

/// All of them.
pub(super) fn all() -> Map<String, Value> {
    let mut all = Map::new();
    for part in [
        contract(),
        answers(),
        own(),
        extend(),
        allowed(),
        plugins(),
        data::pipelines(),
        data::delivery(),
        data::runs(),
        data::records(),
    ] {
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

/// Hooks, capabilities, events.
fn extend() -> Value {
    json!({
        "Hook": object(&["plugin", "version", "mode", "priority", "on_failure", "active"], json!({
            "plugin": text(),
            "version": text(),
            "mode": to("HookMode"),
            "priority": {"type": "integer", "description": "The lowest is outermost and first; of equals the plugin's id decides."},
            "on_failure": {"enum": ["fail", "skip"], "description": "What happens when it crashes."},
            "active": {"type": "boolean"},
            "beaten_by": {"type": ["string", "null"], "description": "The plugin whose hook replaces the step instead of this one."},
        })),
        "HookMode": {"enum": ["before", "after", "around", "replace"]},
        "HookPoint": object(&["point", "what", "fires", "modes", "hooks"], json!({
            "point": text(),
            "what": {"type": "string", "description": "The step, for people."},
            "defined_by": {"type": ["string", "null"], "description": "The plugin that defines it; null: a core point."},
            "fires": {"type": "boolean", "description": "Is the step ever taken?"},
            "modes": list("HookMode"),
            "hooks": {"type": "array", "items": to("Hook"), "description": "In the order they run; those that are never called last."},
            "context": {"type": ["object", "null"], "description": "JSON Schema of the context; only where the point is asked for alone."},
            "result": {"type": ["object", "null"], "description": "JSON Schema of the result, likewise."},
        })),
        "HookList": object(&["points"], json!({"points": list("HookPoint")})),
        "Capability": object(&["name", "providers"], json!({
            "name": text(),
            "providers": {"type": "array", "description": "The preferred ones first, then by id.", "items": object(
                &["plugin", "version", "type", "options", "preferred"],
                json!({
                    "plugin": text(),
                    "version": text(),
                    "type": or_null(text()),
                    "options": {"type": "object"},
                    "preferred": {"type": "boolean", "description": "Does the configuration name it?"},
                }),
            )},
        })),
        "CapabilityList": object(&["capabilities"], json!({"capabilities": list("Capability")})),
        "Events": {
            "type": "string",
            "description": "Server-sent events: `id`, `event: <topic>`, and as `data` {\"id\", \"topic\", \"origin\", \"time_ms\", \"payload\"}. Where events were lost, `event: weir.gap` with {\"missed\": how many, or null}.",
        },
    })
}

/// What plugins may use, and ask for.
fn allowed() -> Value {
    json!({
        "Limit": object(&["name", "unit", "value", "default", "ceiling"], json!({
            "name": text(), "unit": text(), "value": or_null(number()), "default": or_null(number()), "ceiling": or_null(number()),
        })),
        "LimitList": object(&["limits"], json!({"limits": list("Limit")})),
        "GrantView": object(&["asked", "details", "granted", "used", "missing"], json!({
            "asked": {"type": ["array", "null"], "items": text(), "description": "Capabilities it imports, or needs for what its manifest declares."},
            "details": or_null(object(&["hooks", "topics", "dependencies"], json!({
                "hooks": {"type": "array", "items": object(&["point", "mode", "granted"], json!({
                    "point": text(), "mode": to("HookMode"), "granted": {"type": "boolean"},
                }))},
                "topics": {"type": "array", "items": object(&["topic", "granted"], json!({
                    "topic": text(), "granted": {"type": "boolean"},
                }))},
                "dependencies": {"type": "array", "items": object(&["id", "version", "optional", "may_call"], json!({
                    "id": text(), "version": text(), "optional": {"type": "boolean"}, "may_call": {"type": "boolean"},
                }))},
            }))),
            "granted": {"type": ["object", "null"]},
            "used": {"type": "object", "description": "By capability.", "additionalProperties": object(&["used", "denied"], json!({
                "used": number(), "denied": number(),
            }))},
            "missing": {"type": ["array", "null"], "items": object(&["capability", "to_grant"], json!({
                "capability": text(),
                "to_grant": {"type": "string", "description": "The line of its settings that would grant it."},
            }))},
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
        "PluginList": object(&["plugins"], json!({"plugins": list("PluginSummary")})),
        "PluginSummary": object(&["id", "file", "origin", "state", "kind", "generation"], json!({
            "id": or_null(text()),
            "file": text(),
            "origin": object(&["from"], json!({"from": {"enum": ["folder", "upload", "url"]}, "at": text()})),
            "state": {"enum": ["discovered", "loaded", "initialised", "started", "stopping", "stopped", "failed", "quarantined"]},
            "reason": or_null(to("Reason")),
            "kind": to("Kind"),
            "name": or_null(text()),
            "version": or_null(text()),
            "generation": number(),
            "loaded_at_ms": or_null(number()),
            "quarantined_until_ms": or_null(number()),
            "restarts": object(&["policy", "count"], json!({
                "policy": {"enum": ["permanent", "transient", "temporary"]},
                "count": number(),
                "next_at_ms": or_null(number()),
            })),
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
                "track": {"type": ["string", "null"], "description": "The version of the contract it was built for."},
                "reuse": {"enum": ["pool", "call", "single", null]},
                "dependencies": {"type": "array", "items": object(&["id", "range", "optional", "version", "state"], json!({
                    "id": text(),
                    "range": {"type": "string", "description": "Versions that do."},
                    "optional": {"type": "boolean"},
                    "version": or_null(text()),
                    "state": {"enum": ["started", "incompatible", "missing", "loading", "failed", "stopped", "quarantined"]},
                }))},
                "dependants": {"type": "array", "items": text()},
                "waiting": object(&["events", "events_dropped", "casts"], json!({
                    "events": number(), "events_dropped": number(), "casts": number(),
                })),
                "overflow": {"enum": ["drop_oldest", "back_pressure", null]},
                "grants": to("GrantView"),
                "limits": list("Limit"),
                "usage": {"type": "object", "additionalProperties": number()},
            },
        }]},
    })
}
