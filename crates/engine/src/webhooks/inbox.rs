//! The webhooks of the registered pipelines: who may send to each, and what is remembered of who did. One look-up finds a webhook, and nothing on the way is shared by all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderMap;
use model::id::PipelineId;
use model::pipeline::{Pipeline, Scheme, TriggerSpec, Webhook, Work};
use model::ports::References;
use model::stage::Natives;
use tokio::sync::OnceCell;

use super::bounds::{Seen, Window};
use super::gather::Gathering;
use super::receive::WebhookError;
use super::signature::{TOLERANCE, Verifier};
use crate::Engine;
use crate::pipelines::Registered;
use crate::slot::lock;
use crate::spec::is_inbox;
use crate::templates::resolved;

/// How long after secrets could not be had they are looked for again.
const PAUSE: Duration = Duration::from_secs(1);
/// Ids of messages that are remembered of one webhook: as many as its rate lets in, within these bounds.
const SEEN: (u64, u64) = (10_000, 1_000_000);

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Inboxes {
    all: ArcSwap<HashMap<PipelineId, Arc<Inbox>>>,
    /// Held while another map is made.
    editing: Mutex<()>,
}

impl Inboxes {
    pub(crate) fn get(&self, id: &PipelineId) -> Option<Arc<Inbox>> {
        self.all.load().get(id).cloned()
    }

    /// The pipeline is registered like this now, or not at all; answers its webhook if it has one.
    fn set(
        &self,
        id: &PipelineId,
        registered: Option<&Registered>,
        natives: &Natives,
    ) -> Option<Arc<Inbox>> {
        let _editing = lock(&self.editing);
        let now = self.all.load();
        let before = now.get(id);
        let inbox = registered.and_then(|r| Inbox::new(r, before, natives));
        if before.is_none() && inbox.is_none() {
            return None;
        }
        let mut all = HashMap::clone(&now);
        all.remove(id);
        if let Some(inbox) = &inbox {
            all.insert(id.clone(), Arc::clone(inbox));
        }
        self.all.store(Arc::new(all));
        inbox
    }
}

/// The webhook of a pipeline in one version.
#[derive(Debug)]
pub struct Inbox {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) version: u64,
    pub(super) webhook: Webhook,
    /// Are its payloads what the pipeline reads?
    pub(super) is_source: bool,
    pub(super) shared: Arc<Shared>,
    verifier: ArcSwapOption<Verifier>,
    /// Held while secrets are looked for; since when they could not be had.
    resolving: tokio::sync::Mutex<Option<Duration>>,
}

/// What goes on through all versions.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) window: Mutex<Window>,
    pub(super) seen: Mutex<Seen>,
    /// Set once those are remembered that were taken before this server began: until then nobody can tell whether one is new.
    pub(super) recalled: OnceCell<()>,
    /// The run that takes what comes now; none: nothing has come since the last one began.
    pub(super) gathering: Mutex<Option<Gathering>>,
}

impl Inbox {
    fn new(
        registered: &Registered,
        before: Option<&Arc<Self>>,
        natives: &Natives,
    ) -> Option<Arc<Self>> {
        let pipeline = &registered.pipeline;
        let TriggerSpec::Webhook(webhook) = &pipeline.trigger else {
            return None;
        };
        let shared = match before {
            // What gathers belongs to the version before.
            Some(before) => {
                *lock(&before.shared.gathering) = None;
                Arc::clone(&before.shared)
            }
            None => Arc::new(Shared {
                window: Mutex::default(),
                seen: Mutex::new(Seen::new(seen(webhook))),
                recalled: OnceCell::new(),
                gathering: Mutex::default(),
            }),
        };
        Some(Arc::new(Self {
            pipeline: Arc::clone(pipeline),
            version: registered.version,
            webhook: webhook.clone(),
            is_source: reads_inbox(pipeline, natives),
            shared,
            verifier: ArcSwapOption::empty(),
            resolving: tokio::sync::Mutex::default(),
        }))
    }

