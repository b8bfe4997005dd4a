//! The ports to the outside world: time, stores, files, HTTP. Adapters implement them; tests may bring their own.

mod pipelines;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use crate::BoxFuture;
use crate::component::{ComponentFile, FileName};
use crate::egress::{Special, special};
use crate::grants::HttpGrant;
use crate::id::PluginId;
use crate::limits::Limits;

pub use pipelines::{MAX_SPEC_BYTES, PipelineStore, is_spec_file};

/// Time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall-clock time.
    fn now(&self) -> SystemTime;
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// Waiting, for as long as the [`Clock`] says. Dropping the future ends it.
pub trait Timer: Send + Sync + fmt::Debug {
    /// Over after this span.
    fn wait(&self, span: Duration) -> BoxFuture<'static, ()>;
}

/// The folder of component files, and the settings beside them.
pub trait ComponentStore: Send + Sync + fmt::Debug {
    /// The component files there are, in the order of their names. What is not a component by its name is left out.
    fn list(&self) -> BoxFuture<'static, Result<Vec<FileName>, StoreError>>;
    /// A file's content; none if there is no such file. A file over `max_bytes` is an error.
    fn read(
        &self,
        name: FileName,
        max_bytes: u64,
    ) -> BoxFuture<'static, Result<Option<ComponentFile>, StoreError>>;
    /// The settings file beside a component, as text; none if there is none.
    fn read_settings(
        &self,
        name: FileName,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>>;
    /// Writes a component file in one step: a reader sees the old one or the new one.
    fn write(&self, file: ComponentFile) -> BoxFuture<'static, Result<(), StoreError>>;
    /// Removes a component file; was it there? Settings beside it stay.
    fn remove(&self, name: FileName) -> BoxFuture<'static, Result<bool, StoreError>>;
}

/// Values of plugins' valves that people have set.
pub trait ValveStore: Send + Sync + fmt::Debug {
    /// The values kept for a plugin, JSON text; none if there are none. What is no JSON is returned all the same: the caller checks.
    fn read(&self, plugin: PluginId) -> BoxFuture<'static, Result<Option<String>, StoreError>>;
    /// Where a plugin's values lie, for errors.
    fn place(&self, plugin: &PluginId) -> String {
        format!("the stored values of {plugin}")
    }
    /// Keeps values, in one step.
    fn write(&self, plugin: PluginId, json: String) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// Named secrets of the operator. They never appear in a log, an error or an API answer.
pub trait SecretStore: Send + Sync + fmt::Debug {
    /// The secret of this name; none if there is none, or it cannot be read now.
    fn get(&self, name: &str) -> Option<String>;
}

/// What `${env:NAME}` and `${file:path}` in the options of a stage stand for. Who runs a pipeline decides what it may name; values never appear in a log, an error
/// or an API answer.
pub trait References: Send + Sync + fmt::Debug {
    /// The value of a reference, given as `env:NAME` or `file:path`. It may read a file: not for async threads.
    ///
    /// # Errors
    /// A sentence with the name and why it has no value here, never with a value.
    fn get(&self, reference: &str) -> Result<String, String>;
}

/// Plugins' durable key-value state (`weir:host/state`). Each call is one transaction.
pub trait StateStore: Send + Sync + fmt::Debug {
    /// The value of a key.
    fn get(
        &self,
        plugin: PluginId,
        key: String,
    ) -> BoxFuture<'static, Result<Option<StateEntry>, StateError>>;
    /// Writes when the key's version passes `expect`; returns the new version.
    fn put(
        &self,
        plugin: PluginId,
        key: String,
        value: Vec<u8>,
        expect: Expect,
        quota: Quota,
    ) -> BoxFuture<'static, Result<u64, StateError>>;
    /// Removes a key; was it there?
    fn delete(&self, plugin: PluginId, key: String)
    -> BoxFuture<'static, Result<bool, StateError>>;
    /// Adds to a counter (8 bytes, little endian; absent counts as 0) and returns the sum.
    fn add(
        &self,
        plugin: PluginId,
        key: String,
        delta: i64,
        quota: Quota,
    ) -> BoxFuture<'static, Result<i64, StateError>>;
    /// Keys with this prefix after `after`, in byte order, at most `limit`.
    fn keys(
        &self,
        plugin: PluginId,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<String>, StateError>>;
}

/// A value and the version it was written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateEntry {
    /// The bytes.
    pub value: Vec<u8>,
    /// Grows with each write of the key, also after a delete.
    pub version: u64,
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// This version; none: no such key.
    Version(Option<u64>),
}

/// How much state a plugin may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all keys and values.
    pub bytes: u64,
    /// Number of keys.
    pub keys: u64,
}

/// Why a state call did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Over the quota; nothing was written.
    #[error("over the quota")]
    Full,
    /// The key has another version; nothing was written.
    #[error("the key has another version")]
    Conflict(Option<u64>),
    /// The store did not answer.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

/// Why a store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: {source}")]
pub struct StoreError {
    /// What was tried, with the path.
    pub what: String,
    /// What the system said.
    #[source]
    pub source: Arc<dyn std::error::Error + Send + Sync>,
}

/// A body of an outgoing request or its response.
pub type HttpBody = UnsyncBoxBody<Bytes, EgressError>;

/// What an outgoing request may do: one plugin's, one stage's, or the host's own for adding plugins by URL.
#[derive(Debug, Clone)]
pub struct EgressPolicy {
    /// Who sends, for the log.
    pub sender: String,
    /// Where to.
    pub reach: Reach,
    /// Time-outs and byte caps (`http_*`).
    pub limits: Limits,
}

/// Where outgoing requests may go.
#[derive(Debug, Clone)]
pub enum Reach {
    /// Everywhere, also on this machine and on private networks: for whoever works with the rights of the person at the keyboard.
    Anywhere,
    /// Where a grant allows.
    Granted {
        /// What it allows.
        grant: HttpGrant,
        /// The setting it is written in, for errors: `grants.http`.
        setting: &'static str,
    },
}

impl Reach {
    /// A plugin's, or the host's own.
    #[must_use]
    pub fn granted(grant: HttpGrant) -> Self {
        Self::Granted {
            grant,
            setting: "grants.http",
        }
    }

