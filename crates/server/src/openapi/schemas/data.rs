//! Data pipelines and their runs.

use model::run::Started;
use serde_json::{Value, json};

use super::{list, number, object, or_null, text, to};

/// What is known of pipelines.
pub(super) fn pipelines() -> Value {
    let optional_text = || or_null(text());
    json!({
        "Spec": {"type": "string", "description": "A pipeline spec, YAML or JSON; GET /api/v1/schema/pipeline has its schema."},
        "SpecProblem": object(&["line", "column", "pointer", "message"], json!({
            "line": number(),
            "column": {"type": "integer", "minimum": 0, "description": "In characters, from 1."},
            "pointer": {"type": "string", "description": "A JSON pointer into the spec."},
            "message": text(),
        })),
        "SpecCheck": object(&["ok", "problems"], json!({
            "ok": {"type": "boolean"},
            "problems": list("SpecProblem"),
        })),
        "DataPipelineList": object(&["pipelines"], json!({"pipelines": list("DataPipelineSummary")})),
        "DataPipelineSummary": object(&["id", "state", "tags"], json!({
            "id": {"type": "string", "description": "Of a file that never fitted: what its name says."},
            "state": {"enum": ["registered", "outdated", "failed"], "description": "outdated: its file has changed and does not fit, and the last version that did goes on."},
            "reason": or_null(object(&["code", "message", "problems"], json!({
                "code": text(), "message": text(), "problems": list("SpecProblem"),
            }))),
            "file": optional_text(),
            "name": optional_text(),
            "description": optional_text(),
            "tags": {"type": "array", "items": text()},
            "status": {"enum": ["active", "paused", "error", null], "description": "paused: by its spec, or by a request; its trigger starts nothing. error: its last run failed, until one succeeds."},
            "error": or_null(object(&["message", "since_ms"], json!({"message": text(), "since_ms": number()}))),
            "kind": {"enum": ["flow", "sequential", "parallel", "conditional", "retry", null]},
            "trigger": {"type": ["object", "null"], "description": "`type` is manual, interval, cron, webhook or after; the rest as the spec says, defaults put in. Never a secret."},
            "version": or_null(number()),
            "registered_at_ms": or_null(number()),
            "last_run": or_null(object(&["id", "state", "submitted_at"], json!({
                "id": text(), "state": to("RunState"), "submitted_at": text(), "ended_at": optional_text(),
            }))),
        })),
        "DataPipeline": {"allOf": [to("DataPipelineSummary"), object(&["parameters", "next_ticks_ms", "source"], json!({
            "circuits": {"type": "array", "items": to("Circuit"), "description": "Sinks that gave up, where the pipeline is asked for alone."},
            "dead_letters": {"type": "array", "items": to("WaitingLetters"), "description": "What is not dealt with, likewise."},
            "next_ticks_ms": {"type": "array", "items": number(), "description": "When the crontab line of its trigger is due next, without jitter. Nothing for other triggers, and while it is paused."},
            "parameters": {"type": "array", "items": object(&["name", "schema", "required"], json!({
                "name": text(), "schema": {"type": "object"}, "required": {"type": "boolean"}, "default": true,
            }))},
            "source": {"type": ["string", "null"], "description": "The spec as it was written; references stand in it, never their values."},
        }))]},
        "PipelineVersionList": object(&["versions"], json!({
            "versions": {"type": "array", "items": object(&["version", "current", "bytes"], json!({
                "version": number(),
                "current": {"type": "boolean"},
                "registered_at_ms": or_null(number()),
                "bytes": number(),
            }))},
        })),
        "RunForm": {
            "type": "object",
            "properties": {
                "parameters": {"type": "object", "description": "Values by name."},
                "window": {"type": ["string", "null"], "description": "The span of time to cover, as 2026-11-22, 2026-W47, 2026-Q4, or start..end; without it the last one that is over."},
                "limit": {"type": ["integer", "null"], "minimum": 1, "description": "Stop the source after so many records."},
                "dry_run": {"type": "boolean", "default": false, "description": "Open no sinks."},
                "preview": {"type": ["boolean", "integer", "null"], "minimum": 1, "maximum": 100, "description": "Keep the first so many records after each stage; true: 10."},
                "wait": {"type": "boolean", "default": false, "description": "Answer when it is over, or after a minute."},
            },
            "additionalProperties": false,
        },
        "BackfillForm": {
            "type": "object",
            "required": ["from", "to"],
            "properties": {
                "from": {"type": "string", "description": "The first window."},
                "to": {"type": "string", "description": "The last one."},
                "parallel": {"type": ["integer", "null"], "minimum": 1, "maximum": 64, "description": "How many windows at once; 1 if nothing is said."},
                "stop_on_error": {"type": "boolean", "default": true},
                "parameters": {"type": "object"},
                "dry_run": {"type": "boolean", "default": false},
            },
            "additionalProperties": false,
        },
    })
}

