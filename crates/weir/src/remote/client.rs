//! The HTTP side of the commands: one server, one key. The key leaves this machine only where the operator gave it for that.

use std::path::Path;
use std::sync::Arc;

use adapters::http::HyperEgress;
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use model::egress::{Network, OriginRule};
use model::grants::HttpGrant;
use model::limits::{Limit, Limits};
use model::ports::{Egress, EgressPolicy, HttpBody, HttpClient, Reach};
use serde_json::Value;
use url::{Host, Url};

use super::RemoteArgs;
use super::table::plain;
use crate::config;

/// Largest answer that is read whole.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// A server's answer that says no.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    text: String,
    /// All that is wrong, one by one, where there may be several.
    pub(super) errors: Value,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

/// Speaks with one server.
pub(super) struct Client {
    http: Arc<dyn HttpClient>,
    base: Url,
    key: String,
    /// Is the answer for a machine?
    pub(super) json: bool,
}

impl Client {
    /// `patience_ms`: how long the server may say nothing.
    pub(super) fn new(remote: &RemoteArgs, patience_ms: u64) -> anyhow::Result<Self> {
        let base = server(&remote.server)?;
        let key = key(remote.key_file.as_deref(), is_local(&base))?;
        Ok(Self {
            http: HyperEgress::new()?.client(policy(&base, patience_ms)?),
            base,
            key,
            json: remote.json,
        })
    }

    /// The address of a route: its path in segments, since an id may hold slashes, and its query.
    pub(super) fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    pub(super) async fn get(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.ask("GET", self.url(path, &[])).await
    }

    /// Sends a request without a body and reads the answer.
    ///
    /// # Errors
    /// No answer, or one that says no: in the server's words.
    pub(super) async fn ask(&self, method: &str, url: Url) -> anyhow::Result<Value> {
        let answer = self.send(method, url, &[]).await?;
        let bytes = whole(answer.into_body()).await?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} answered no JSON", self.base))
    }

    /// Sends a request and returns when the head of a good answer is there.
    pub(super) async fn send(
        &self,
        method: &str,
        url: Url,
        headers: &[(&str, String)],
    ) -> anyhow::Result<http::Response<HttpBody>> {
        self.send_with(method, url, headers, String::new()).await
    }

    /// Sends a request with a body, and reads the answer.
    ///
    /// # Errors
    /// No answer, or one that says no: in the server's words.
    pub(super) async fn give(
        &self,
        method: &str,
        url: Url,
        kind: &str,
        body: String,
    ) -> anyhow::Result<Value> {
        let headers = [("content-type", kind.to_owned())];
        let answer = self.send_with(method, url, &headers, body).await?;
        let bytes = whole(answer.into_body()).await?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} answered no JSON", self.base))
    }

    /// An answer that is a text.
    pub(super) async fn text(&self, path: &[&str]) -> anyhow::Result<String> {
        let answer = self.send("GET", self.url(path, &[]), &[]).await?;
        let bytes = whole(answer.into_body()).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn send_with(
        &self,
        method: &str,
        url: Url,
        headers: &[(&str, String)],
        body: String,
    ) -> anyhow::Result<http::Response<HttpBody>> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(url.as_str())
            .header("authorization", format!("Bearer {}", self.key));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
        let request = request.body(body.boxed_unsync())?;
        let answer = self.http.send(request).await;
        let answer = answer
            .with_context(|| format!("no answer from {}; does a server run there?", self.base))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = whole(answer.into_body()).await.unwrap_or_default();
        let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let told = |key| problem.pointer(key).and_then(Value::as_str).map(plain);
        let status = status.as_u16();
        let text = match (told("/error/message"), told("/error/code")) {
            (Some(message), Some(code)) => format!("{message} ({status} {code})"),
            _ => format!("{} answered {status}; is it a Weir server?", self.base),
        };
        let errors = problem.pointer("/error/errors").cloned();
        Err(Refusal {
            status,
            text,
            errors: errors.unwrap_or_default(),
        }
        .into())
    }

    /// Shows an answer: as it is to a machine, else as `human` writes it.
    pub(super) fn show(&self, answer: &Value, human: impl FnOnce(&Value) -> String) {
        if self.json {
            crate::say(&answer.to_string());
        } else {
            crate::say(human(answer).trim_end());
        }
    }
}

