//! The models on offer: asking manifolds for theirs, and the list.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use model::chat::Model;
use model::limits::Limit;

use crate::Engine;
use crate::catalog::{EntryState, pipelines, priority};
use crate::metrics::Call;
use crate::slot::{Face, Slot, Version};
use crate::status::{Kind, ListedModel, Reason};

/// How old a manifold's answer may be when a list is asked for.
const FRESH: Duration = Duration::from_secs(10);
/// How long a list waits for manifolds. Their last answers stand in for them.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most models of one manifold.
const MOST: usize = 1000;
/// Longest id or name of a model, in bytes.
const MAX_TEXT: usize = 512;

impl Engine {
    /// The models on offer and the filters, in the order of their ids. Manifolds whose last answer is older than 10 s are asked again, for at most 5 s.
    pub async fn models(&self) -> Vec<ListedModel> {
        let catalog = self.catalog.load_full();
        let now = self.ports.clock.monotonic();
        let stale = |slot: &&Arc<Slot>| {
            let face = slot.face.load();
            let asked = face.models().asked;
            let callable = slot.current.load().is_some()
                && slot.health.until().is_none_or(|until| until <= now);
            let old = asked.is_none_or(|at| now.saturating_sub(at) > FRESH);
            face.kind == Kind::Manifold && callable && old
        };
        let asking: Vec<_> = catalog
            .slots()
            .map(|(slot, _)| slot)
            .filter(stale)
            .map(|slot| self.refresh(slot))
            .collect();
        if !asking.is_empty() && join_all(asking).await.contains(&true) {
            self.reindex();
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

    /// Asks a manifold at work for its models; did they change? Another one asking already is enough.
    async fn refresh(&self, slot: &Arc<Slot>) -> bool {
        let face = slot.face.load_full();
        let Ok(_one) = face.asking.try_lock() else {
            return false;
        };
        let asking = async {
            let lease = self.enter(slot, Call::Models).await?;
            let version = Arc::clone(lease.version());
            let answer = lease.plugin().models().await;
            let answer = lease.finish(answer);
            answer.map(|models| (version, models))
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok((version, models))) => self.keep(&version.face, models),
            Ok(Err(e)) => self.keep_error(&face, e.fault.code(), e.fault.to_string()),
            Err(_) => self.keep_error(
                &face,
                "deadline_exceeded",
                format!("no answer within {} s", PATIENCE.as_secs()),
            ),
        }
    }

    /// Asks a version that need not be at work yet for its models, if it is a manifold.
    pub(crate) async fn ask_models(&self, version: &Arc<Version>) {
        let face = &version.face;
        if face.kind != Kind::Manifold {
            return;
        }
        let bound = face.settings.limits.time(Limit::StartDeadlineMs);
        match tokio::time::timeout(bound, Arc::clone(&version.plugin).models()).await {
            Ok(Ok(models)) => self.keep(face, models),
            Ok(Err(e)) => self.keep_error(face, e.fault.code(), e.fault.to_string()),
            Err(_) => self.keep_error(
                face,
                "deadline_exceeded",
                format!("no answer within {} ms", bound.as_millis()),
            ),
        };
    }

    fn keep(&self, face: &Face, mut models: Vec<Model>) -> bool {
        let good =
            |m: &Model| !m.id.is_empty() && m.id.len() <= MAX_TEXT && m.name.len() <= MAX_TEXT;
        if models.len() > MOST || !models.iter().all(good) {
            let message = format!(
                "it offers {} models; at most {MOST} are allowed, with ids of 1 to {MAX_TEXT} and names of at most {MAX_TEXT} bytes",
                models.len()
            );
            return self.keep_error(face, "bad_models", message);
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

    fn keep_error(&self, face: &Face, code: &'static str, message: String) -> bool {
        let plugin = &face.about.manifest.id;
        tracing::warn!(%plugin, code, error = %message, "a manifold did not say which models it offers");
        let mut kept = face.models();
        kept.asked = Some(self.ports.clock.monotonic());
        kept.error = Some(Reason {
            code,
            message,
            at: self.ports.clock.now(),
        });
        false
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
