//! Whether the server is there, and how it is doing.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

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

/// Metrics as text.
pub(crate) fn metrics(call: &Call) -> Response {
    let mut response = Response::new(call.app.engine.metrics().into());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    );
    response
}

/// The OpenAPI document.
pub(crate) fn openapi(call: &Call) -> Response {
    json(crate::openapi::document(call.app.config.compat).to_string())
}
