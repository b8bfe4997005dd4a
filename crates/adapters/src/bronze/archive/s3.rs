//! A bucket that speaks S3, through our own HTTP client and cryptography: no other TLS stack comes in with `object_store`.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use model::bronze::BronzeError;
use model::limits::{Limit, Limits};
use model::ports::{Egress, EgressError, EgressPolicy, HttpBody, HttpClient, Reach};
use object_store::RetryConfig;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    ClientOptions, CryptoProvider, DigestAlgorithm, DigestContext, HmacContext,
    HttpClient as StoreClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService, Signer, SigningAlgorithm,
};
use sha2::{Digest, Sha256};

/// How often a request is tried again, and for how long: what fails is tried anew with the next upload.
const RETRIES: usize = 4;
const RETRY_TIME: Duration = Duration::from_secs(60);

/// A bucket and how to get at it.
#[derive(Clone)]
pub struct S3 {
    /// `https://host[:port]`; none: that of AWS for the region. With one, the bucket stands in the path.
    pub endpoint: Option<String>,
    /// The region; stores other than AWS mostly take any.
    pub region: String,
    /// The bucket; it has to exist.
    pub bucket: String,
    /// What the names of all objects begin with; two servers that share a bucket need two.
    pub prefix: String,
    /// The key's id.
    pub access_key: String,
    /// The key.
    pub secret_key: String,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

pub(super) fn open(options: &S3, egress: &dyn Egress) -> Result<AmazonS3, BronzeError> {
    let mut limits = Limits::defaults();
    for limit in [Limit::HttpRequestBytes, Limit::HttpResponseBytes] {
        let most = Limits::ceilings().get(limit);
        limits
            .set(limit.name(), most, &Limits::ceilings())
            .map_err(|e| BronzeError::Invalid(e.to_string()))?;
    }
    let policy = EgressPolicy {
        sender: "the raw log".into(),
        reach: Reach::Anywhere,
        limits,
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&options.bucket)
        .with_region(&options.region)
        .with_access_key_id(&options.access_key)
        .with_secret_access_key(&options.secret_key)
        .with_allow_http(true)
        .with_virtual_hosted_style_request(options.endpoint.is_none())
        .with_crypto_provider(Arc::new(Crypto))
        .with_http_connector(Client(egress.client(policy)))
        .with_retry(RetryConfig {
            max_retries: RETRIES,
            retry_timeout: RETRY_TIME,
            ..RetryConfig::default()
        });
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    builder
        .build()
        .map_err(|e| BronzeError::Invalid(format!("the bucket {}: {e}", options.bucket)))
}

/// Our client, as `object_store` sees one.
#[derive(Debug, Clone)]
struct Client(Arc<dyn HttpClient>);

impl HttpConnector for Client {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<StoreClient> {
        Ok(StoreClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = request.map(|body| {
            let body = body.map_err(|e| EgressError::Broken(e.to_string()));
            body.boxed_unsync()
        });
        let response = self.0.send(request).await.map_err(translate)?;
        Ok(response.map(|body| HttpResponseBody::new(Shared(Mutex::new(body)))))
    }
}

/// A body that may be shared, since nobody does: it is only ever borrowed alone.
struct Shared(Mutex<HttpBody>);

impl Shared {
    fn body(&mut self) -> &mut HttpBody {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Shared {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = Pin::new(self.body()).poll_frame(context);
        frame.map(|f| f.map(|f| f.map_err(translate)))
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.size_hint()
    }
}

/// What kind of error it is decides whether it is tried again.
fn translate(error: EgressError) -> HttpError {
    let kind = match &error {
        EgressError::Connect(_) | EgressError::Resolve(_) => HttpErrorKind::Connect,
        EgressError::Timeout { .. } => HttpErrorKind::Timeout,
        EgressError::Broken(_) | EgressError::Busy(_) => HttpErrorKind::Interrupted,
        EgressError::Denied(_)
        | EgressError::BadRequest(_)
        | EgressError::Tls(_)
        | EgressError::TooBig { .. } => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}

/// SHA-256 and HMAC for signatures.
#[derive(Debug)]
struct Crypto;

fn unsupported(what: &str) -> object_store::Error {
    object_store::Error::NotSupported {
        source: format!("{what} is not used by S3").into(),
    }
}

impl CryptoProvider for Crypto {
    fn digest(&self, algorithm: DigestAlgorithm) -> object_store::Result<Box<dyn DigestContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => Ok(Box::new(Hashing(Sha256::new(), [0; 32]))),
            other => Err(unsupported(&format!("{other:?}"))),
        }
    }

    fn hmac(
        &self,
        algorithm: DigestAlgorithm,
        secret: &[u8],
    ) -> object_store::Result<Box<dyn HmacContext>> {
        if algorithm != DigestAlgorithm::Sha256 {
            return Err(unsupported(&format!("{algorithm:?}")));
        }
        let hmac = Hmac::<Sha256>::new_from_slice(secret)
            .map_err(|_| unsupported("a key of this length"))?;
        Ok(Box::new(Signing(hmac, [0; 32])))
    }

    fn sign(&self, _: SigningAlgorithm, _: &[u8]) -> object_store::Result<Box<dyn Signer>> {
        Err(unsupported("a signature by a private key"))
    }
}

struct Hashing(Sha256, [u8; 32]);

impl DigestContext for Hashing {
    fn update(&mut self, data: &[u8]) {
        Digest::update(&mut self.0, data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        self.1 = self.0.finalize_reset().into();
        Ok(&self.1)
    }
}

struct Signing(Hmac<Sha256>, [u8; 32]);

impl HmacContext for Signing {
    fn update(&mut self, data: &[u8]) {
        Mac::update(&mut self.0, data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        self.1 = self.0.clone().finalize().into_bytes().into();
        Ok(&self.1)
    }
}
