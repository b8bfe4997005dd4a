//! What tests of stages work within.

use std::path::Path;
use std::sync::Arc;

use model::access::{Access, Files};
use model::id::PipelineId;
use model::run::RunId;
use model::stage::{Context, Progress};

/// A context that may reach this folder and nothing else, with records of at most 1 MiB.
pub(super) fn context(folder: &Path) -> Context {
    Context {
        pipeline: PipelineId::new("p").unwrap(),
        run: RunId::of(1),
        stage: "stage".into(),
        access: Arc::new(Access {
            files: Files::Within(vec![folder.canonicalize().unwrap()]),
            http: None,
            databases: None,
        }),
        record_bytes: 1 << 20,
        parsed_next: false,
        secrets: Arc::default(),
        progress: Arc::new(Progress::default()),
        notes: Arc::new(model::stage::Unheard),
        raw: None,
    }
}
