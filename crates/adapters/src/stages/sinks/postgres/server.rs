//! Which server and database, how to get there, and whether that is allowed. The password stays in here.

use std::sync::Arc;
use std::time::Duration;

use model::access::Access;
use model::error::Fault;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault;
use crate::http::tls;

/// How to get to a database.
pub(crate) struct Login<'a> {
    /// Its address, as the option `url` describes it.
    pub(crate) url: &'a str,
    /// The password, if it is not in there.
    pub(crate) password: Option<&'a str>,
    /// How long connecting may take.
    pub(crate) timeout: Duration,
}

/// A database and the way to it.
pub(crate) struct Server {
    config: Config,
    tls: MakeRustlsConnect,
    timeout: Duration,
    /// For words: `database flights at 127.0.0.1:5432`.
    pub(crate) place: String,
}

impl Server {
    /// Reads the address, asks whether it is allowed, and reads certificates; connects to nothing.
    pub(crate) async fn new(login: &Login<'_>, access: &Access) -> Result<Self, Fault> {
        let parsed = parse(login.url).map_err(Fault::Invalid)?;
        let mut config = parsed.config;
        if let Some(password) = login.password {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("weir");
        }
        let addresses = addresses(&config);
        if let Some(allowed) = &access.databases {
            for address in &addresses {
                if !allowed.contains(address) {
                    return Err(Fault::Denied(format!(
                        "the database server {address} is not one that pipelines may use; allowed: {} (`[pipelines] databases` of the host configuration)",
                        super::super::sql::listed(allowed)
                    )));
                }
            }
        }
        let tls = match parsed.check {
            Check::Nothing => unchecked()?,
            Check::All { roots: None } => tokio::task::spawn_blocking(tls::system_roots)
                .await
                .map_err(|error| Fault::Internal(error.to_string()))
                .and_then(with_roots)?,
            Check::All { roots: Some(path) } => {
                let path = access.files.resolve(path.as_ref()).map_err(Fault::Denied)?;
                let pem = tokio::fs::read(&path).await;
                let pem = pem
                    .map_err(|e| Fault::Invalid(format!("sslrootcert {}: {e}", path.display())))?;
                roots_of(&pem)
                    .map_err(|e| Fault::Invalid(format!("sslrootcert {}: {e}", path.display())))
                    .and_then(with_roots)?
            }
        };
        let database = config
            .get_dbname()
            .or(config.get_user())
            .unwrap_or("(default)");
        Ok(Self {
            place: format!("database {database} at {}", addresses.join(", ")),
            tls: MakeRustlsConnect::new(tls),
            timeout: login.timeout,
            config,
        })
    }

    /// Connects. The connection closes when the client is dropped.
    pub(crate) async fn connect(&self) -> Result<Client, Fault> {
        let connecting = self.config.connect(self.tls.clone());
        let (client, connection) = tokio::time::timeout(self.timeout, connecting)
            .await
            .map_err(|_| Fault::Transient {
                message: format!(
                    "{}: no connection within the timeout of {:?}",
                    self.place, self.timeout
                ),
                retry_after_ms: None,
            })?
            .map_err(|error| fault::sorted(&self.place, &error).into_fault(&self.place))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Whoever waits for an answer is told, too; the error says nothing of records or passwords.
                tracing::debug!(%error, "a connection to PostgreSQL has ended");
            }
        });
        Ok(client)
    }
}

/// What a certificate is held against.
#[derive(Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    All { roots: Option<String> },
}

struct Parsed {
    config: Config,
    check: Check,
}

/// Is this the address of a database?
pub(super) fn check_url(url: &str) -> Result<(), String> {
    parse(url).map(|_| ())
}

/// Reads an address. No error repeats it, for there may be a password in it.
fn parse(url: &str) -> Result<Parsed, String> {
    const WANTED: &str = "allowed: `postgres://user@host:port/database?sslmode=…`";
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(format!(
            "`url` is not the address of a PostgreSQL database; {WANTED}"
        ));
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let ats = |text: &str| text.matches('@').count();
    if ats(base) > 1 || (ats(base) == 0 && ats(query) > 0) {
        // What is taken for a host here may be half a password, which later errors would show.
        return Err(format!(
            "`url` cannot be read: is a `@` or `?` in the password not percent-encoded? The option `password` needs no encoding; {WANTED}"
        ));
    }
    let (mut mode, mut roots, mut rest) = ("prefer", None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = value,
            Some(("sslrootcert", _)) => {
                roots = url::form_urlencoded::parse(pair.as_bytes())
                    .next()
                    .map(|(_, path)| path.into_owned());
            }
            Some(("hostaddr", _)) => {
                return Err(
                    "`hostaddr` is not supported in `url`; write the address as the host".into(),
                );
            }
            _ => rest.push(pair),
        }
    }
    let (sent, check) = match mode {
        "disable" | "prefer" | "require" => (mode, Check::Nothing),
        "verify-full" => ("require", Check::All { roots }),
        other => {
            return Err(format!(
                "`sslmode={other}` in `url` is not known; allowed: disable, prefer, require, verify-full"
            ));
        }
    };
    rest.push("sslmode=");
    let whole = format!("{base}?{}{sent}", rest.join("&"));
    let config: Config = whole.parse().map_err(|error: tokio_postgres::Error| {
        let why = std::error::Error::source(&error).map_or_else(String::new, |e| format!(" ({e})"));
        format!("`url` cannot be read{why}: is something in the password not percent-encoded? The option `password` needs no encoding; {WANTED}")
    })?;
    if config.get_hosts().is_empty() {
        return Err(format!("`url` names no host; {WANTED}"));
    }
    Ok(Parsed { config, check })
}

/// Where it leads, as access lists name it: `host:port`.
fn addresses(config: &Config) -> Vec<String> {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate();
    hosts
        .map(|(at, host)| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        })
        .collect()
}

fn roots_of(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate".into());
    }
    Ok(roots)
}

fn with_roots(roots: RootCertStore) -> Result<ClientConfig, Fault> {
    tls::config(roots).map_err(|error| Fault::Internal(error.to_string()))
}

/// Encrypted, whoever answers: what `sslmode=require` means to PostgreSQL.
fn unchecked() -> Result<ClientConfig, Fault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let anyone = Arc::new(Anyone(Arc::clone(&provider)));
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::Internal(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(anyone)
        .with_no_client_auth())
}

/// Takes every certificate, but only from who has its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
