//! The port behind pipelines: where specs lie, and the versions there were. What a spec says is the engine's business.

use std::fmt;
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::BoxFuture;
use crate::id::PipelineId;

/// The folders of pipeline specs, and the versions there were of each pipeline.
pub trait PipelineStore: Send + Sync + fmt::Debug {
    /// The spec files there are, in the order of the folders, then of their names.
    fn list(&self) -> BoxFuture<'static, Result<Vec<PathBuf>, StoreError>>;
    /// A spec file's text; none if there is no such file. One that is no UTF-8, or over [`MAX_SPEC_BYTES`], is an error.
    fn read(&self, file: PathBuf) -> BoxFuture<'static, Result<Option<String>, StoreError>>;
    /// Where the spec of a pipeline that has no file yet is to lie.
    fn place(&self, id: &PipelineId) -> PathBuf;
    /// Writes a spec file in one step: a reader sees the old one or the new one.
    fn write(&self, file: PathBuf, text: String) -> BoxFuture<'static, Result<(), StoreError>>;
    /// Removes a spec file; was it there?
    fn remove(&self, file: PathBuf) -> BoxFuture<'static, Result<bool, StoreError>>;
    /// The numbers of the versions kept of a pipeline, the oldest first; also of one that was removed.
    fn versions(&self, id: PipelineId) -> BoxFuture<'static, Result<Vec<u64>, StoreError>>;
    /// The text of a version; none if it is not kept.
    fn version(
        &self,
        id: PipelineId,
        number: u64,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>>;
    /// Keeps a version of a pipeline. A store may forget old ones.
    fn keep(
        &self,
        id: PipelineId,
        number: u64,
        text: String,
    ) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// Most bytes of a spec.
pub const MAX_SPEC_BYTES: usize = 1024 * 1024;

/// Is it a spec file, by its name: `*.pipeline.yaml`, `*.pipeline.yml` or `*.pipeline.json`, and not hidden?
#[must_use]
pub fn is_spec_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
    let endings = [".pipeline.yaml", ".pipeline.yml", ".pipeline.json"];
    !name.starts_with('.') && endings.iter().any(|ending| name.ends_with(ending))
}
