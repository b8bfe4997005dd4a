//! Cleaned records as the engine keeps them: one more sink of a run, which it adds itself, and the files that those have written, swept once a minute. How they are written is an adapter's business.

use std::sync::Arc;
use std::time::Duration;

use model::error::Fault;
use model::id::PipelineId;
use model::silver::{self, Retention, SilverFile};

use crate::Engine;

/// Where cleaned records are kept, and for how long.
#[derive(Debug, Clone)]
pub struct Silver {
    /// The files.
    pub files: Arc<dyn silver::Silver>,
    /// What stays of them.
    pub keep: SilverKeep,
}

/// What stays of cleaned records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SilverKeep {
    /// Files of days that ended longer ago go; none: none does.
    pub age: Option<Duration>,
    /// The oldest of a pipeline go while all of them have more bytes than this.
    pub bytes: Option<u64>,
}

impl Engine {
    /// The files with a pipeline's cleaned records, the oldest first; none of a host that keeps none.
    ///
    /// # Errors
    /// They cannot be listed now.
    pub async fn silver_files(&self, id: &PipelineId) -> Result<Vec<SilverFile>, Fault> {
        match &self.ports.silver {
            Some(silver) => silver.files.files(id.clone()).await,
            None => Ok(Vec::new()),
        }
    }

    /// Removes what is not to stay.
    pub(crate) async fn sweep_silver(&self, silver: &Silver) {
        let retention = Retention {
            now: self.ports.clock.now(),
            age: silver.keep.age,
            bytes: silver.keep.bytes,
        };
        match silver.files.sweep(retention).await {
            Ok(swept) if swept.files > 0 => {
                tracing::info!(
                    files = swept.files,
                    bytes = swept.bytes,
                    "swept cleaned records"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "cleaned records cannot be swept now"),
        }
    }
}
