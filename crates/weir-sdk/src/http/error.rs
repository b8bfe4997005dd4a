//! What can go wrong with a request, in the words a plugin needs.

use std::fmt;

use wasip2::{
    http::types::{ErrorCode, http_error_code},
    io::streams::StreamError,
};

use crate::Failure;

/// Why there is no response, or no more of it.
///
/// With `?` in a function that returns [`Failure`]: [`HttpError::Failed`], [`HttpError::TimedOut`] and [`HttpError::Status`] become
/// [`Failure::Transient`], the others [`Failure::Internal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The operator's grant does not cover the URL, or its address is not allowed.
    Denied(String),
    /// The request itself is wrong.
    InvalidRequest(String),
    /// The upstream was too slow.
    TimedOut(String),
    /// No connection, a broken one, or an answer that is not HTTP.
    Failed(String),
    /// [`Response::ok`](super::Response::ok): the status is not 200 to 299. With the first 1 KiB of the body.
    Status(u16, String),
    /// A line or a body is longer than was asked for; the limit in bytes.
    TooLong(usize),
    /// The body is not what was asked for, for example not UTF-8 or not JSON.
    InvalidBody(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(what) => write!(
                formatter,
                "http: the operator's grant does not allow this request ({what})"
            ),
            Self::InvalidRequest(what) => write!(formatter, "http: {what}"),
            Self::TimedOut(what) => write!(formatter, "http: the upstream is too slow ({what})"),
            Self::Failed(what) => write!(formatter, "http: the request failed ({what})"),
            Self::Status(status, body) => {
                write!(formatter, "http: the upstream answered {status}: {body}")
            }
            Self::TooLong(limit) => {
                write!(formatter, "http: the upstream sent more than {limit} bytes")
            }
            Self::InvalidBody(what) => write!(formatter, "http: {what}"),
        }
    }
}

// Not an `Error`, so that it can become another kind of `Failure` than all errors do.
impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Failed(_) | HttpError::TimedOut(_) | HttpError::Status(..) => {
                Self::transient(error)
            }
            HttpError::Denied(_)
            | HttpError::InvalidRequest(_)
            | HttpError::TooLong(_)
            | HttpError::InvalidBody(_) => Self::internal(error),
        }
    }
}

impl From<&ErrorCode> for HttpError {
    fn from(code: &ErrorCode) -> Self {
        let text = format!("{code:?}");
        match code {
            ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => Self::Denied(text),
            ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionReadTimeout
            | ErrorCode::ConnectionWriteTimeout
            | ErrorCode::HttpResponseTimeout => Self::TimedOut(text),
            ErrorCode::HttpRequestMethodInvalid
            | ErrorCode::HttpRequestUriInvalid
            | ErrorCode::HttpRequestUriTooLong => Self::InvalidRequest(text),
            _ => Self::Failed(text),
        }
    }
}

impl From<&StreamError> for HttpError {
    fn from(error: &StreamError) -> Self {
        match error {
            StreamError::Closed => Self::Failed("the stream is closed".to_owned()),
            StreamError::LastOperationFailed(cause) => http_error_code(cause).map_or_else(
                || Self::Failed(cause.to_debug_string()),
                |code| Self::from(&code),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_at_fault_is_transient() {
        assert_eq!(
            Failure::from(HttpError::Failed("x".into())),
            Failure::transient("http: the request failed (x)")
        );
        let denied = Failure::from(HttpError::from(&ErrorCode::DestinationIpProhibited));
        assert!(matches!(denied, Failure::Internal(_)), "{denied}");
    }
}
