//! Taking a request: its signature is verified over the bytes as they came, it is looked at once for whether it may be taken now, and answered when it is on disk.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use model::bronze::{BronzeError, REPLACED, RawRecord};
use model::error::{Fault, StageError};
use model::exchange::Cause;
use model::hooks::Point;
use model::id::{PipelineId, PluginId, PluginRef};
use model::run::RunId;
use serde_json::{Map, Value, json};

use super::bounds::Admitted;
use super::inbox::{Inbox, Shared};
use super::signature::{Refused, Verified};
use crate::Engine;
use crate::hooks::step;
use crate::pipelines::validate::refusal;
use crate::raw::millis;
use crate::slot::lock;

/// A body of more bytes than this is not verified on an async thread.
const LARGE: usize = 64 * 1024;
/// How long answers wait for their run to be in the store, from when it is made: the payload is safe without it.
const SUBMITTED: Duration = Duration::from_secs(1);
/// Headers that are not kept: what shows who may send is no part of what was sent.
const SECRET: [&str; 5] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-webhook-signature",
    "webhook-signature",
];
/// What the names of headers begin with that only the host writes.
const OWN: &str = "weir-";

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// No pipeline has this id.
    #[error("there is no such pipeline")]
    NotFound,
    /// It is paused, or of another type.
    #[error("the pipeline is not configured for webhooks")]
    NotConfigured,
    /// Whoever sent it does not show that it has the secret.
    #[error("the signature is not good")]
    Signature,
    /// A message of this id was taken already.
    #[error("the message was taken already")]
    Seen,
    /// Too many were taken in this span of time.
    #[error("too many requests; the next is taken in {0} s")]
    Rate(u64),
    /// A hook said no, or failed where it must not.
    #[error("{0}")]
    Refused(String),
    /// It can never be kept.
    #[error("{0}")]
    TooLarge(String),
    /// It cannot be kept now, and was not; it may be later.
    #[error("{0}")]
    Unavailable(String),
}

