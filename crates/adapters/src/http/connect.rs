//! Connecting: resolve, check each address against the policy, connect to one that passed. Rules about origins are checked before.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use model::BoxFuture;
use model::ports::{EgressError, Reach};
use tokio::net::TcpStream;
use tower::Service;

use super::resolve::Resolve;

/// Most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Opens TCP connections, to checked addresses only.
#[derive(Clone)]
pub(super) struct Checked {
    resolver: Arc<dyn Resolve>,
    reach: Arc<Reach>,
}

impl Checked {
    pub(super) fn new(resolver: Arc<dyn Resolve>, reach: Arc<Reach>) -> Self {
        Self { resolver, reach }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, EgressError> {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let default_port = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default_port);
        let mut failure = None;
        for address in self.addresses(host).await? {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection stays with delayed small packets");
                    }
                    return Ok(TokioIo::new(stream));
                }
                Err(e) => failure = Some(e),
            }
        }
        let reason = failure.map(|e| format!(": {e}")).unwrap_or_default();
        Err(EgressError::Connect(format!("{host}:{port}{reason}")))
    }

    /// The addresses of a host that the policy allows; an error says why there are none.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, EgressError> {
        let all = match host.parse() {
            Ok(literal) => vec![literal],
            Err(_) => self
                .resolver
                .resolve(host.to_owned())
                .await
                .map_err(|e| EgressError::Resolve(format!("{host}: {e}")))?,
        };
        let mut refused = None;
        let mut good = Vec::new();
        for address in all {
            match self.reach.check_address(host, address) {
                Ok(()) if good.len() < MAX_ADDRESSES => good.push(address),
                Ok(()) => {}
                Err(e) => refused = Some(e),
            }
        }
        match refused {
            Some(error) if good.is_empty() => Err(error),
            None if good.is_empty() => {
                Err(EgressError::Resolve(format!("{host}: it has no address")))
            }
            Some(_) | None => Ok(good),
        }
    }
}

impl Service<Uri> for Checked {
    type Response = TokioIo<TcpStream>;
    type Error = EgressError;
    type Future = BoxFuture<'static, Result<Self::Response, EgressError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// Connects, and shakes hands where the scheme is `https`, within a time-out for it all.
#[derive(Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<Checked>,
    limit: Duration,
}

impl Connector {
    pub(super) fn new(checked: Checked, tls: rustls::ClientConfig, limit: Duration) -> Self {
        Self {
            inner: HttpsConnector::from((checked, tls)),
            limit,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = EgressError;
    type Future = BoxFuture<'static, Result<Self::Response, EgressError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        // The inner one is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(e)) => Err(match e.downcast::<EgressError>() {
                    Ok(own) => *own,
                    Err(other) => EgressError::Tls(other.to_string()),
                }),
                Err(_) => Err(EgressError::Timeout {
                    step: "connect",
                    limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
                }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use model::grants::HttpGrant;

    use super::*;

    fn check(address: &str, private: &[&str], allowed: bool) {
        let reach = Reach::granted(HttpGrant {
            allow: vec![],
            private: private.iter().map(|n| n.parse().unwrap()).collect(),
        });
        let address = address.parse().unwrap();
        let found = reach.check_address("x", address);
        assert_eq!(found.is_ok(), allowed, "{address} {private:?}: {found:?}");
        assert_eq!(Reach::Anywhere.check_address("x", address), Ok(()));
    }

    #[test]
    fn private_networks_open_what_they_hold() {
        check("1.1.1.1", &[], true);
        check("127.0.0.1", &[], false);
        check("127.0.0.1", &["127.0.0.0/8"], true);
        check("::ffff:127.0.0.1", &["127.0.0.0/8"], true);
        check("10.0.0.1", &["127.0.0.0/8", "10.0.0.0/24"], true);
        check("10.0.1.1", &["127.0.0.0/8", "10.0.0.0/24"], false);
        check("::1", &["127.0.0.0/8"], false);
    }

    #[test]
    fn a_metadata_service_needs_its_own_address() {
        for (address, wide) in [
            ("169.254.169.254", "169.254.0.0/16"),
            ("::ffff:169.254.169.254", "0.0.0.0/0"),
            ("100.100.100.200", "100.64.0.0/10"),
            ("fd00:ec2::254", "fd00::/8"),
        ] {
            check(address, &[wide], false);
            check(address, &[wide, address], true);
        }
    }
}
