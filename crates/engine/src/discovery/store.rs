//! Versions of pipelines across restarts. A store that fails is logged and stops nothing: numbers then begin anew.

use model::id::PipelineId;

use super::Discovery;

/// Most texts of old versions that are read back.
const RECALLED: usize = 50;

impl Discovery {
    /// Tells the engine of the versions that were kept, before the first registration of a pipeline.
    pub(super) async fn recall(&self, id: &PipelineId) {
        if !self.engine.pipeline_versions(id).is_empty() {
            return;
        }
        let numbers = match self.store.versions(id.clone()).await {
            Ok(numbers) => numbers,
            Err(error) => {
                tracing::error!(pipeline = %id, %error, "the versions of a pipeline cannot be read");
                return;
            }
        };
        let mut versions = Vec::new();
        for number in numbers.into_iter().rev().take(RECALLED) {
            match self.store.version(id.clone(), number).await {
                Ok(text) => versions.push((number, text.unwrap_or_default())),
                // The number counts all the same: no other text may have it.
                Err(error) => {
                    tracing::error!(pipeline = %id, number, %error, "a version of a pipeline cannot be read");
                    versions.push((number, String::new()));
                }
            }
        }
        if !versions.is_empty() {
            self.engine.recall_versions(id, versions);
        }
    }

    /// Keeps a version, if it is not kept yet.
    pub(super) async fn keep(&self, id: &PipelineId, number: u64, text: String) {
        let known = self.store.versions(id.clone()).await;
        if known.is_ok_and(|numbers| numbers.contains(&number)) {
            return;
        }
        if let Err(error) = self.store.keep(id.clone(), number, text).await {
            tracing::error!(pipeline = %id, number, %error, "a version of a pipeline cannot be kept");
        }
    }
}
