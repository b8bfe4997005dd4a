//! The versions of pipelines as runs need them: one that is not the newest is read again from its text, with the plugins and stages that there are now.

use std::sync::Arc;

use model::id::PipelineId;
use model::pipeline::Pipeline;
use model::store::Failure;
use serde_json::Value;

use crate::Engine;
use crate::durable::Durable;
use crate::replay::with_sinks;

/// Where a version of a pipeline is.
pub(crate) enum Found {
    Here(Arc<Pipeline>),
    /// The pipeline is not registered now.
    Absent,
    /// It cannot be had in that version, for this reason.
    Gone(String),
}

impl Engine {
    /// A version of a pipeline, with other sinks in place of its own where some are given, as a spec writes them.
    ///
    /// # Errors
    /// The store did not answer.
    pub(crate) async fn find_version(
        self: &Arc<Self>,
        durable: &Durable,
        id: &PipelineId,
        number: u64,
        into: Option<&Value>,
    ) -> Result<Found, Failure> {
        let Some(now) = self.pipeline(id) else {
            return Ok(Found::Absent);
        };
        if now.version == number && into.is_none() {
            return Ok(Found::Here(now.pipeline));
        }
        let Some(kept) = durable.store.version(id.clone(), number).await? else {
            let kept = self.pipeline_versions(id);
            let kept: Vec<_> = kept.iter().map(|v| v.version.to_string()).collect();
            let kept = kept.join(", ");
            return Ok(Found::Gone(format!(
                "version {number} of pipeline {id} is not kept (any more); these are: {kept}"
            )));
        };
        let text = match into.map(|sinks| with_sinks(&kept.text, sinks)) {
            None => kept.text,
            Some(Ok(text)) => text,
            Some(Err(error)) => return Ok(Found::Gone(error)),
        };
        let read = self.read_version(id, &Arc::from(text)).await;
        Ok(read.map_or_else(Found::Gone, |pipeline| Found::Here(Arc::new(pipeline))))
    }
}
