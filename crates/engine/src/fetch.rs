//! Fetches a component by URL, within the policy of the client given to the engine. Rewriting links of code hosts is the server's business.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use model::limits::Limit;
use model::ports::EgressError;

use crate::{AddError, Engine};

/// How long fetching a component may take.
const PATIENCE: Duration = Duration::from_secs(120);

impl Engine {
    pub(crate) async fn fetch(&self, url: &str) -> Result<Bytes, AddError> {
        let request = request(url)?;
        tokio::time::timeout(PATIENCE, self.fetch_all(request))
            .await
            .map_err(|_| AddError::Timeout(PATIENCE.as_secs()))?
    }

    async fn fetch_all(
        &self,
        request: http::Request<model::ports::HttpBody>,
    ) -> Result<Bytes, AddError> {
        let response = self.ports.fetch.send(request).await?;
        if response.status() != http::StatusCode::OK {
            return Err(AddError::Status(response.status().as_u16()));
        }
        let limit = self.options.ceilings.get(Limit::ComponentBytes);
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        #[expect(clippy::disallowed_methods, reason = "the body is limited")]
        let body = Limited::new(response.into_body(), most).collect().await;
        match body {
            Ok(body) => Ok(body.to_bytes()),
            Err(e) if e.is::<LengthLimitError>() => Err(AddError::TooBig { limit }),
            Err(e) => Err(AddError::Fetch(match e.downcast::<EgressError>() {
                Ok(e) => *e,
                Err(e) => EgressError::Broken(e.to_string()),
            })),
        }
    }
}

fn request(url: &str) -> Result<http::Request<model::ports::HttpBody>, AddError> {
    let wrong = |reason: String| AddError::Url {
        given: url.chars().take(200).collect(),
        reason,
    };
    let uri: http::Uri = url
        .parse()
        .map_err(|e: http::uri::InvalidUri| wrong(e.to_string()))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(wrong("it needs a scheme, http or https, and a host".into()));
    }
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    http::Request::get(uri)
        .body(body)
        .map_err(|e| wrong(e.to_string()))
}
