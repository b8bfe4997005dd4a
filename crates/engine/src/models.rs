//! The models on offer: asking manifolds for theirs, and the list.

use std::sync::Arc;
use std::time::Duration;

use model::chat::Model;
use model::error::StageError;
use tracing::Instrument as _;

use crate::Engine;
use crate::catalog::{EntryState, pipelines, priority};
use crate::metrics::Call;
use crate::slot::{Face, Slot, Version};
use crate::status::{Kind, ListedModel, Reason};

/// How old a manifold's answer may be when a list is asked for.
const FRESH: Duration = Duration::from_secs(10);
/// How long a load, or a change of valves, waits for a manifold's answer. The question goes on without them, within the plugin's own deadline.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most models of one manifold.
const MOST: usize = 1000;
/// Longest id or name of a model, in bytes.
const MAX_TEXT: usize = 512;

impl Engine {
    /// The models on offer and the filters, in the order of their ids, as they are known now: no plugin is waited for. Manifolds whose last answer is older
    /// than 10 s are asked again in the background, one question at a time each; what they say is in the next list.
    pub async fn models(self: &Arc<Self>) -> Vec<ListedModel> {
        let catalog = self.catalog.load_full();
        for (slot, _) in catalog.slots() {
            self.refresh(slot);
        }
        self.list()
    }

    fn list(&self) -> Vec<ListedModel> {
        let catalog = self.catalog.load_full();
        let mut list = Vec::new();
        for (slot, entry) in catalog.slots() {
            let face = slot.face.load_full();
            let live = matches!(entry.state, EntryState::Live);
            if live && face.about.manifest.listed {
                of_plugin(slot, &face, &mut list);
            }
        }
        list.sort_by(|a, b| a.id.cmp(&b.id));
        list.dedup_by(|a, b| a.id == b.id);
        list
    }

    /// Asks a manifold at work for its models, in the background, if its last answer is old and nobody is asking.
    fn refresh(self: &Arc<Self>, slot: &Arc<Slot>) {
        let face = slot.face.load_full();
        if face.kind != Kind::Manifold {
            return;
        }
        let now = self.ports.clock.monotonic();
        let asked = face.models().asked;
        let old = asked.is_none_or(|at| now.saturating_sub(at) > FRESH);
        let callable = slot.current.load().is_some() && slot.health.until().is_none();
        if !old || !callable {
            return;
        }
        let Ok(one) = Arc::clone(&face.asking).try_lock_owned() else {
            return;
        };
        let (engine, slot) = (Arc::clone(self), Arc::clone(slot));
        tokio::spawn(async move {
            let _one = one;
            match engine.enter(&slot, Call::Models).await {
                Ok(lease) => {
                    let face = Arc::clone(&lease.version().face);
                    let answer = lease.plugin().models().await;
                    engine.heard(&face, lease.finish(answer));
                }
                Err(e) => engine.heard(&face, Err(e)),
            }
        });
    }

    /// Asks a version that need not be at work yet for its models, if it is a manifold. Returns with its answer, or after 5 s; the question then goes on in
    /// the background. What comes of it counts for `slot`, where the plugin has one.
    pub(crate) async fn ask_models(
        self: &Arc<Self>,
        version: &Arc<Version>,
        slot: Option<&Arc<Slot>>,
    ) {
        if version.face.kind != Kind::Manifold {
            return;
        }
        let plugin = version.face.about.manifest.id.clone();
        let asking = Arc::clone(&version.face.asking);
        let Ok(one) = tokio::time::timeout(PATIENCE, asking.lock_owned()).await else {
            // Somebody asks already; that answer will do.
            return;
        };
        let (engine, version, slot) = (Arc::clone(self), Arc::clone(version), slot.cloned());
        let work = async move {
            let _one = one;
            let began = engine.ports.clock.monotonic();
            let answer = Arc::clone(&version.plugin).models().await;
            if let Some(slot) = slot {
                slot.begun();
                engine.note(&slot, Call::Models, began, &answer);
            }
            engine.heard(&version.face, answer);
        };
        let task = tokio::spawn(work.in_current_span());
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%plugin, %error, "asking a manifold for its models broke off")
            }
            Err(_) => tracing::warn!(
                %plugin,
                "a manifold takes more than {} s to say which models it offers; it is not waited for",
                PATIENCE.as_secs()
            ),
        }
    }

    /// Keeps what a manifold said; a list that has changed is in the index at once.
    fn heard(&self, face: &Face, answer: Result<Vec<Model>, StageError>) {
        match answer {
            Ok(models) => {
                if self.keep(face, models) {
                    self.reindex();
                }
            }
            Err(e) => self.keep_error(face, e.fault.code(), e.fault.to_string()),
        }
    }

    /// Keeps a list, if it is good; did it change?
    fn keep(&self, face: &Face, mut models: Vec<Model>) -> bool {
        let good =
            |m: &Model| !m.id.is_empty() && m.id.len() <= MAX_TEXT && m.name.len() <= MAX_TEXT;
        if models.len() > MOST || !models.iter().all(good) {
            let message = format!(
                "it offers {} models; at most {MOST} are allowed, with ids of 1 to {MAX_TEXT} and names of at most {MAX_TEXT} bytes",
                models.len()
            );
            self.keep_error(face, "bad_models", message);
            return false;
        }
        let mut seen = std::collections::HashSet::new();
        models.retain(|m| seen.insert(m.id.clone()));
        let mut kept = face.models();
        let changed = *kept.list != *models;
        kept.asked = Some(self.ports.clock.monotonic());
        kept.error = None;
        kept.list = models.into();
        changed
    }

    fn keep_error(&self, face: &Face, code: &'static str, message: String) {
        let plugin = &face.about.manifest.id;
        tracing::warn!(%plugin, code, error = %message, "a manifold did not say which models it offers");
        let mut kept = face.models();
        kept.asked = Some(self.ports.clock.monotonic());
        kept.error = Some(Reason {
            code,
            message,
            at: self.ports.clock.now(),
        });
    }
}

fn of_plugin(slot: &Slot, face: &Face, list: &mut Vec<ListedModel>) {
    let manifest = &face.about.manifest;
    let filter = face.kind == Kind::Filter;
    let one = |id: String, name: String| ListedModel {
        id,
        name,
        kind: face.kind,
        valves: face.spec.is_some(),
        pipelines: filter.then(|| pipelines(face)).flatten(),
        priority: filter.then(|| priority(face)).flatten(),
        plugin_id: slot.id.clone(),
    };
    match face.kind {
        Kind::Pipe | Kind::Filter => list.push(one(slot.id.to_string(), manifest.name.clone())),
        Kind::Manifold => {
            let models = Arc::clone(&face.models().list);
            list.extend(models.iter().map(|m| {
                one(
                    format!("{}.{}", slot.id, m.id),
                    format!("{}{}", manifest.name, m.name),
                )
            }));
        }
        Kind::Other => {}
    }
}