    /// Most bytes of a body.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        usize::try_from(self.webhook.max_bytes).unwrap_or(usize::MAX)
    }

    /// Are the headers of a signature there at all? Without them nobody needs to read the body.
    #[must_use]
    pub fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        let standard = || {
            let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
            names.iter().all(|name| headers.contains_key(*name))
        };
        let hex = || headers.contains_key("x-webhook-signature");
        match self.webhook.scheme {
            Some(Scheme::Hex) => hex(),
            Some(Scheme::Standard) => standard(),
            None => hex() || standard(),
        }
    }

    /// Does the pipeline read its payloads?
    pub(crate) fn is_read(&self) -> bool {
        self.is_source
    }

    /// Verifies requests; made when it is needed first.
    pub(super) async fn verifier(&self, engine: &Engine) -> Result<Arc<Verifier>, WebhookError> {
        if let Some(verifier) = self.verifier.load_full() {
            return Ok(verifier);
        }
        let unavailable = || WebhookError::Unavailable("Webhook not available".into());
        let mut failed = self.resolving.lock().await;
        if let Some(verifier) = self.verifier.load_full() {
            return Ok(verifier);
        }
        let now = engine.ports.clock.monotonic();
        if failed.is_some_and(|at| now.saturating_sub(at) < PAUSE) {
            return Err(unavailable());
        }
        let references = Arc::clone(&engine.ports.stages.references);
        let webhook = self.webhook.clone();
        // References may read files.
        let made = tokio::task::spawn_blocking(move || verifier(&webhook, &*references)).await;
        let made = made.unwrap_or_else(|e| Err(e.to_string()));
        match made {
            Ok(verifier) => {
                let verifier = Arc::new(verifier);
                self.verifier.store(Some(Arc::clone(&verifier)));
                *failed = None;
                Ok(verifier)
            }
            Err(error) => {
                tracing::error!(pipeline = %self.pipeline.id, error, "requests to a webhook cannot be verified, so that none is taken");
                *failed = Some(now);
                Err(unavailable())
            }
        }
    }
}

fn verifier(webhook: &Webhook, references: &dyn References) -> Result<Verifier, String> {
    let texts = std::iter::once(&webhook.secret).chain(&webhook.other_secret);
    let secrets: Vec<String> = texts
        .map(|text| resolved(text, references))
        .collect::<Result<_, _>>()?;
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    Verifier::new(&secrets, webhook.scheme)
}

/// As many as may come in the time for which each is remembered.
fn seen(webhook: &Webhook) -> usize {
    let spans = (TOLERANCE * 2)
        .as_secs()
        .div_ceil(webhook.rate.per.as_secs().max(1))
        + 1;
    let most = u64::from(webhook.rate.requests.get()).saturating_mul(spans);
    usize::try_from(most.clamp(SEEN.0, SEEN.1)).unwrap_or(usize::MAX)
}

/// Does the pipeline read what its webhook receives?
fn reads_inbox(pipeline: &Pipeline, natives: &Natives) -> bool {
    let Work::Flow(flow) = &pipeline.work else {
        return false;
    };
    is_inbox(natives, &flow.source.kind)
}

impl Engine {
    /// A pipeline has come, changed, or gone: so has its webhook. What waits there is taken.
    pub(crate) fn set_inbox(&self, id: &PipelineId) {
        let registered = self.pipeline(id);
        let natives = &self.ports.stages.natives;
        let inbox = self.inboxes.set(id, registered.as_ref(), natives);
        let (Some(inbox), Some(engine)) = (inbox, self.me.upgrade()) else {
            return;
        };
        if self.durable.is_some() && self.ports.raw.is_some() {
            let looking = async move { engine.take_up_inbox(&inbox).await };
            drop(self.runs.lane.spawn(looking));
        }
    }
}
