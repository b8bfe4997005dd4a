//! Adding plugins by URL, from the origins that are allowed. Fetching is the engine's, within the host's own policy.

use axum::body::Body;
use engine::AddError;
use http::{StatusCode, Uri};
use model::ports::EgressError;
use percent_encoding::percent_decode_str;

use super::manage::{done, done_with, one_field};
use super::upload::{file_name, in_place};
use super::{Answer, Call};
use crate::rescue::{self, Problem};

/// `POST /pipelines/add`.
pub(crate) async fn add(call: Call, body: Body) -> Answer {
    let given = one_field(&call, body, "url").await?;
    let url = engine::raw_github_url(&given);
    let last = url
        .split(['?', '#'])
        .next()
        .and_then(|path| path.rsplit('/').next());
    let last = last.unwrap_or_default().to_owned();
    if call.strict && !last.ends_with(".py") {
        return Err(Problem::bad_request("URL must point to a Python file"));
    }
    if !call.strict {
        allowed(&call, &url)?;
    }
    let decoded = percent_decode_str(&last).decode_utf8_lossy();
    let name = in_place(&call, file_name(&decoded, call.strict)?);
    let dir = &call.app.config.plugins_dir_shown;
    match call.app.engine.add_url(&url, name).await {
        Ok(installed) if !call.strict => Ok(done_with(
            &format!("Pipeline added successfully from {dir}/{}", installed.file),
            &installed,
        )),
        Ok(_) | Err(AddError::Load(_)) if call.strict => Ok(done(&format!(
            "Pipeline added successfully from {dir}/{last}"
        ))),
        Ok(_) => Err(Problem::bare()),
        Err(error) if call.strict => Err(as_reference(&url, &error)),
        Err(AddError::Load(error)) => Err(rescue::load(&error)),
        Err(error) => Err(rescue::add(&error)),
    }
}

/// What the reference says of a download that failed.
fn as_reference(url: &str, error: &AddError) -> Problem {
    let words = match error {
        AddError::Status(_) => return Problem::bad_request("Failed to download file"),
        AddError::Url { given, .. } => given.clone(),
        AddError::Fetch(EgressError::BadRequest(_)) => url.to_owned(),
        AddError::Fetch(EgressError::Connect(_)) => format!(
            "Cannot connect to host {} ssl:default [Connection refused]",
            host_and_port(url)
        ),
        other => other.to_string(),
    };
    rescue::add(error);
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fetch_failed", words)
}

fn host_and_port(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else {
        return url.to_owned();
    };
    let port = uri.port_u16().unwrap_or(default_port(uri.scheme_str()));
    format!("{}:{port}", uri.host().unwrap_or_default())
}

fn default_port(scheme: Option<&str>) -> u16 {
    if scheme == Some("https") { 443 } else { 80 }
}

/// May a component be fetched from there?
fn allowed(call: &Call, url: &str) -> Result<(), Problem> {
    let rules = &call.app.config.add.allow;
    let denied = |message: String| Problem::new(StatusCode::FORBIDDEN, "add_denied", message);
    let line = r#"[add] allow = ["https://example.com"]"#;
    if rules.is_empty() {
        return Err(denied(format!(
            "adding plugins by URL is off; to allow an origin, write in weir.toml: {line}"
        )));
    }
    let wrong = || {
        let message = format!("url: {url:?} was given; an absolute http or https URL is needed");
        Problem::new(StatusCode::BAD_REQUEST, "bad_url", message)
    };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(wrong());
    };
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(wrong());
    }
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(default_port(Some(scheme)));
    if rules.iter().any(|r| r.covers(scheme, &host, port)) {
        return Ok(());
    }
    Err(denied(format!(
        "{scheme}://{host}:{port} is not an origin plugins may be added from; to allow it, add it in weir.toml to {line}"
    )))
}
