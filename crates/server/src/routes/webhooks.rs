//! `POST /webhooks/{pipeline}`: answered only when the payload is on disk. Whoever has the pipeline's secret may send; the server's key opens nothing here. The bodies of the answers are
//! their own, the same byte for byte whatever the reason, so that nobody learns from them how near a signature came.

use axum::body::Body;
use axum::response::Response;
use engine::WebhookError;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::{Answer, Call, json as answer};

/// After how many seconds what cannot be kept now may be sent again.
const AGAIN: u64 = 5;

/// Takes a request.
pub(super) async fn receive(call: Call, body: Body) -> Answer {
    let inbox = match call.app.engine.inbox(&call.id) {
        Ok(inbox) => inbox,
        Err(error) => return Ok(refused(error)),
    };
    let most = inbox.max_bytes();
    if declared(&call.head.headers).is_some_and(|bytes| bytes > most as u64) {
        return Ok(too_large());
    }
    if !inbox.may_be_signed(&call.head.headers) {
        return Ok(refused(WebhookError::Signature));
    }
    let held = match call.read_up_to(most, body).await {
        Ok(held) => held,
        Err(problem) if problem.status() == StatusCode::PAYLOAD_TOO_LARGE => return Ok(too_large()),
        Err(problem) => return Err(problem),
    };
    let body = held.bytes.clone();
    let received = call.app.engine.receive(&inbox, &call.head.headers, body);
    Ok(match received.await {
        Ok(run) => {
            let id = &call.id;
            // Neither id has a character that JSON writes otherwise.
            answer(format!(
                r#"{{"status":"received","pipeline_id":"{id}","run_id":"{run}"}}"#
            ))
        }
        Err(error) => refused(error),
    })
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

fn too_large() -> Response {
    said(StatusCode::PAYLOAD_TOO_LARGE, "Payload too large", None)
}

fn refused(error: WebhookError) -> Response {
    let (status, text, after) = match error {
        WebhookError::NotFound => (StatusCode::NOT_FOUND, "Pipeline not found".to_owned(), None),
        WebhookError::NotConfigured => {
            let text = "Pipeline not configured for webhooks".to_owned();
            (StatusCode::BAD_REQUEST, text, None)
        }
        WebhookError::Signature => (StatusCode::UNAUTHORIZED, "Invalid signature".into(), None),
        WebhookError::Seen => (
            StatusCode::CONFLICT,
            "Message already received".into(),
            None,
        ),
        WebhookError::Rate(seconds) => {
            let text = "Rate limit exceeded".to_owned();
            (StatusCode::TOO_MANY_REQUESTS, text, Some(seconds))
        }
        WebhookError::Refused(text) => (StatusCode::FORBIDDEN, text, None),
        WebhookError::TooLarge(text) => (StatusCode::PAYLOAD_TOO_LARGE, text, None),
        WebhookError::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, text, Some(AGAIN)),
    };
    said(status, &text, after)
}

fn said(status: StatusCode, text: &str, after: Option<u64>) -> Response {
    let mut response = answer(json!({ "error": text }).to_string());
    *response.status_mut() = status;
    if let Some(seconds) = after {
        let seconds = HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