    /// A pipeline's: what its access says.
    #[must_use]
    pub fn of_pipeline(http: Option<HttpGrant>) -> Self {
        http.map_or(Self::Anywhere, |grant| Self::Granted {
            grant,
            setting: "pipelines.http",
        })
    }

    /// May requests go to this origin? `host` is in lower case, IPv6 without brackets.
    ///
    /// # Errors
    /// [`EgressError::Denied`] with the setting that would allow it.
    pub fn check_origin(&self, scheme: &str, host: &str, port: u16) -> Result<(), EgressError> {
        let Self::Granted { grant, setting } = self else {
            return Ok(());
        };
        if grant.allow.iter().any(|r| r.covers(scheme, host, port)) {
            return Ok(());
        }
        let brackets = if host.contains(':') {
            ["[", "]"]
        } else {
            ["", ""]
        };
        let [open, close] = brackets;
        Err(EgressError::Denied(format!(
            "no rule in {setting}.allow covers {scheme}://{open}{host}{close}:{port}"
        )))
    }

    /// May a connection go to this address of a host?
    ///
    /// # Errors
    /// [`EgressError::Denied`] with the setting that would allow it.
    pub fn check_address(&self, host: &str, address: IpAddr) -> Result<(), EgressError> {
        let Self::Granted { grant, setting } = self else {
            return Ok(());
        };
        let Some(kind) = special(address) else {
            return Ok(());
        };
        let mut networks = grant.private.iter().filter(|n| n.contains(address));
        // A metadata service hands out credentials: a wide network does not open it.
        if networks.any(|n| kind != Special::Metadata || n.is_single()) {
            return Ok(());
        }
        let behind = if host.parse::<IpAddr>().is_ok() {
            String::new()
        } else {
            format!("{host} resolves to ")
        };
        Err(EgressError::Denied(format!(
            "{behind}{address}, an address that is not public ({kind}); {setting}.private = [\"{address}\"] would allow it"
        )))
    }
}

/// Opens clients for outgoing HTTP.
pub trait Egress: Send + Sync + fmt::Debug {
    /// A client for one policy. Connections are never shared between clients, since what one policy allowed another may not.
    fn client(&self, policy: EgressPolicy) -> Arc<dyn HttpClient>;
}

/// Sends requests within one policy: resolves once, checks every address, connects to a checked one, follows no redirects, goes
/// through no proxy, and caps time and bytes.
pub trait HttpClient: Send + Sync + fmt::Debug {
    /// Sends a request with an absolute URI and returns when the response's head is there.
    fn send(
        &self,
        request: http::Request<HttpBody>,
    ) -> BoxFuture<'static, Result<http::Response<HttpBody>, EgressError>>;
}

/// Why an outgoing request did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// No rule allows it; the text says what would.
    #[error("denied: {0}")]
    Denied(String),
    /// The request itself is malformed.
    #[error("not a request that can be sent: {0}")]
    BadRequest(String),
    /// The name has no address.
    #[error("cannot resolve {0}")]
    Resolve(String),
    /// No connection.
    #[error("cannot connect to {0}")]
    Connect(String),
    /// TLS failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// Took too long: which step, and the limit in milliseconds.
    #[error("{step} took longer than {limit_ms} ms")]
    Timeout {
        /// `connect`, `response`, `body`.
        step: &'static str,
        /// The limit.
        limit_ms: u64,
    },
    /// A body went over its cap.
    #[error("the {what} is larger than {limit} bytes")]
    TooBig {
        /// `request body` or `response body`.
        what: &'static str,
        /// The cap.
        limit: u64,
    },
    /// Too many requests under way.
    #[error("more than {0} requests at once")]
    Busy(u64),
    /// The connection broke, or the other side does not speak HTTP.
    #[error("the connection failed: {0}")]
    Broken(String),
}