/// Reads a body of bounded size.
async fn whole(body: HttpBody) -> anyhow::Result<Bytes> {
    #[expect(clippy::disallowed_methods, reason = "the body is limited")]
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|e| anyhow!("the answer broke off: {e}"))?;
    Ok(body.to_bytes())
}

fn server(text: &str) -> anyhow::Result<Url> {
    let wrong =
        || anyhow!("--server: {text:?} is not an http or https URL such as http://127.0.0.1:9099");
    let url = Url::parse(text).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        bail!("--server: a URL without user, password and query is needed");
    }
    Ok(url)
}

/// Is it this machine, by its address or the name every machine has for itself?
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The operator named the server, so it may be anywhere, but requests go there only.
fn policy(base: &Url, patience_ms: u64) -> anyhow::Result<EgressPolicy> {
    let rule: OriginRule = base.origin().ascii_serialization().parse()?;
    let everywhere = ["0.0.0.0/0", "::/0"].iter();
    let private = everywhere
        .filter_map(|n| n.parse::<Network>().ok())
        .collect();
    let mut limits = Limits::defaults();
    for (limit, value) in [
        (Limit::HttpIdleMs, patience_ms),
        // Events have no end.
        (Limit::HttpResponseBytes, u64::MAX),
    ] {
        limits
            .set(limit.name(), value, &Limits::unlimited())
            .map_err(|e| anyhow!("{e}"))?;
    }
    Ok(EgressPolicy {
        sender: "weir".into(),
        reach: Reach::granted(HttpGrant {
            allow: vec![rule],
            private,
        }),
        limits,
    })
}

/// The key: from the file named, else from the environment, else the one of the server on this machine.
fn key(file: Option<&Path>, is_local: bool) -> anyhow::Result<String> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("--key-file: cannot read {}", file.display()))?;
        return Ok(text.trim().to_owned());
    }
    let env = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    if let Some(key) = env("PIPELINES_API_KEY") {
        return Ok(key);
    }
    if !is_local {
        bail!(
            "no API key: set PIPELINES_API_KEY or name a file with --key-file; the key of this machine's server is not sent to another"
        );
    }
    config::local_key(&env).map_err(|looked| {
        anyhow!("no API key: set PIPELINES_API_KEY, or name a file with --key-file ({looked})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_urls_name_a_server() {
        for bad in [
            "",
            "127.0.0.1:9099",
            "ftp://a",
            "http://u:p@a",
            "http://a?x",
            "file:///a",
        ] {
            assert!(
                server(bad).unwrap_err().to_string().contains("--server"),
                "{bad}"
            );
        }
        for (good, local) in [
            ("http://127.0.0.1:9099", true),
            ("http://localhost:1/", true),
            ("http://[::1]:9099", true),
            ("https://weir.example/base", false),
            ("http://127.0.0.1.example", false),
        ] {
            assert_eq!(is_local(&server(good).unwrap()), local, "{good}");
        }
    }

    #[test]
    fn the_key_of_this_machine_stays_here() {
        let e = key(None, false);
        // A test runs without the variable; where it is set, it was meant to be sent.
        if std::env::var_os("PIPELINES_API_KEY").is_none() {
            assert!(e.unwrap_err().to_string().contains("not sent to another"));
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, " k3y\n").unwrap();
        assert_eq!(key(Some(&file), false).unwrap(), "k3y");
    }

    #[test]
    fn ids_with_slashes_are_one_segment() {
        let client = Client {
            http: HyperEgress::new()
                .unwrap()
                .client(policy(&Url::parse("http://127.0.0.1:1").unwrap(), 1_000).unwrap()),
            base: Url::parse("http://a/base/").unwrap(),
            key: String::new(),
            json: false,
        };
        let url = client.url(&["plugins", "org/x y"], &[("force", "true")]);
        assert_eq!(
            url.as_str(),
            "http://a/base/api/v1/plugins/org%2Fx%20y?force=true"
        );
    }
}
