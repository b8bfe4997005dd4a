//! How a load that is under way, or that failed, is shown in the catalog. What served before is not touched.

use std::sync::atomic::Ordering;

use model::component::{FileName, Origin};
use model::error::LoadError;

use crate::Engine;
use crate::catalog::{Entry, EntryState, Failure, Tried};
use crate::status::Reason;

impl Engine {
    /// Shows a file that is loaded for the first time.
    pub(super) fn loading(&self, name: &FileName, origin: &Origin) {
        if self.catalog.load().entries.contains_key(name) {
            return;
        }
        self.edit(|entries| {
            entries.entry(name.clone()).or_insert(Entry {
                origin: origin.clone(),
                tried: None,
                slot: None,
                state: EntryState::Loading,
                last_error: None,
            });
        });
    }

    /// Notes why a file did not load; what served before goes on. A client's file that never worked is not listed.
    pub(super) fn failed(
        &self,
        name: &FileName,
        origin: Origin,
        tried: Option<Tried>,
        error: LoadError,
        list: bool,
    ) -> LoadError {
        self.load_counts.failed.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(file = %name, code = error.code(), %error, "a component did not load");
        let reason = Reason::of_load(&error, self.ports.clock.now());
        let failure = Failure {
            error: error.clone(),
            reason,
        };
        self.edit(|entries| match entries.get_mut(name) {
            Some(entry) if list && !has_version(entry) => {
                entry.tried = tried;
                entry.state = EntryState::Failed(failure);
            }
            Some(entry) => {
                // What lies in the folder was tried; what a client brought was never there.
                if list {
                    entry.tried = tried;
                }
                entry.last_error = Some(failure);
            }
            None if list => {
                entries.insert(
                    name.clone(),
                    Entry {
                        origin,
                        tried,
                        slot: None,
                        state: EntryState::Failed(failure),
                        last_error: None,
                    },
                );
            }
            None => {}
        });
        error
    }
}

fn has_version(entry: &Entry) -> bool {
    entry
        .slot
        .as_ref()
        .is_some_and(|s| s.current.load().is_some())
}
