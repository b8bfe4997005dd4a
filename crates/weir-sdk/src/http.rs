//! Outgoing HTTP, blocking, over `wasi:http`. Behind the feature `http`. Grant: `http`, with the hosts that may be asked.
//!
//! The host connects, checks every address, follows no redirects and bounds time, bytes and the number of requests. This client adds no retries and
//! keeps nothing: a response's body is read as it comes.
//!
//! ```no_run
//! use weir_sdk::{Failure, http};
//!
//! fn ask() -> Result<(), Failure> {
//!     let response = http::post("http://127.0.0.1:11434/v1/chat/completions").bearer("key").json(&["body"])?.send()?;
//!     for line in response.ok()?.lines() {
//!         println!("{}", line?);
//!     }
//!     Ok(())
//! }
//! ```

mod error;
mod response;

use std::time::Duration;

use serde::Serialize;
use wasip2::http::{
    outgoing_handler,
    types::{Fields, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme},
};

pub use self::{
    error::HttpError,
    response::{Lines, Response},
};

/// The most that one write to a body may hold, as `wasi:io` says.
const WRITE_BYTES: usize = 4096;

/// A request that is not sent yet.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    timeout: Option<Duration>,
}

/// A GET request. `url` is absolute, `http` or `https`.
pub fn get(url: impl Into<String>) -> Request {
    Request::new(Method::Get, url)
}

/// A POST request. `url` is absolute, `http` or `https`.
pub fn post(url: impl Into<String>) -> Request {
    Request::new(Method::Post, url)
}

impl Request {
    fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
        }
    }

    /// Another method than the one it was made with.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "PATCH" => Method::Patch,
            "HEAD" => Method::Head,
            "OPTIONS" => Method::Options,
            other => Method::Other(other.to_owned()),
        };
        self
    }

    /// Adds a header. `host`, `content-length` and headers of the connection are set by the host and this client.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds `authorization: Bearer <key>`.
    #[must_use]
    pub fn bearer(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The body as JSON, and its content type.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, HttpError> {
        let body = serde_json::to_vec(value)
            .map_err(|error| HttpError::InvalidRequest(format!("body: {error}")))?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// How long the upstream may take to accept the connection, to send the first byte, and between bytes; each at most what the host allows.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the response's head.
    pub fn send(self) -> Result<Response, HttpError> {
        let request = self.outgoing()?;
        let body = request
            .body()
            .map_err(|()| HttpError::Failed("the request has no body".to_owned()))?;
        let pending = outgoing_handler::handle(request, self.options()?)
            .map_err(|code| HttpError::from(&code))?;
        if let Err(error) = write(&body, &self.body) {
            // The upstream may have answered without reading all of the body: its answer, or its error, says more.
            drop(body);
            return Response::wait(&pending).map_err(|_| error);
        }
        OutgoingBody::finish(body, None).map_err(|code| HttpError::from(&code))?;
        Response::wait(&pending)
    }

    fn outgoing(&self) -> Result<OutgoingRequest, HttpError> {
        let (scheme, authority, path) = split(&self.url)?;
        let fields = Fields::new();
        let length = self.body.len().to_string();
        let length = (!self.body.is_empty()).then_some(("content-length", length.as_str()));
        let given = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in given.chain(length) {
            fields
                .append(name, value.as_bytes())
                .map_err(|error| HttpError::InvalidRequest(format!("header '{name}': {error}")))?;
        }
        let request = OutgoingRequest::new(fields);
        let invalid = |what: &str| HttpError::InvalidRequest(format!("{what} of '{}'", self.url));
        request
            .set_method(&self.method)
            .map_err(|()| HttpError::InvalidRequest(format!("method {:?}", self.method)))?;
        request
            .set_scheme(Some(&scheme))
            .map_err(|()| invalid("scheme"))?;
        request
            .set_authority(Some(authority))
            .map_err(|()| invalid("host and port"))?;
        request
            .set_path_with_query(Some(&path))
            .map_err(|()| invalid("path"))?;
        Ok(request)
    }

    fn options(&self) -> Result<Option<RequestOptions>, HttpError> {
        let Some(timeout) = self.timeout else {
            return Ok(None);
        };
        let nanoseconds = Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        let options = RequestOptions::new();
        let refused = |()| HttpError::InvalidRequest("the host does not take a timeout".to_owned());
        options.set_connect_timeout(nanoseconds).map_err(refused)?;
        options
            .set_first_byte_timeout(nanoseconds)
            .map_err(refused)?;
        options
            .set_between_bytes_timeout(nanoseconds)
            .map_err(refused)?;
        Ok(Some(options))
    }
}

/// Scheme, host and port, path with query. A fragment is left out.
fn split(url: &str) -> Result<(Scheme, &str, String), HttpError> {
    let (scheme, rest) = match url.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ => {
            return Err(HttpError::InvalidRequest(format!(
                "'{url}' does not start with http:// or https://"
            )));
        }
    };
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (authority, path) = rest
        .find(['/', '?'])
        .map_or((rest, ""), |at| rest.split_at(at));
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Ok((scheme, authority, path))
}

fn write(body: &OutgoingBody, bytes: &[u8]) -> Result<(), HttpError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let stream = body
        .write()
        .map_err(|()| HttpError::Failed("the request's body is taken".to_owned()))?;
    for piece in bytes.chunks(WRITE_BYTES) {
        stream
            .blocking_write_and_flush(piece)
            .map_err(|error| HttpError::from(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, authority: &str, path: &str) {
        let (_, found_authority, found_path) = split(url).unwrap();
        assert_eq!((found_authority, found_path.as_str()), (authority, path));
    }

    #[test]
    fn takes_a_url_apart() {
        check("http://a", "a", "/");
        check("https://a:1/b?c=/d#e", "a:1", "/b?c=/d");
        check("http://a?b", "a", "/?b");
        check("http://[::1]:80/", "[::1]:80", "/");
    }

    #[test]
    fn only_http() {
        let error = split("ftp://a").unwrap_err();
        assert_eq!(
            error.to_string(),
            "http: 'ftp://a' does not start with http:// or https://"
        );
    }
}
