//! Versions of pipeline specs, so that a run can be looked at, and repeated, with the spec it had.

use super::{Answer, Moment};
use crate::id::PipelineId;

/// A version of a pipeline's spec.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SpecVersion {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// From 1.
    pub version: u64,
    /// Of the text.
    pub digest: String,
    /// The spec as it was written. Left out in lists.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// When it was first seen.
    pub at: Moment,
}

/// Versions.
pub trait Versions {
    /// Keeps a spec, and returns its version: the next one, or the one it had when it was kept before.
    fn put_version(
        &self,
        pipeline: PipelineId,
        digest: String,
        text: String,
        now: Moment,
    ) -> Answer<u64>;
    /// One of them.
    fn version(&self, pipeline: PipelineId, version: u64) -> Answer<Option<SpecVersion>>;
    /// All before this one, the newest first, without their texts; at most `limit` and [`super::MOST_ROWS`].
    fn versions(
        &self,
        pipeline: PipelineId,
        before: Option<u64>,
        limit: u32,
    ) -> Answer<Vec<SpecVersion>>;
}
