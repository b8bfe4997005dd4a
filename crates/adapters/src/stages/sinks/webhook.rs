//! Records to a webhook: requests that are signed, so that the receiver knows who sent them and that nobody changed them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use http::Method;
use model::BoxFuture;
use model::data::Writer;
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, SinkKind, is_open};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stages::options;
use crate::stages::span::Span;
use crate::stages::web::auth::{Auth, header_name};
use crate::stages::web::caller::{Caller, Manners, Web};
use crate::stages::web::delivery::{Delivery, Holds, Named, Terms};
use crate::stages::web::options::{RateLimit, Retry, half_a_minute};
use crate::stages::web::sign::Signer;
use crate::stages::web::{self, check_headers, check_url};

#[cfg(test)]
mod tests;

/// Records to a webhook, signed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// An absolute URL, `http` or `https`. Templates and references work in it.
    url: String,
    /// The secret shared with the receiver: write a reference, `${env:NAME}`. With `scheme: standard` it is base64, with or without `whsec_` before it.
    secret: String,
    /// With `scheme: standard`: a secret that is about to go, or to come. Requests have a signature for each, so that the receiver can change its own at any time.
    other_secret: Option<String>,
    /// How requests are signed. `standard`: as Standard Webhooks says, with `webhook-id`, `webhook-timestamp` and `webhook-signature`. `hex`: the HMAC-SHA256 of the body, in
    /// lower-case hexadecimal digits, in one header.
    #[serde(default)]
    scheme: Scheme,
    /// With `scheme: hex`: the header of the signature. Default: `x-webhook-signature`.
    signature_header: Option<String>,
    /// With `scheme: hex`: what stands before the digits, as `sha256=`. Default: nothing.
    signature_prefix: Option<String>,
    /// What a request holds: one record, or a JSON list of them.
    #[serde(default)]
    body: Body,
    /// Most records of a request, with `records`. Default: as many as come at once (`limits.batch_records` of the pipeline).
    batch: Option<NonZeroU32>,
    /// Requests under way at once. With more than 1 the records of a batch may arrive in another order.
    #[serde(default = "one")]
    #[schemars(range(max = 64))]
    concurrency: NonZeroU32,
    /// Headers by name.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Who the stage says it is, beside the signature.
    auth: Option<Auth>,
    /// How a request is tried again. Default: not here; the whole step is tried again as `errors.retry` of the pipeline says, without the requests that were answered.
    retry: Option<Retry>,
    /// At most so many requests in a span of time.
    rate_limit: Option<RateLimit>,
    /// The longest wait for a connection, for an answer to begin, and between two pieces of it.
    #[serde(default = "half_a_minute")]
    timeout: Span,
}

/// How requests are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Scheme {
    /// Standard Webhooks.
    #[default]
    Standard,
    /// Hexadecimal digits in one header.
    Hex,
}

/// What a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Body {
    /// One record.
    #[default]
    Record,
    /// A JSON list of records.
    Records,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// The sink `webhook`.
#[derive(Debug)]
struct Webhook(Web);

impl Kind for Webhook {
    fn described(&self) -> Described {
        Described {
            name: "webhook",
            summary: "Records to a webhook, signed as Standard Webhooks says or with an HMAC in hexadecimal digits.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, options: &Value) -> Vec<Misfit> {
        options::check(options, |options: Options| options.check())
    }
}

impl SinkKind for Webhook {
    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> {
        let opened = self.writer(&config, &context);
        Box::pin(async { opened.map(|w| Box::new(w) as Box<dyn Writer>) })
    }
}

impl Webhook {
    fn writer(&self, config: &str, context: &Context) -> Result<Delivery, Fault> {
        let options: Options = options::read(config)?;
        options::refuse(options.check())?;
        let manners = Manners {
            headers: &options.headers,
            auth: options.auth.as_ref(),
            retry: options.retry.as_ref(),
            rate_limit: options.rate_limit.as_ref(),
            timeout: options.timeout,
            redirects: 0,
            signer: Some(options.signer()?),
        };
        let url = web::url(&options.url).map_err(Fault::Invalid)?;
        let caller = Caller::new(&self.0, context, &url, manners)?;
        let size = |n: NonZeroU32| usize::try_from(n.get()).unwrap_or(usize::MAX);
        let terms = Terms {
            method: Method::POST,
            url,
            holds: match options.body {
                Body::Record => Holds::Record,
                Body::Records => Holds::Records,
            },
            most: options.batch.map(size),
            at_once: size(options.concurrency),
            named: Named::Message,
            results: None,
        };
        Ok(Delivery::new(caller, terms))
    }
}

impl Options {
    fn signer(&self) -> Result<Signer, Fault> {
        match self.scheme {
            Scheme::Standard => {
                let other = self.other_secret.as_deref();
                let secrets: Vec<&str> = [self.secret.as_str()].into_iter().chain(other).collect();
                Signer::standard(&secrets)
            }
            Scheme::Hex => {
                let header = self.signature_header.as_deref();
                let header = header.unwrap_or("x-webhook-signature");
                let prefix = self.signature_prefix.as_deref().unwrap_or_default();
                Signer::hex(header, prefix, &self.secret)
            }
        }
    }

    fn check(&self) -> Vec<Misfit> {
        let mut wrong = check_url(&self.url);
        wrong.extend(self.auth.iter().flat_map(Auth::check));
        wrong.extend(self.retry.iter().flat_map(Retry::check));
        wrong.extend(check_headers(self.headers.keys()));
        let is_hex = self.scheme == Scheme::Hex;
        let mut secrets = [Some(&self.secret), self.other_secret.as_ref()]
            .into_iter()
            .flatten();
        if !is_hex
            && !secrets.any(|s| is_open(s))
            && let Err(fault) = self.signer()
        {
            let said = fault.said().unwrap_or_default();
            wrong.push(Misfit::new("/secret", said));
        }
        for (pointer, given, goes_with_hex) in [
            ("/signature_header", self.signature_header.is_some(), true),
            ("/signature_prefix", self.signature_prefix.is_some(), true),
            ("/other_secret", self.other_secret.is_some(), false),
        ] {
            if given && goes_with_hex != is_hex {
                let scheme = if goes_with_hex { "hex" } else { "standard" };
                let message = format!("goes with `scheme: {scheme}` only");
                wrong.push(Misfit::new(pointer, message));
            }
        }
        if let Some(Err(m)) = self.signature_header.as_deref().map(header_name) {
            wrong.push(Misfit::new("/signature_header", m));
        }
        if self.body == Body::Record && self.batch.is_some() {
            let message = "with `body: record` each request holds one record";
            wrong.push(Misfit::new("/batch", message));
        }
        wrong
    }
}

/// The sink `webhook`, for the list of kinds.
pub(in crate::stages) fn kind(web: &Web) -> Arc<dyn SinkKind> {
    Arc::new(Webhook(web.clone()))
}
