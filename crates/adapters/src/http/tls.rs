//! TLS for outgoing connections: the system's root certificates, sessions of a client's own. No client certificates.

use std::sync::Arc;

use model::ports::EgressError;
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};

/// TLS sessions a client remembers.
const SESSIONS: usize = 32;

/// The system's root certificates; those that cannot be read are left out.
pub(crate) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (good, bad) = roots.add_parsable_certificates(found.certs);
    if good == 0 {
        let errors = found.errors.len();
        tracing::warn!(
            errors,
            "no root certificates were found: outgoing https will fail"
        );
    } else {
        tracing::debug!(good, bad, "root certificates were read");
    }
    roots
}

/// TLS 1.2 and 1.3 against these roots.
pub(crate) fn config(roots: RootCertStore) -> Result<ClientConfig, EgressError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| EgressError::Tls(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The same for one client: it resumes only sessions it began itself.
pub(super) fn own_sessions(shared: &ClientConfig) -> ClientConfig {
    let mut own = shared.clone();
    own.resumption = Resumption::in_memory_sessions(SESSIONS);
    own
}