impl WebhookError {
    /// Its name in metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotConfigured => "not_configured",
            Self::Signature => "bad_signature",
            Self::Seen => "duplicate",
            Self::Rate(_) => "rate_limited",
            Self::Refused(_) => "refused",
            Self::TooLarge(_) => "too_large",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl Engine {
    /// The webhook of a pipeline, where one may be sent to now.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`] and [`WebhookError::NotConfigured`].
    pub fn inbox(&self, id: &str) -> Result<Arc<Inbox>, WebhookError> {
        let id = PipelineId::new(id).map_err(|_| WebhookError::NotFound)?;
        match self.inboxes.get(&id) {
            Some(inbox) if !self.is_paused(&inbox.pipeline) => Ok(inbox),
            Some(_) => Err(WebhookError::NotConfigured),
            None if self.pipeline(&id).is_some() => Err(WebhookError::NotConfigured),
            None => Err(WebhookError::NotFound),
        }
    }

    /// Takes a request by its headers and its whole body, as they came. It is on disk when this answers, with the run that takes it.
    ///
    /// # Errors
    /// Why it is not taken. It may have been kept all the same where a hook after it refused.
    pub async fn receive(
        self: &Arc<Self>,
        inbox: &Arc<Inbox>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<RunId, WebhookError> {
        let received = self.take_in(inbox, headers, body).await;
        let outcome = received
            .as_ref()
            .map_or_else(WebhookError::word, |_| "received");
        self.run_meters.webhook(&inbox.pipeline.id, outcome);
        received
    }

    async fn take_in(
        self: &Arc<Self>,
        inbox: &Arc<Inbox>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<RunId, WebhookError> {
        let verified = self.verified(inbox, headers, &body).await?;
        if verified.id.is_some() {
            self.recall(inbox).await.map_err(|error| {
                tracing::error!(pipeline = %inbox.pipeline.id, error, "which messages were taken before cannot be read, so that none is taken");
                WebhookError::Unavailable("Webhook not available".into())
            })?;
        }
        let admitted = self.let_in(inbox, verified)?;
        let run = if self.hooked.at(Point::WebhookReceived) {
            self.with_webhook_hooks(inbox, headers, body).await?
        } else {
            let record = self.raw_record(headers, body);
            self.keep_payload(inbox, vec![record]).await?
        };
        admitted.stays();
        Ok(run)
    }

    async fn verified(
        &self,
        inbox: &Inbox,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Verified, WebhookError> {
        let verifier = inbox.verifier(self).await?;
        let now = self.ports.clock.now();
        let verified = if body.len() <= LARGE {
            verifier.verify(headers, body, now)
        } else {
            let (headers, body) = (headers.clone(), body.clone());
            let verifying =
                tokio::task::spawn_blocking(move || verifier.verify(&headers, &body, now));
            let verified = verifying.await;
            verified.map_err(|e| WebhookError::Unavailable(e.to_string()))?
        };
        verified.map_err(|why: Refused| {
            tracing::debug!(pipeline = %inbox.pipeline.id, %why, "a request to a webhook is not taken");
            WebhookError::Signature
        })
    }

    /// May a verified request be taken now? Only these count: whoever has no secret takes nothing of the sender's share.
    fn let_in(&self, inbox: &Inbox, verified: Verified) -> Result<Admission, WebhookError> {
        let now = self.ports.clock.monotonic();
        if let Some(id) = &verified.id {
            match lock(&inbox.shared.seen).admit(id, now) {
                Admitted::New => {}
                Admitted::Seen => return Err(WebhookError::Seen),
                Admitted::Full => {
                    let said = "too many messages in too short a time";
                    return Err(WebhookError::Unavailable(said.into()));
                }
            }
        }
        let admission = Admission {
            shared: Arc::clone(&inbox.shared),
            id: verified.id,
        };
        let taken = lock(&inbox.shared.window).take(inbox.webhook.rate, now);
        taken.map_err(WebhookError::Rate)?;
        Ok(admission)
    }

    fn raw_record(&self, headers: &HeaderMap, bytes: Bytes) -> RawRecord {
        RawRecord {
            headers: kept(headers),
            received_ms: millis(self.ports.clock.now()),
            bytes,
        }
    }

    /// Keeps a payload, and finds the run that takes it.
    async fn keep_payload(
        self: &Arc<Self>,
        inbox: &Arc<Inbox>,
        records: Vec<RawRecord>,
    ) -> Result<RunId, WebhookError> {
        let (Some(raw), Some(durable)) = (&self.ports.raw, &self.durable) else {
            let said = "this host keeps nothing, so that it has no webhooks";
            return Err(WebhookError::Unavailable(said.into()));
        };
        let gather = || {
            self.gather(inbox, durable, None).map_err(|error| {
                tracing::error!(pipeline = %inbox.pipeline.id, %error, "a webhook takes nothing, since its pipeline cannot run");
                WebhookError::Unavailable("Pipeline cannot run".into())
            })
        };
        let mut gathering = gather()?;
        let id = inbox.pipeline.id.clone();
        let kept = raw.log.append(id, records).await;
        kept.map_err(|error| unkept(inbox, &error))?;
        // It may have begun, and read all there was, before the payload was there.
        if !Self::is_gathering(inbox, &gathering.run) {
            gathering = gather()?;
        }
        let waited = self.ports.clock.monotonic().saturating_sub(gathering.since);
        let timer = &self.ports.stages.timer;
        tokio::select! {
            biased;
            () = gathering.is_submitted() => {}
            () = timer.wait(SUBMITTED.saturating_sub(waited)) => {}
        }
        Ok(gathering.run)
    }

    /// The same, with the hooks at `webhook_received` around it.
    async fn with_webhook_hooks(
        self: &Arc<Self>,
        inbox: &Arc<Inbox>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<RunId, WebhookError> {
        let record = self.raw_record(headers, body);
        let shown: Map<String, Value> = record
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into()))
            .collect();
        let text = String::from_utf8_lossy(&record.bytes).into_owned();
        let context = json!({"pipeline": inbox.pipeline.id, "headers": shown, "body": text});
        let failed: Arc<std::sync::Mutex<Option<WebhookError>>> = Arc::default();
        let keeping = {
            let (engine, inbox, failed) =
                (Arc::clone(self), Arc::clone(inbox), Arc::clone(&failed));
            step(move |context, _| async move {
                let records = replaced(record, &text, &context);
                match engine.keep_payload(&inbox, records).await {
                    Ok(run) => Ok(json!({ "run_id": run }).to_string()),
                    Err(error) => {
                        *lock(&failed) = Some(error.clone());
                        not_kept(&error)
                    }
                }
            })
        };
        let asked = self.step(
            Point::WebhookReceived,
            Cause::default(),
            context.to_string(),
            keeping,
        );
        let asked = asked.await;
        if let Some(own) = lock(&failed).take() {
            return Err(own);
        }
        let result = asked.map_err(|refused| WebhookError::Refused(refusal(&refused)))?;
        let result: Value = serde_json::from_str(&result).unwrap_or_default();
        let run = result.get("run_id").and_then(Value::as_str);
        let run = run.and_then(|run| run.parse().ok());
        run.ok_or_else(|| WebhookError::Refused("the hooks left no run".into()))
    }
}

/// A message that counts as taken, unless keeping it comes to nothing.
struct Admission {
    shared: Arc<Shared>,
    id: Option<String>,
}

impl Admission {
    fn stays(mut self) {
        self.id = None;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            lock(&self.shared.seen).forget(id);
        }
    }
}

/// The headers that are kept.
fn kept(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let mut kept = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let name = name.as_str();
        if !SECRET.contains(&name) && !name.starts_with(OWN) {
            kept.push((name.to_owned(), Bytes::copy_from_slice(value.as_bytes())));
        }
    }
    kept
}

/// The payload as the hooks left it, after the one that came where that is another.
fn replaced(record: RawRecord, text: &str, context: &str) -> Vec<RawRecord> {
    let context: Value = serde_json::from_str(context).unwrap_or_default();
    match context.get("body").and_then(Value::as_str) {
        Some(body) if body != text => {
            let other = RawRecord {
                bytes: Bytes::from(body.to_owned()),
                ..record.clone()
            };
            let mut before = record;
            let mark = (REPLACED.to_owned(), Bytes::from_static(b"webhook_received"));
            before.headers.push(mark);
            vec![before, other]
        }
        _ => vec![record],
    }
}

/// Hooks hear that it was not kept.
fn not_kept(error: &WebhookError) -> Result<String, StageError> {
    match PluginId::new("weir") {
        Ok(id) => Err(StageError {
            plugin: PluginRef {
                id,
                version: semver::Version::new(0, 0, 0),
            },
            fault: Fault::Unavailable {
                reason: error.to_string(),
                retry_after_ms: None,
            },
        }),
        Err(_) => Ok(json!({"run_id": ""}).to_string()),
    }
}

fn unkept(inbox: &Inbox, error: &BronzeError) -> WebhookError {
    match error {
        BronzeError::TooLarge { .. } | BronzeError::Invalid(_) => {
            WebhookError::TooLarge(error.to_string())
        }
        BronzeError::Full(_) | BronzeError::Unavailable(_) => {
            tracing::error!(pipeline = %inbox.pipeline.id, %error, "a payload cannot be kept, so that it is not taken");
            WebhookError::Unavailable("Payload cannot be kept now".into())
        }
    }
}
