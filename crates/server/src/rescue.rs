//! The only map from what went wrong to what a client sees: status, stable code and message, three ways at once (`detail`, `error`, the
//! reason phrase), since clients differ in what they read. What is internal goes to the log, not to the client.

mod data;

use axum::body::Body;
use axum::response::Response;
use engine::{AddError, ManageError, ValvesError};
use http::{HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use model::error::{Fault, LoadError, StageError};
use model::limits::Limit;
use model::ports::EgressError;
use serde_json::{Value, json};

pub(crate) use data::{backfill, delete, durable, of_spec, problems, replay, spec, submit};

/// Longest reason phrase, in characters.
const MAX_REASON: usize = 200;

/// An answer that says no.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// In seconds.
    retry_after: Option<u64>,
    allow: Option<HeaderValue>,
    /// Takes the message's place in `detail`.
    detail: Option<Value>,
    /// All that is wrong, one by one.
    errors: Option<Value>,
    /// The reference's bare answer to an error it did not foresee.
    bare: bool,
    /// The reference has nothing like it, so strict mode tells it, too.
    ours: bool,
}

impl Problem {
    /// A problem with a status, a stable code and a message for the client.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            message: message.into(),
            retry_after: None,
            allow: None,
            detail: None,
            errors: None,
            bare: false,
            ours: false,
        }))
    }

    /// 400 for a request that cannot be read.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// 422 for a request that can be read and does not fit.
    pub(crate) fn unfit(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message)
    }

    /// 404, with a code that says what was not found.
    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// The reference's `Internal Server Error` in plain text: strict mode only.
    pub(crate) fn bare() -> Self {
        let mut problem = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal Server Error",
        );
        problem.0.bare = true;
        problem
    }

    /// The same, with something else than the message as `detail`.
    pub(crate) fn with_detail(mut self, detail: Value) -> Self {
        self.0.detail = Some(detail);
        self
    }

    /// The same, with all that is wrong, one by one, under `error.errors`.
    pub(crate) fn with_errors(mut self, errors: Value) -> Self {
        self.0.errors = Some(errors);
        self
    }

    /// The same, with another status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// The same, with a hint when to try again.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// 405 with the methods that are allowed.
    pub(crate) fn method_not_allowed(allow: &str) -> Self {
        let mut problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method Not Allowed",
        );
        problem.0.allow = HeaderValue::from_str(allow).ok();
        problem
    }

    /// Is it what only this server says: that a hook, or a budget, did not let the call happen?
    pub(crate) fn is_ours(&self) -> bool {
        self.0.ours
    }

    /// The status it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The words for the client.
    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The object that stands under `error`, in bodies and in streams.
    pub(crate) fn error_object(&self) -> Value {
        let p = &self.0;
        let mut error =
            json!({"message": p.message, "detail": p.message, "type": p.code, "code": p.code});
        if let (Some(object), Some(errors)) = (error.as_object_mut(), &p.errors) {
            object.insert("errors".into(), errors.clone());
        }
        error
    }

    /// The answer. In strict mode it has only `detail`, as the reference's.
    pub(crate) fn into_response(self, strict: bool) -> Response {
        let error = self.error_object();
        let p = *self.0;
        let (body, kind) = if p.bare {
            (p.message.clone(), "text/plain; charset=utf-8")
        } else {
            let detail = p.detail.unwrap_or_else(|| p.message.clone().into());
            let body = if strict {
                json!({ "detail": detail })
            } else {
                json!({ "detail": detail, "error": error })
            };
            (body.to_string(), "application/json")
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = p.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(allow) = p.allow {
            headers.insert(header::ALLOW, allow);
        }
        if p.status == StatusCode::UNAUTHORIZED && !strict {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = p.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(reason) = reason(&p.message).filter(|_| !strict) {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

/// A call of a plugin that did not work. The engine has written a fault of the plugin to the log; what the plugin said is written here.
pub(crate) fn stage(error: &StageError) -> Problem {
    let fault = &error.fault;
    let id = &error.plugin.id;
    if fault.is_fault_of_plugin() {
        tracing::debug!(plugin = %error.plugin, code = fault.code(), error = %fault, "a call ended in a fault of the plugin");
    } else {
        tracing::info!(plugin = %error.plugin, code = fault.code(), error = %fault, "a call did not succeed");
    }
    let mut problem = Problem::new(
        status_of(fault),
        fault.code(),
        message_of(fault, id.as_str()),
    );
    problem.0.ours = matches!(fault, Fault::Hook { .. } | Fault::RateLimited { .. });
    match retry_after_ms(fault) {
        Some(ms) => problem.retry_after(u64::from(ms).div_ceil(1000).max(1)),
        None => problem,
    }
}

fn status_of(fault: &Fault) -> StatusCode {
    match fault {
        Fault::Invalid(_) => StatusCode::BAD_REQUEST,
        Fault::Transient { .. } | Fault::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Fault::Refused(_) | Fault::Denied(_) => StatusCode::FORBIDDEN,
        Fault::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        Fault::DeadlineExceeded { .. } => StatusCode::GATEWAY_TIMEOUT,
        // More was sent than the plugin takes.
        Fault::LimitReached {
            limit: Limit::InputBytes,
            ..
        } => StatusCode::PAYLOAD_TOO_LARGE,
        Fault::Internal(_)
        | Fault::OutOfFuel { .. }
        | Fault::OutOfMemory { .. }
        | Fault::LimitReached { .. }
        | Fault::Trapped(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Fault::Hook { fault, .. } => status_of_hook(fault),
    }
}

/// What a hook ended in is not the client's doing, unless the hook said so.
fn status_of_hook(fault: &Fault) -> StatusCode {
    match fault {
        Fault::Invalid(_) | Fault::Refused(_) | Fault::Transient { .. } => status_of(fault),
        Fault::Hook { fault, .. } => status_of_hook(fault),
        // It may be heard again later.
        Fault::Unavailable { .. } | Fault::RateLimited { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Fault::Internal(_)
        | Fault::OutOfFuel { .. }
        | Fault::OutOfMemory { .. }
        | Fault::DeadlineExceeded { .. }
        | Fault::LimitReached { .. }
        | Fault::Trapped(_)
        | Fault::Denied(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The words for the client: the plugin's own, or the limit it ran into; never those of a trap.
fn message_of(fault: &Fault, id: &str) -> String {
    match (fault.said(), fault) {
        (Some(""), _) => format!("plugin {id} gave no reason"),
        (Some(words), _) => words.to_owned(),
        (None, Fault::Trapped(_)) => {
            format!("plugin {id} crashed; the reason is in the server's log")
        }
        (None, Fault::Hook { point, fault }) => {
            format!("hook-error at {point}: {}", message_of(fault, id))
        }
        (None, other) => format!("plugin {id}: {other}"),
    }
}

fn retry_after_ms(fault: &Fault) -> Option<u32> {
    match fault {
        Fault::Transient { retry_after_ms, .. } | Fault::Unavailable { retry_after_ms, .. } => {
            *retry_after_ms
        }
        Fault::RateLimited { retry_after_ms, .. } => Some(*retry_after_ms),
        Fault::Hook { fault, .. } => retry_after_ms(fault),
        _ => None,
    }
}

/// A component that did not become a plugin. The engine has written to the log what is wrong with it; what is wrong with the host is
/// written here, since some of it comes before the load.
pub(crate) fn load(error: &LoadError) -> Problem {
    let (status, message) = match error {
        LoadError::Host(_) => {
            tracing::warn!(code = error.code(), %error, "the host could not load a component");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the host could not load it; the reason is in the server's log".to_owned(),
            )
        }
        LoadError::Refused { hook, fault } => {
            let reason = message_of(fault, hook);
            let message = format!("The plugin did not load: hook-error at plugin_load: {reason}");
            (status_of_hook(fault), message)
        }
        LoadError::DuplicateId { .. } => (
            StatusCode::CONFLICT,
            format!("The plugin did not load: {error}"),
        ),
        other => (
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("The plugin did not load: {other}"),
        ),
    };
    Problem::new(status, error.code(), message)
}

/// A reload, delete, start or stop that did not work.
pub(crate) fn manage(error: &ManageError) -> Problem {
    match error {
        ManageError::NotFound(id) => {
            Problem::not_found("plugin_not_found", format!("Pipeline {id} not found"))
        }
        ManageError::Load(e) => load(e),
        ManageError::Store(e) => store(e),
        ManageError::Needed { .. } => {
            Problem::new(StatusCode::CONFLICT, "needed", error.to_string())
        }
        ManageError::Refused(e) => stage(e),
        ManageError::ShuttingDown => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "shutting_down",
            "the server is shutting down",
        ),
    }
}

/// A plugin that could not be added by URL.
pub(crate) fn add(error: &AddError) -> Problem {
    let (status, code) = match error {
        AddError::Load(e) => return load(e),
        AddError::Url { .. } => (StatusCode::BAD_REQUEST, "bad_url"),
        AddError::Fetch(EgressError::Denied(_)) => (StatusCode::FORBIDDEN, "fetch_denied"),
        AddError::Fetch(EgressError::BadRequest(_)) => (StatusCode::BAD_REQUEST, "bad_url"),
        AddError::Fetch(EgressError::Timeout { .. }) | AddError::Timeout(_) => {
            (StatusCode::GATEWAY_TIMEOUT, "fetch_timed_out")
        }
        AddError::Fetch(EgressError::TooBig { .. }) | AddError::TooBig { .. } => {
            (StatusCode::UNPROCESSABLE_ENTITY, "too_big")
        }
        AddError::Fetch(EgressError::Busy(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "too_many_fetches")
        }
        AddError::Fetch(
            EgressError::Resolve(_)
            | EgressError::Connect(_)
            | EgressError::Tls(_)
            | EgressError::Broken(_),
        )
        | AddError::Status(_) => (StatusCode::BAD_GATEWAY, "fetch_failed"),
    };
    tracing::warn!(code, %error, "a plugin could not be added by URL");
    Problem::new(status, code, error.to_string())
}

/// Valves that could not be shown or changed.
pub(crate) fn valves(error: &ValvesError) -> Problem {
    match error {
        ValvesError::NotFound(id) => {
            Problem::not_found("plugin_not_found", format!("Pipeline {id} not found"))
        }
        ValvesError::NoValves(id) => {
            Problem::not_found("no_valves", format!("Valves for {id} not found"))
        }
        ValvesError::Invalid(errors) => {
            let all: Vec<Value> = errors
                .iter()
                .map(|e| json!({"type": e.kind, "loc": e.loc, "msg": e.message, "input": e.input}))
                .collect();
            let message = format!("Valves do not fit: {error}");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_valves", message)
                .with_errors(all.into())
        }
        ValvesError::Hook(e) => {
            let problem = stage(e);
            // Told as the plugin's answer to the values: wrong ones are 422 here, as those the host itself refuses.
            if problem.status() == StatusCode::BAD_REQUEST {
                problem.with_status(StatusCode::UNPROCESSABLE_ENTITY)
            } else {
                problem
            }
        }
        ValvesError::Store(e) => store(e),
    }
}

/// A store that did not do what it was asked.
pub(crate) fn store(error: &model::ports::StoreError) -> Problem {
    tracing::error!(%error, "a store did not do what it was asked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "store_failed",
        "the host could not read or write its files; the reason is in the server's log",
    )
}

/// A message as a reason phrase: one line, no control characters, bounded.
fn reason(message: &str) -> Option<ReasonPhrase> {
    let line: String = message
        .chars()
        .take(MAX_REASON)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    ReasonPhrase::try_from(line.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
