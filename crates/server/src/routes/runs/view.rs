//! How runs look: their records, as the engine has them; in lists and while they are followed without what is long.

use bytes::Bytes;
use model::run::RunRecord;
use model::store::Attempt;
use serde_json::{Value, json};

/// A run in the list of all.
pub(super) fn summary(record: &RunRecord) -> Value {
    let mut all = json!(record);
    if let Value::Object(fields) = &mut all {
        fields.remove("log");
    }
    all
}

/// A run alone.
pub(in crate::routes) fn whole(record: &RunRecord) -> Value {
    json!(record)
}

/// A run alone, with the attempts at it where it is kept.
pub(super) fn with_attempts(record: &RunRecord, attempts: &[Attempt]) -> Value {
    let mut all = whole(record);
    if let (Value::Object(fields), false) = (&mut all, attempts.is_empty()) {
        fields.insert("attempts".into(), json!(attempts));
    }
    all
}

/// A run as one server-sent event: `progress` until it is over, then `over` with all that is known.
pub(super) fn event(record: &RunRecord) -> Bytes {
    let text = if record.state.is_over() {
        format!("event: over\ndata: {}\n\n", whole(record))
    } else {
        format!("event: progress\ndata: {}\n\n", summary(record))
    };
    text.into()
}
