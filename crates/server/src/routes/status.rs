//! Whether the server is there, and how it is doing.

use axum::response::Response;
use http::StatusCode;

use super::{Answer, Call, json};
use crate::rescue::Problem;

/// `{"status":true}`, which is how clients recognise a pipelines server.
pub(crate) fn status() -> Response {
    json(r#"{"status":true}"#)
}

/// The process answers.
pub(crate) fn health() -> Response {
    status()
}

/// The first look at the plugins folder is over.
pub(crate) fn ready(call: &Call) -> Answer {
    if call.app.engine.is_ready() {
        return Ok(status());
    }
    Err(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "starting",
        "the plugins are still being loaded",
    )
    .retry_after(1))
}

/// The OpenAPI document.
pub(crate) fn openapi(call: &Call) -> Response {
    json(crate::openapi::document(call.app.config.compat).to_string())
}
