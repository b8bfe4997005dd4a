//! Fetches a component by URL. Where it may come from is the policy of the client that is given.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use model::ports::{EgressError, HttpClient};

use crate::AddError;

/// How long fetching a component may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Fetches a component, through a client that has its own rules, and no larger than `limit` bytes.
///
/// # Errors
/// Why it could not be fetched.
pub async fn fetch(client: &dyn HttpClient, url: &str, limit: u64) -> Result<Bytes, AddError> {
    let request = request(url)?;
    tokio::time::timeout(PATIENCE, fetch_all(client, request, limit))
        .await
        .map_err(|_| AddError::Timeout(PATIENCE.as_secs()))?
}

/// GitHub's page of a file as the file itself, as the reference server has it; any other URL as it is.
#[must_use]
pub fn raw_github_url(url: &str) -> String {
    let rewritten = || {
        let mut parts = url.strip_prefix("https://github.com/")?.splitn(5, '/');
        let (owner, repo, blob) = (parts.next()?, parts.next()?, parts.next()?);
        let (branch, path) = (parts.next()?, parts.next()?);
        (blob == "blob" && !path.is_empty())
            .then(|| format!("https://raw.githubusercontent.com/{owner}/{repo}/{branch}/{path}"))
    };
    rewritten().unwrap_or_else(|| url.to_owned())
}

async fn fetch_all(
    client: &dyn HttpClient,
    request: http::Request<model::ports::HttpBody>,
    limit: u64,
) -> Result<Bytes, AddError> {
    let response = client.send(request).await?;
    if response.status() != http::StatusCode::OK {
        return Err(AddError::Status(response.status().as_u16()));
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    #[expect(clippy::disallowed_methods, reason = "the body is limited")]
    let body = Limited::new(response.into_body(), most).collect().await;
    match body {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(AddError::TooBig { limit }),
        Err(e) => Err(AddError::Fetch(match e.downcast::<EgressError>() {
            Ok(e) => *e,
            Err(e) => EgressError::Broken(e.to_string()),
        })),
    }
}

fn request(url: &str) -> Result<http::Request<model::ports::HttpBody>, AddError> {
    let wrong = |reason: String| AddError::Url {
        given: url.chars().take(200).collect(),
        reason,
    };
    let uri: http::Uri = url
        .parse()
        .map_err(|e: http::uri::InvalidUri| wrong(e.to_string()))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(wrong("it needs a scheme, http or https, and a host".into()));
    }
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    http::Request::get(uri)
        .body(body)
        .map_err(|e| wrong(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_files_become_files() {
        let check = |given: &str, want: &str| assert_eq!(raw_github_url(given), want);
        check(
            "https://github.com/o/r/blob/main/a/b.wasm",
            "https://raw.githubusercontent.com/o/r/main/a/b.wasm",
        );
        for same in [
            "https://github.com/o/r/raw/main/b.wasm",
            "http://github.com/o/r/blob/main/b.wasm",
            "https://github.com/o/r/blob/main",
        ] {
            check(same, same);
        }
    }
}
