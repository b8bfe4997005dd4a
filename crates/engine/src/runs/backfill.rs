//! Backfills: one run for each window of a span, in order, some at once. The whole is a run, too, and these are its parts.

use std::num::NonZeroUsize;
use std::sync::Arc;

use model::id::PipelineId;
use model::run::{Covered, RunId, Started};
use serde_json::{Map, Value};

use super::{SubmitError, Trigger, Which};
use crate::parts::too_many;
use crate::{Engine, timescope};

/// What a backfill is asked for with.
#[derive(Debug, Clone)]
pub struct Backfill {
    /// A registered pipeline with a timescope of periods.
    pub pipeline: PipelineId,
    /// The first window, as [`timescope::windows`] takes it.
    pub from: String,
    /// The last one.
    pub to: String,
    /// How many windows at once.
    pub parallel: NonZeroUsize,
    /// Does a window that fails leave out those after it?
    pub stop_on_error: bool,
    /// Values of the parameters, the same for all.
    pub parameters: Map<String, Value>,
    /// Open no sinks.
    pub dry_run: bool,
}

/// Why there is no backfill.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackfillError {
    /// The windows do not fit.
    #[error("{0}")]
    Windows(String),
    /// There is no run.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// The windows of a backfill, as its run is told.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Windows {
    pub(crate) windows: Vec<Covered>,
    pub(crate) parallel: NonZeroUsize,
    pub(crate) stop_on_error: bool,
}

impl Engine {
    /// Starts a backfill, and answers the run that it is as a whole.
    ///
    /// # Errors
    /// The windows do not fit, or as [`Engine::submit`].
    pub async fn backfill(self: &Arc<Self>, backfill: &Backfill) -> Result<RunId, BackfillError> {
        let id = &backfill.pipeline;
        let found = self.pipeline(id);
        let found = found.ok_or_else(|| SubmitError::NotFound(id.clone()))?;
        let scope = found.pipeline.timescope.as_ref().ok_or_else(|| {
            let what = format!("pipeline {id} has no timescope, so that it has no windows");
            BackfillError::Windows(what)
        })?;
        let windows = timescope::windows(scope, &backfill.from, &backfill.to);
        let windows = windows.map_err(BackfillError::Windows)?;
        let each = self.parts(&found.pipeline).saturating_add(1);
        let (number, most) = (windows.len().saturating_mul(each), self.runs.parts);
        if number > most {
            let what = format!("{}; backfill them in parts", too_many(number, most));
            return Err(BackfillError::Windows(what));
        }
        let mut trigger = Trigger::of(Which::Named(id.clone()));
        trigger.parameters.clone_from(&backfill.parameters);
        trigger.dry_run = backfill.dry_run;
        let mut job = self.job(Arc::clone(&found.pipeline), found.version, &trigger)?;
        trigger.started_by = Started::Backfill;
        job.window = whole(&windows);
        job.windows = Some(Windows {
            windows,
            parallel: backfill.parallel,
            stop_on_error: backfill.stop_on_error,
        });
        if let Some(durable) = &self.durable {
            return Ok(self.submit_durable(durable, job, &trigger).await?);
        }
        let entry = self.start_run(job, Started::Backfill, None)?;
        Ok(entry.id.clone())
    }
}

/// From the start of the first to the end of the last.
fn whole(windows: &[Covered]) -> Option<Covered> {
    let (first, last) = (windows.first()?, windows.last()?);
    Some(Covered {
        label: format!("{}..{}", first.label, last.label),
        start: first.start.clone(),
        end: last.end.clone(),
    })
}
