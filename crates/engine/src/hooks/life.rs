//! The points `plugin_load` and `plugin_unload`: hooks may say no. A plugin is not asked about itself.

use std::sync::{Arc, Mutex};

use model::component::{FileName, Origin};
use model::error::{Fault, LoadError, StageError};
use model::exchange::Cause;
use model::hooks::Point;
use model::id::PluginRef;
use model::plugin::About;
use serde_json::json;

use super::step;
use crate::change::CatalogChange;
use crate::load::Prepared;
use crate::slot::lock;
use crate::{Engine, Installed, ManageError};

/// What came of a step whose error is not a [`StageError`]; none: hooks did not let it happen.
type Outcome<T> = Arc<Mutex<Option<T>>>;

impl Engine {
    /// Loads a component with the hooks at `plugin_load` around it.
    pub(crate) async fn load_with_hooks(
        self: &Arc<Self>,
        prepared: Prepared,
    ) -> Result<Installed, LoadError> {
        if !self.hooked.at(Point::PluginLoad) {
            return self.load_prepared(prepared).await;
        }
        let about = Arc::clone(prepared.candidate.about());
        let context = load_context(&about, &prepared);
        let outcome = Outcome::default();
        let (engine, out, named) = (Arc::clone(self), Arc::clone(&outcome), about.plugin_ref());
        let step = step(move |_, _| async move {
            let loaded = engine.load_prepared(prepared).await;
            let answer = match &loaded {
                Ok(done) => Ok(json!({"id": done.id, "version": done.version}).to_string()),
                Err(error) => Err(failed(named, error)),
            };
            *lock(&out) = Some(loaded);
            answer
        });
        let cause = Cause::default().and(&about.manifest.id);
        let done = self.step(Point::PluginLoad, cause, context, step).await;
        let loaded = lock(&outcome).take();
        match (loaded, done) {
            (Some(loaded), done) => {
                too_late(Point::PluginLoad, loaded.is_ok(), done);
                loaded
            }
            (None, Ok(_)) => Err(LoadError::Refused {
                hook: "with a hook at plugin_load".into(),
                fault: Fault::Refused("it did not let the load happen".into()),
            }),
            (None, Err(error)) => Err(LoadError::Refused {
                hook: error.plugin.id.to_string(),
                fault: inner(error.fault),
            }),
        }
    }

    /// Takes a plugin down with the hooks at `plugin_unload` around it; with `force` a refusal is only logged.
    pub(crate) async fn take_down_file(
        self: &Arc<Self>,
        name: FileName,
        force: bool,
        change: fn(FileName) -> CatalogChange,
    ) -> Result<(), ManageError> {
        let slot = self
            .catalog
            .load()
            .entries
            .get(&name)
            .and_then(|e| e.slot.clone());
        let Some(slot) = slot.filter(|_| self.hooked.at(Point::PluginUnload)) else {
            return self.take_down_here(name, force, change).await;
        };
        let about = Arc::clone(&slot.face.load().about);
        let how = match change(name.clone()) {
            CatalogChange::Delete(_) => "delete",
            _ => "stop",
        };
        let manifest = &about.manifest;
        let context = json!({"id": manifest.id, "version": manifest.version, "how": how});
        let outcome = Outcome::default();
        let (engine, out, file) = (Arc::clone(self), Arc::clone(&outcome), name.clone());
        let named = about.plugin_ref();
        let step = step(move |_, _| async move {
            let id = named.id.clone();
            let taken = engine.take_down_here(file, force, change).await;
            let answer = match &taken {
                Ok(()) => Ok(json!({"id": id}).to_string()),
                Err(error) => Err(failed(named, error)),
            };
            *lock(&out) = Some(taken);
            answer
        });
        let cause = Cause::default().and(&manifest.id);
        let done = self
            .step(Point::PluginUnload, cause, context.to_string(), step)
            .await;
        let taken = lock(&outcome).take();
        match (taken, done) {
            (Some(taken), done) => {
                too_late(Point::PluginUnload, taken.is_ok(), done);
                taken
            }
            (None, done) if force => {
                too_late(Point::PluginUnload, true, done);
                self.take_down_here(name, force, change).await
            }
            (None, Err(error)) => Err(ManageError::Refused(error)),
            // Only `around` hooks can leave the step out, and there are none at this point.
            (None, Ok(_)) => self.take_down_here(name, force, change).await,
        }
    }
}

fn load_context(about: &About, prepared: &Prepared) -> String {
    let origin = match &prepared.origin {
        Origin::Folder => "folder",
        Origin::Upload => "upload",
        Origin::Url(_) => "url",
    };
    let asks: Vec<_> = about.asks.iter().map(|c| c.name()).collect();
    json!({
        "file": prepared.who.file,
        "origin": origin,
        "id": about.manifest.id,
        "version": about.manifest.version,
        "digest": &*about.digest,
        "manifest": about.manifest,
        "roles": about.roles,
        "asks": asks,
    })
    .to_string()
}

/// The step failed, as hooks around it are told.
fn failed(plugin: PluginRef, error: &impl std::error::Error) -> StageError {
    StageError {
        plugin,
        fault: Fault::Internal(error.to_string()),
    }
}

/// A refusal after the step has happened changes nothing.
fn too_late(point: Point, happened: bool, done: Result<String, StageError>) {
    if let (true, Err(error)) = (happened, done) {
        let point = point.name();
        tracing::warn!(point, %error, "a hook refused what has happened or was forced");
    }
}

fn inner(fault: Fault) -> Fault {
    match fault {
        Fault::Hook { fault, .. } => *fault,
        other => other,
    }
}
