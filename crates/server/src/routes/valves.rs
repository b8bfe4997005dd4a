//! Valves: shown, described, replaced.

use axum::body::Body;
use engine::ValvesError;
use http::StatusCode;
use serde_json::{Map, Value};

use super::{Answer, Call, json};
use crate::json::Fields;
use crate::rescue::{self, Problem};
use crate::strict::{decode, pydantic};

/// The values in force.
pub(crate) fn get(call: &Call) -> Answer {
    let view = call
        .app
        .engine
        .valves(&call.id)
        .map_err(|e| rescue::valves(&e))?;
    Ok(json(text(&view.values)?))
}

/// The JSON Schema.
pub(crate) fn spec(call: &Call) -> Answer {
    let view = call
        .app
        .engine
        .valves(&call.id)
        .map_err(|e| rescue::valves(&e))?;
    Ok(json(view.spec.to_string()))
}

/// Replaces the values.
pub(crate) async fn update(call: Call, body: Body) -> Answer {
    let held = call.read(body).await?;
    let values = if call.strict {
        let body = pydantic::early(decode::decode(&call.head.headers, &held.bytes))?;
        pydantic::dict(pydantic::required(body)?)?
    } else {
        // Checks depth and shape; the values themselves are small and read whole.
        Fields::parse(&held.bytes, call.app.config.limits.max_json_depth)?;
        serde_json::from_slice::<Map<String, Value>>(&held.bytes)
            .map_err(|e| Problem::bad_request(format!("the body is not JSON: {e}")))?
    };
    let engine = &call.app.engine;
    match engine.update_valves(&call.id, values).await {
        Ok(view) => Ok(json(text(&view.values)?)),
        Err(error) if call.strict => Err(as_reference(&call, &error)),
        Err(error) => Err(rescue::valves(&error)),
    }
}

/// The reference answers 500 to all that goes wrong with values, in pydantic's words or the hook's.
fn as_reference(call: &Call, error: &ValvesError) -> Problem {
    let problem = rescue::valves(error);
    match error {
        ValvesError::Invalid(errors) => {
            let spec = call.app.engine.valves(&call.id).ok().map(|v| v.spec);
            let title = spec.as_deref().and_then(|s| s.get("title")?.as_str());
            let words = pydantic::valves_text(title.unwrap_or("Valves"), errors);
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "invalid_valves", words)
        }
        ValvesError::Hook(_) => problem.with_status(StatusCode::INTERNAL_SERVER_ERROR),
        ValvesError::NotFound(_) | ValvesError::NoValves(_) | ValvesError::Store(_) => problem,
    }
}

fn text(values: &Map<String, Value>) -> Result<String, Problem> {
    serde_json::to_string(values).map_err(|e| {
        tracing::error!(error = %e, "valves could not be written as JSON");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "valves could not be written",
        )
    })
}
