//! What a pipeline received, as it came: the segments of its log, and the payloads in them.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::bronze::{BronzeError, Kept, Position, Reading};
use model::data::Most;
use model::text::hex;
use serde_json::{Map, Value, json};

use super::super::{Answer, Call, json as answer, query};
use super::id;
use crate::app::millis;
use crate::rescue::Problem;

/// Segments on a page, and the most there may be.
const SEGMENTS: (usize, usize) = (100, 1_000);
/// Payloads on a page, and the most there may be.
const PAYLOADS: (usize, usize) = (20, 500);
/// About the most bytes of payloads on a page.
const BYTES: u32 = 8 << 20;

/// `GET /api/v1/pipelines/{id}/raw`: segments, the oldest first. `next` of a page is the `after` of the one after it.
pub(in crate::routes) async fn segments(call: &Call) -> Answer {
    let id = id(call)?;
    let limit = query::limit(call, SEGMENTS.0, SEGMENTS.1)?;
    let after = number(call, "after")?;
    let all = call.app.engine.raw_segments(&id).await;
    let mut found = all.map_err(|e| unread(&e))?;
    found.retain(|segment| after.is_none_or(|after| segment.number > after));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|s| s.number);
    Ok(answer(json!({"segments": found, "next": next}).to_string()))
}

/// `GET /api/v1/pipelines/{id}/raw/records`: payloads, the oldest first.
pub(in crate::routes) async fn records(call: &Call) -> Answer {
    let id = id(call)?;
    let limit = query::limit(call, PAYLOADS.0, PAYLOADS.1)?;
    let after = query::one(call, "after").map(|text| text.parse::<Position>());
    let after = after.transpose();
    let reading = Reading {
        after: after.map_err(|e| Problem::bad_request(format!("after: {e}")))?,
        from_ms: instant(call, "from")?,
        until_ms: instant(call, "until")?,
        most: Most {
            records: u32::try_from(limit).unwrap_or(u32::MAX),
            bytes: BYTES,
        },
    };
    let page = call.app.engine.raw_records(&id, reading).await;
    let page = page.map_err(|e| unread(&e))?;
    let records: Vec<Value> = page.records.iter().map(shown).collect();
    let next = page.after.filter(|_| !page.end);
    let body = json!({"records": records, "next": next, "damage": page.damage});
    Ok(answer(body.to_string()))
}

/// A payload: as text if it is UTF-8, and else in Base64.
fn shown(kept: &Kept) -> Value {
    let digest = hex(&kept.digest);
    let mut shown = json!({
        "position": kept.position,
        "received": time(kept.record.received_ms),
        "sha256": digest,
        "headers": headers(kept),
        "size": kept.record.bytes.len(),
    });
    let (key, value) = match std::str::from_utf8(&kept.record.bytes) {
        Ok(text) => ("text", text.to_owned()),
        Err(_) => ("base64", STANDARD.encode(&kept.record.bytes)),
    };
    if let Value::Object(members) = &mut shown {
        members.insert(key.into(), value.into());
    }
    shown
}

/// By name; of one that is there more than once, a list.
fn headers(kept: &Kept) -> Map<String, Value> {
    let mut all: Map<String, Value> = Map::new();
    for (name, value) in &kept.record.headers {
        let value = Value::from(String::from_utf8_lossy(value));
        match all.get_mut(name) {
            None => drop(all.insert(name.clone(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    all
}

fn time(ms: u64) -> Option<String> {
    let at = SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(ms))?;
    Some(engine::timescope::shown(at))
}

fn number(call: &Call, name: &str) -> Result<Option<u64>, Problem> {
    let given = query::one(call, name);
    let number = given.map(|text| text.parse().map_err(|_| text));
    number.transpose().map_err(|text| {
        Problem::bad_request(format!("{name}: {text:?} was given; a number is needed"))
    })
}

/// An instant, RFC 3339.
fn instant(call: &Call, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = query::one(call, name) else {
        return Ok(None);
    };
    let at = engine::timescope::beginning(&text);
    let at = at.map_err(|e| Problem::bad_request(format!("{name}: {e}")))?;
    Ok(Some(millis(at)))
}

fn unread(error: &BronzeError) -> Problem {
    if error.is_retryable() {
        let status = http::StatusCode::SERVICE_UNAVAILABLE;
        return Problem::new(status, "raw_unavailable", error.to_string()).retry_after(1);
    }
    Problem::bad_request(error.to_string())
}