/// What could not be delivered, and how far pipelines are.
pub(super) fn delivery() -> Value {
    json!({
        "Circuit": object(&["sink", "state", "letters", "since_ms", "attempts"], json!({
            "sink": text(),
            "state": {"enum": ["open", "half_open"], "description": "open: it is given nothing until `again_at_ms`; half_open: what it gave up on is being tried."},
            "letters": number(),
            "since_ms": number(),
            "attempts": {"type": "integer", "minimum": 0, "description": "How often it was tried in vain."},
            "again_at_ms": or_null(number()),
            "run": {"type": ["string", "null"], "description": "The run that tries it."},
        })),
        "WaitingLetters": object(&["stage", "undelivered", "letters", "since_ms"], json!({
            "stage": text(),
            "undelivered": {"type": "boolean", "description": "true: a sink gave up on them, and they are tried again by themselves; false: they were rejected."},
            "letters": number(),
            "since_ms": number(),
        })),
        "Checkpoint": object(&["name", "cursor", "sinks", "run", "records", "at_ms"], json!({
            "name": {"type": "string", "description": "`source`: incremental runs go on from it; `run:<id>`: a later attempt at this run does."},
            "cursor": {"type": ["string", "null"], "description": "Where the source goes on, in its own words."},
            "sinks": {"type": "object", "description": "By name, the sinks that are past it: by how many records, or finished.", "additionalProperties": {"type": "object"}},
            "run": text(),
            "records": number(),
            "at_ms": number(),
        })),
        "CheckpointList": object(&["checkpoints"], json!({"checkpoints": list("Checkpoint")})),
        "DeadLetter": object(&["id", "stage", "number", "reason", "undelivered", "attempts", "state", "run", "at_ms", "bytes", "edited"], json!({
            "id": number(),
            "stage": text(),
            "number": {"type": "integer", "minimum": 1, "description": "Its number at the stage, in the attempt at the run; of a source its place in the input."},
            "reason": text(),
            "undelivered": {"type": "boolean", "description": "Did a sink give up on it, so that it is tried again by itself? Else it was rejected."},
            "attempts": number(),
            "state": {"enum": ["waiting", "taken", "resolved"]},
            "run": text(),
            "at_ms": number(),
            "bytes": number(),
            "edited": {"type": "boolean"},
            "record": {"type": ["string", "null"], "description": "The record as it came in; in lists the first 1 KiB. Null where it is no text."},
            "cut": {"type": "boolean", "description": "In lists: is there more of it?"},
            "base64": {"type": ["string", "null"], "description": "Of one alone: its bytes, where they are no text."},
            "edited_record": {"type": ["string", "null"], "description": "Of one alone: what is tried in its place."},
        })),
        "DeadLetterList": object(&["letters", "next", "waiting"], json!({
            "letters": list("DeadLetter"),
            "next": or_null(number()),
            "waiting": list("WaitingLetters"),
        })),
        "Record": {"description": "One JSON document; null: the original."},
        "Purged": object(&["forgotten"], json!({"forgotten": number()})),
        "RedriveForm": {
            "type": "object",
            "properties": {
                "stage": {"type": ["string", "null"], "description": "Only those of this stage."},
                "ids": {"type": "array", "items": {"type": "integer"}, "maxItems": 1000, "description": "Just these; none: all that wait."},
            },
            "additionalProperties": false,
        },
        "Redriving": object(&["runs"], json!({"runs": {"type": "array", "items": text()}})),
    })
}

