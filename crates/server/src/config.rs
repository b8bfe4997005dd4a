//! What the server is configured with: checked values. Reading files and the environment is the binary's business.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use engine::Discovery;
use model::egress::OriginRule;
use model::limits::Limits;
use model::ports::Clock;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// What clients show as `Authorization: Bearer <key>`.
    pub key: ApiKey,
    /// As the Open WebUI Pipelines server does, or better.
    pub compat: Compat,
    /// Time-outs and sizes.
    pub limits: HttpLimits,
    /// Which web pages of other origins may call. In strict mode every page may, as in the reference.
    pub cors: Cors,
    /// Where plugins may be added from by URL.
    pub add: AddPolicy,
    /// The plugins folder as the answers to add and upload show it, for example `/srv/pipelines`.
    pub plugins_dir_shown: String,
    /// The limits of a plugin whose settings say nothing else, shown beside its limits.
    pub defaults: Limits,
    /// The highest limits that a plugin's settings may ask for, shown beside its limits.
    pub ceilings: Limits,
    /// The folders of pipeline specs.
    pub pipelines: Arc<Discovery>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Turns true when the plugins are loaded, or were given time enough. Until then requests that concern plugins wait.
    pub booted: watch::Receiver<bool>,
}

/// The API key. Printing it shows nothing; comparing it takes the same time wherever the texts differ.
#[derive(Clone)]
pub struct ApiKey(Arc<str>);

impl ApiKey {
    /// The key of the reference server, public knowledge: only strict mode may fall back to it.
    pub const REFERENCE: &'static str = "0p3n-w3bu!";

    /// Wraps a key.
    ///
    /// # Errors
    /// [`KeyError`] for a key that no header could carry: empty, or with anything but visible ASCII.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(KeyError);
        }
        Ok(Self(text.into()))
    }

    /// Is this the key? The time taken depends on the length of what is given, not on what it holds.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// Why a text is no API key. The text is not shown: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an API key is one or more visible ASCII characters, without spaces")]
pub struct KeyError;

/// How closely the server follows the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compat {
    /// The reference's routes with its holes closed: a key nearly everywhere, errors that say what is wrong, streams that end.
    #[default]
    Default,
    /// What the reference was recorded to do, its weaknesses included, but not its path traversal.
    Strict,
}

/// Time-outs and sizes of the HTTP side. Every one bounds something a client could make grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// From a connection's start, and from the first byte of each later request, to the end of its head.
    pub header_timeout: Duration,
    /// For the whole of a request body.
    pub body_timeout: Duration,
    /// How long a connection may lie idle between requests, and how long a client may read nothing while data waits for it.
    pub idle_timeout: Duration,
    /// Connections at once; further ones wait in the system's queue.
    pub max_connections: usize,
    /// Bytes of a request's head; above: 431.
    pub max_head_bytes: usize,
    /// Headers of a request; above: 431.
    pub max_headers: usize,
    /// Bytes of a request body; above: 413.
    pub max_body_bytes: usize,
    /// Bytes of an uploaded component with its form; above: 413.
    pub max_upload_bytes: usize,
    /// Bytes of all request bodies held at once; above: 503.
    pub max_bodies_bytes: usize,
    /// Clients that may follow the events (`GET /api/v1/events`) at once; above: 503.
    pub max_listeners: usize,
    /// How deep JSON may nest; above: 400. Plugins are promised 128.
    pub max_json_depth: usize,
    /// How long requests under way may take to finish after a shutdown began.
    pub drain: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            max_connections: 1024,
            max_head_bytes: 64 * 1024,
            max_headers: 100,
            max_body_bytes: 64 * MIB,
            max_upload_bytes: 80 * MIB,
            max_bodies_bytes: 512 * MIB,
            max_listeners: 64,
            max_json_depth: 128,
            drain: Duration::from_secs(10),
        }
    }
}

/// Web pages that may call the server from a browser, outside strict mode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cors {
    /// Origins such as `https://ui.example`, compared as they are; `*` allows every origin. Empty: none.
    pub allow: Vec<String>,
}

/// Where plugins may be added from by URL.
#[derive(Debug, Clone, Default)]
pub struct AddPolicy {
    /// Origins components may be fetched from. Empty: adding by URL is off.
    pub allow: Vec<OriginRule>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_compare_whole_and_never_show() {
        let key = ApiKey::new("s3cret").unwrap();
        assert!(key.is("s3cret"));
        for wrong in ["", "s3cre", "s3cret ", "s3cret1", "S3cret"] {
            assert!(!key.is(wrong), "{wrong:?}");
        }
        assert_eq!(format!("{key:?}"), "ApiKey(..)");
        for bad in ["", "a b", "ü", "a\n"] {
            assert!(ApiKey::new(bad).is_err(), "{bad:?}");
        }
    }
}
