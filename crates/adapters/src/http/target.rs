//! Where a request goes, in one normal form: what is checked is what is connected to. No name is resolved here.

use std::fmt;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use model::ports::{EgressError, Reach};
use url::{Host, Url};

/// A checked absolute URI: scheme, host in lower case (an address in its usual form), port, and the path as it was written.
#[derive(Debug)]
pub(super) struct Target {
    scheme: &'static str,
    host: Host,
    port: u16,
    path: PathAndQuery,
}

impl Target {
    /// Reads a URI as browsers do: `2130706433`, `0x7f.1` and `0177.0.0.1` are 127.0.0.1.
    pub(super) fn of(uri: &Uri) -> Result<Self, EgressError> {
        let bad = |reason: &str| EgressError::BadRequest(reason.into());
        let authority = uri.authority().ok_or_else(|| bad("its URI has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("its URI holds a user name; use a header"));
        }
        let (scheme, default_port) = match uri.scheme_str() {
            Some("http") => ("http", 80),
            Some("https") => ("https", 443),
            Some(_) | None => return Err(bad("its URI has to begin with http:// or https://")),
        };
        // Only the origin: a path cannot change what the host is taken for.
        let url = Url::parse(&format!("{scheme}://{authority}/"))
            .map_err(|e| bad(&format!("its host {authority} is not valid: {e}")))?;
        let host = match url.host() {
            Some(Host::Domain(name)) => domain(name).ok_or_else(|| bad("its host is not valid"))?,
            Some(Host::Ipv4(a)) => Host::Ipv4(a),
            Some(Host::Ipv6(a)) => Host::Ipv6(a),
            None => return Err(bad("its URI has no host")),
        };
        let port = url.port().unwrap_or(default_port);
        if port == 0 {
            return Err(bad("port 0 cannot be connected to"));
        }
        Ok(Self {
            scheme,
            host,
            port,
            path: path(uri)?,
        })
    }

    /// May requests go there?
    pub(super) fn check(&self, reach: &Reach) -> Result<(), EgressError> {
        reach.check_origin(self.scheme, &self.bare_host(), self.port)
    }

    /// The URI to send to.
    pub(super) fn uri(&self) -> Result<Uri, EgressError> {
        let is_default = (self.scheme == "http" && self.port == 80)
            || (self.scheme == "https" && self.port == 443);
        let authority = if is_default {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        };
        let bad = |e: &dyn fmt::Display| EgressError::BadRequest(e.to_string());
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.scheme == "http" {
            Scheme::HTTP
        } else {
            Scheme::HTTPS
        });
        parts.authority = Some(Authority::try_from(authority).map_err(|e| bad(&e))?);
        parts.path_and_query = Some(self.path.clone());
        Uri::from_parts(parts).map_err(|e| bad(&e))
    }

    /// The host as rules know it: an IPv6 address without brackets.
    fn bare_host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(a) => a.to_string(),
            Host::Ipv6(a) => a.to_string(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// A name without the dot that marks it as complete, so that rules cover both forms.
fn domain(name: &str) -> Option<Host> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels_are_good = name.split('.').all(|l| (1..=63).contains(&l.len()));
    if name.len() > 253 || !labels_are_good {
        return None;
    }
    Host::parse(name).ok()
}

/// The path as written; it has to be one, since a full URI in its place would name another host to the server.
fn path(uri: &Uri) -> Result<PathAndQuery, EgressError> {
    let path = uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    let text = path.as_str();
    if text.starts_with('/') {
        return Ok(path);
    }
    if text.starts_with('?') {
        return PathAndQuery::try_from(format!("/{text}"))
            .map_err(|e| EgressError::BadRequest(e.to_string()));
    }
    Err(EgressError::BadRequest(
        "its path has to begin with a slash".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, want: &str) {
        let target = Target::of(&uri.parse().unwrap()).unwrap();
        assert_eq!(target.to_string(), want, "{uri}");
    }

    #[test]
    fn hosts_are_brought_to_one_form() {
        check("http://Example.COM/x", "http://example.com:80");
        check("https://example.com./", "https://example.com:443");
        check("http://example.com:8080", "http://example.com:8080");
        for loopback in [
            "http://127.0.0.1",
            "http://2130706433",
            "http://0x7f000001",
            "http://0x7f.1",
            "http://0177.0.0.1",
            "http://127.1",
            "http://127.0.0.1.",
        ] {
            check(loopback, "http://127.0.0.1:80");
        }
        check("http://[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]:80");
        check("http://[0:0:0:0:0:0:0:1]:8", "http://[::1]:8");
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for bad in [
            "/path",
            "example.com",
            "ftp://example.com/",
            "http://user@example.com/",
            "http://user:pass@example.com/",
            "http://example.com:0/",
            "http://a..b/",
            "http://example.com../",
            "http://256.1.1.1/",
            "http://1.2.3.4.5/",
        ] {
            let Ok(uri) = bad.parse() else { continue };
            assert!(Target::of(&uri).is_err(), "{bad}");
        }
    }

    #[test]
    fn path_and_query_stay_as_written() {
        let check = |given: &str, want: &str| {
            let target = Target::of(&given.parse().unwrap()).unwrap();
            assert_eq!(target.uri().unwrap().to_string(), want);
        };
        check("http://A.b", "http://a.b/");
        check("http://A.b?q=1", "http://a.b/?q=1");
        check("http://A.b:80/x/../%2e?q#f", "http://a.b/x/../%2e?q");
        check("https://A.b:80/", "https://a.b:80/");
    }
}