/// What is known of runs.
pub(super) fn runs() -> Value {
    let texts = || json!({"type": "array", "items": text()});
    json!({
        "RunState": {"enum": ["queued", "running", "succeeded", "partial", "failed", "cancelled"]},
        "StageReport": object(&["name"], json!({
            "name": text(),
            "records_in": number(),
            "records_out": number(),
            "rejected": number(),
            "left_out": number(),
            "undelivered": number(),
            "bytes_in": number(),
            "bytes_out": number(),
            "busy_ms": number(),
            "fuel": number(),
            "retries": number(),
            "error": text(),
        })),
        "Run": object(&["id", "pipeline", "version", "started_by", "parameters", "state", "submitted_at", "duration_ms", "stages"], json!({
            "id": text(),
            "pipeline": text(),
            "version": number(),
            "started_by": {"enum": Started::ALL.map(Started::as_str)},
            "parent": text(),
            "children": texts(),
            "members": {"type": "array", "maxItems": 16, "items": object(&["id", "pipeline", "state", "duration_ms", "stages"], json!({
                "id": text(), "pipeline": text(), "window": text(), "state": to("RunState"), "duration_ms": number(), "stages": list("StageReport"),
            })), "description": "Of the runs it is made of those that move data: under way, and the last that are over. Not in lists."},
            "window": or_null(object(&["label"], json!({
                "label": text(), "start": or_null(text()), "end": or_null(text()),
            }))),
            "parameters": {"type": "object"},
            "dry_run": {"type": "boolean"},
            "state": to("RunState"),
            "submitted_at": text(),
            "started_at": text(),
            "ended_at": text(),
            "duration_ms": number(),
            "stages": list("StageReport"),
            "rejects_file": text(),
            "error": {"type": "array", "items": text(), "description": "What happened first, then what that was part of."},
            "attempts": {"type": "array", "items": object(&["number", "owner", "began"], json!({
                "number": number(), "owner": text(), "began": number(), "ended": or_null(number()), "outcome": or_null(text()), "error": or_null(text()),
            })), "description": "Of a run alone: who tried it, in milliseconds since 1970 from when to when, and what came of it."},
            "log": {"type": "array", "items": object(&["at", "level", "message"], json!({
                "at": text(), "level": {"enum": ["info", "warn", "error"]}, "stage": text(), "message": text(),
            }))},
        })),
        "RunList": object(&["runs", "next"], json!({
            "runs": list("Run"),
            "next": {"type": ["string", "null"], "description": "The cursor of the next page; null: this is the last."},
        })),
        "RunEvents": {
            "type": "object",
            "required": ["event", "data"],
            "properties": {
                "event": {"enum": ["progress", "over"]},
                "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": to("Run")},
            },
            "description": "Each of the server-sent events: `progress` with the run as it is now, without its log, some four times a second; at last `over` with the whole run.",
        },
    })
}

