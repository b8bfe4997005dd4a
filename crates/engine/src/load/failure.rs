//! How a load that is under way, or that failed, is shown in the catalog. What served before is not touched.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::component::{FileName, Origin};
use model::error::LoadError;

use super::Progress;
use crate::Engine;
use crate::catalog::{Entry, EntryState, Failure, Tried};
use crate::handover::Ending;
use crate::lifecycle::Stage;
use crate::slot::Slot;
use crate::status::{PluginState, Reason};

impl Engine {
    /// Shows a file that is loaded for the first time.
    pub(super) fn loading(&self, name: &FileName, origin: &Origin, stage: &Stage) {
        if self.catalog.load().entries.contains_key(name) {
            return;
        }
        self.edit(|entries| {
            entries.entry(name.clone()).or_insert(Entry {
                origin: origin.clone(),
                tried: None,
                slot: None,
                state: EntryState::Loading(stage.clone()),
                last_error: None,
            });
        });
    }

    /// Notes why a file did not load; what served before goes on. A client's file that never worked is not listed. What may pass is tried again later.
    pub(super) fn failed(
        self: &Arc<Self>,
        progress: &Progress,
        origin: Origin,
        tried: Option<Tried>,
        error: LoadError,
    ) -> LoadError {
        self.load_counts.failed.fetch_add(1, Ordering::Relaxed);
        let (name, listed) = (&progress.who.file, progress.listed);
        let mut reason = Reason::of_load(&error, self.ports.clock.now());
        let closing = self.closing.load(Ordering::SeqCst);
        let again = listed && !closing;
        if again && let Some(more) = self.retry_later(name, &error, progress.restart) {
            reason.message.push_str(&more);
        }
        let is_news = !self.is_known(name, &error);
        let is_twin = matches!(error, LoadError::DuplicateId { .. });
        let failure = Arc::new(Failure {
            error: Some(error.clone()),
            reason: reason.clone(),
            about: progress.who.about.clone().filter(|_| !is_twin),
            restart: progress.restart,
        });
        let crashed = self.note_failure(progress, origin, tried, failure);
        if let Some(slot) = crashed {
            self.retire(&slot, None, Ending::Failed);
            self.reindex();
        }
        if is_news {
            self.transition(PluginState::Failed, &progress.who, Some(&reason));
        }
        error
    }

    /// Puts a failure into the catalog. Answers the plugin there was, if it had crashed: it does not serve, so it goes.
    fn note_failure(
        &self,
        progress: &Progress,
        origin: Origin,
        tried: Option<Tried>,
        failure: Arc<Failure>,
    ) -> Option<Arc<Slot>> {
        let (name, listed) = (&progress.who.file, progress.listed);
        self.edit(|entries| match entries.get_mut(name) {
            Some(entry) if listed && !serves(entry) => {
                entry.tried = tried;
                entry.state = EntryState::Failed(failure);
                entry.slot.clone()
            }
            Some(entry) => {
                // What lies in the folder was tried; what a client brought was never there.
                if listed {
                    entry.tried = tried;
                }
                entry.last_error = Some(failure);
                None
            }
            None => {
                if listed {
                    let entry = Entry {
                        origin,
                        tried,
                        slot: None,
                        state: EntryState::Failed(failure),
                        last_error: None,
                    };
                    entries.insert(name.clone(), entry);
                }
                None
            }
        })
    }

    /// Does the file lack the same as the last time? That is tried often, and told once.
    fn is_known(&self, name: &FileName, error: &LoadError) -> bool {
        let catalog = self.catalog.load();
        let entry = catalog.entries.get(name);
        let failure = entry.and_then(|e| e.failure().or(e.last_error.as_ref()));
        matches!(error, LoadError::Dependency { .. })
            && failure.is_some_and(|f| f.error.as_ref() == Some(error))
    }
}

/// Has it a version that takes calls?
fn serves(entry: &Entry) -> bool {
    let slot = entry.slot.as_ref();
    slot.is_some_and(|s| s.current.load().is_some() && s.health.until().is_none())
}