/// What is shown of the records of runs.
pub(super) fn records() -> Value {
    json!({
        "RecentList": object(&["records"], json!({
            "records": {"type": "array", "maxItems": 1000, "items": object(&["run_id", "time_ms", "record"], json!({
                "run_id": text(), "time_ms": number(), "record": {"description": "One that is no JSON, or longer than 16 KiB, is a text."},
            }))},
        })),
        "ReplayForm": object(&[], json!({
            "from": {"type": "string", "description": "Received at this moment (RFC 3339) or later; a day, a month and so on is its beginning in UTC. Default: from the first on."},
            "until": {"type": "string", "description": "Received before this moment. Default: now."},
            "version": {"type": "integer", "minimum": 1, "description": "The version it goes through. Default: the newest."},
            "sinks": {"type": "array", "items": text(), "minItems": 1, "description": "The sinks it goes to, by their names. Default: all."},
            "into": {"type": "array", "items": to("AnyObject"), "minItems": 1, "description": "Other sinks, as a spec writes them, in place of those of the version."},
            "parameters": to("AnyObject"), "window": text(),
            "dry_run": {"type": "boolean", "default": false, "description": "Open no sinks, and answer with what would come out otherwise."},
            "against": {"type": "integer", "minimum": 1, "description": "With `dry_run`: the version to compare with. Default: the one before."},
        })),
        "ReplayDiff": object(&["before", "after", "key", "same", "changed", "added", "removed", "samples"], json!({
            "before": or_null(to("ReplaySide")), "after": to("ReplaySide"),
            "key": {"type": "array", "items": text(), "description": "The fields by which records were paired; without, those that are not the same are paired in their order."},
            "same": number(), "changed": number(), "added": number(), "removed": number(),
            "samples": {"type": "array", "maxItems": 10, "items": object(&["before", "after"], json!({"before": {}, "after": {}}))},
        })),
        "ReplaySide": object(&["version", "run", "read", "records", "rejected"], json!({
            "version": number(), "run": text(), "read": number(), "records": number(), "rejected": number(),
        })),
        "RawSegmentList": object(&["segments", "next"], json!({
            "segments": {"type": "array", "maxItems": 1000, "items": object(&["pipeline", "number", "day", "state", "records", "bytes", "stored"], json!({
                "pipeline": text(), "number": number(), "day": text(),
                "state": {"enum": ["open", "sealed", "uploaded", "quarantined"]},
                "local": {"type": "boolean", "description": "Of one that is uploaded: does it lie here, too?"},
                "reason": {"type": "string", "description": "Of one that is damaged: what is wrong with it. What can be read of it still is."},
                "earliest_ms": or_null(number()), "latest_ms": or_null(number()),
                "records": number(), "bytes": number(), "stored": number(),
            }))},
            "next": or_null(number()),
        })),
        "RawRecordList": object(&["records", "next", "damage"], json!({
            "records": {"type": "array", "maxItems": 500, "items": object(&["position", "received", "sha256", "headers", "size"], json!({
                "position": text(), "received": text(), "sha256": text(), "size": number(),
                "headers": {"type": "object", "additionalProperties": true},
                "text": {"type": "string", "description": "Its bytes, where they are UTF-8."},
                "base64": {"type": "string", "description": "Its bytes, where they are not."},
            }))},
            "next": or_null(text()),
            "damage": {"type": "array", "items": text(), "description": "What could not be read on the way."},
        })),
        "SilverFileList": object(&["files", "next"], json!({
            "files": {"type": "array", "maxItems": 1000, "items": object(&["day", "name", "bytes"], json!({
                "day": text(), "name": text(), "bytes": number(),
            })), "description": "By the days (UTC) on which their runs were submitted; a name is the run's id, and a number from its second file on."}, "next": or_null(text()),
        })),
        "Payload": {"description": "Anything, as long as its bytes are signed."},
        "WebhookReceived": object(&["status", "pipeline_id", "run_id"], json!({
            "status": {"const": "received"}, "pipeline_id": text(),
            "run_id": {"type": "string", "description": "The run that takes it, maybe with others."},
        })),
        "LiveRecords": {
            "type": "object",
            "required": ["id", "event", "data"],
            "properties": {
                "id": number(),
                "event": {"enum": ["weir.pipeline.<id>.records", "weir.gap"]},
                "data": {"type": "string", "contentMediaType": "application/json"},
            },
            "description": "Each of the server-sent events; its data has the `payload` `{run_id, count, records}`: how many went to the sinks since the event before, and the newest of them, at most 100. `weir.gap` tells a client that is too slow how many events it missed, and is the last it gets.",
        },
        "RejectList": object(&["rejects", "total", "file"], json!({
            "rejects": {"type": "array", "maxItems": 100, "items": object(&["stage", "number", "reason", "record"], json!({
                "stage": text(), "number": number(), "reason": text(), "record": text(), "bytes": text(),
            }))},
            "total": {"type": "integer", "minimum": 0, "description": "How many there are in all."},
            "file": {"type": ["string", "null"], "description": "Where the server keeps them all."},
        })),
        "PreviewList": object(&["state", "stages"], json!({
            "state": to("RunState"),
            "stages": {"type": "array", "items": object(&["stage", "part", "rows"], json!({
                "stage": text(), "part": {"enum": ["source", "transform", "sink"]}, "rows": {"type": "array"},
            }))},
        })),
    })
}
