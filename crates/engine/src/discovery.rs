//! Follows the folders of specs, and takes specs that come over the API: both end as a file in a folder and a registered pipeline. Booting is a look from empty.
//! Reading a spec is `spec`'s business, watching folders the binary's.

mod known;
mod look;
mod store;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use model::id::PipelineId;
use model::pipeline::Pipeline;
use model::ports::{PipelineStore, StoreError};
use serde_json::Value;
use tracing::Instrument as _;

use crate::Engine;
use crate::pipelines::{RegisterError, Registered};
use crate::slot::lock;
use crate::spec::{self, Problem};
use known::Here;

/// The folders of specs, followed: one a host.
#[derive(Debug)]
pub struct Discovery {
    engine: Arc<Engine>,
    store: Arc<dyn PipelineStore>,
    /// One change at a time, so that a file and its pipeline are of one text.
    turn: tokio::sync::Mutex<()>,
    files: Mutex<BTreeMap<PathBuf, Entry>>,
}

/// A spec file as it was at the last look.
#[derive(Debug, Clone, Default)]
struct Entry {
    /// Its text; none: it could not be read.
    text: Option<String>,
    /// The pipeline that is registered from it.
    provides: Option<PipelineId>,
    /// Why it is not, or no longer, what is registered.
    failure: Option<SpecError>,
}

/// A pipeline, or a spec file that did not become one.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The pipeline's id; of a file that never fitted what its name says.
    pub id: String,
    /// The spec file; none: it was registered without one.
    pub file: Option<PathBuf>,
    /// What is registered; none: nothing.
    pub registered: Option<Registered>,
    /// Why the file, as it is now, is not what is registered.
    pub failure: Option<SpecError>,
}

/// Why a spec did not become a pipeline.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpecError {
    /// All that is wrong with it.
    #[error("{}", summary(.0))]
    Invalid(Vec<Problem>),
    /// Another file has its id.
    #[error("its id {id} is already provided by {}", .file.display())]
    Duplicate {
        /// The id.
        id: PipelineId,
        /// The file that has it.
        file: PathBuf,
    },
    /// A hook said no, there is one of its id already, or there are too many.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// Where it would be written there is another file.
    #[error("{} is there already and holds something else", .0.display())]
    Occupied(PathBuf),
    /// It is of another pipeline than was named.
    #[error("the spec is of the pipeline {given}, not of {wanted}")]
    OtherId {
        /// The id in the spec.
        given: PipelineId,
        /// The id that was named.
        wanted: PipelineId,
    },
    /// The files could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a pipeline was not deleted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeleteError {
    /// Others are made of it, or go on with its records.
    #[error("pipeline {id} is named by {}; change or delete them first", names(.by))]
    Needed {
        /// The pipeline.
        id: PipelineId,
        /// Those that name it, in order.
        by: Vec<PipelineId>,
    },
    /// Its file could not be removed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// At most ten of them.
fn names(ids: &[PipelineId]) -> String {
    let (shown, rest) = ids.split_at(ids.len().min(10));
    let shown: Vec<_> = shown.iter().map(PipelineId::as_str).collect();
    match rest.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn summary(problems: &[Problem]) -> String {
    match problems {
        [] => "it does not fit".into(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

/// A spec that was put to work.
#[derive(Debug, Clone)]
pub struct Put {
    /// What is registered now.
    pub registered: Registered,
    /// Was there no such pipeline before?
    pub is_new: bool,
}

impl Discovery {
    /// With nothing registered. [`Discovery::look`] reads the folders.
    #[must_use]
    pub fn new(engine: Arc<Engine>, store: Arc<dyn PipelineStore>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            store,
            turn: tokio::sync::Mutex::default(),
            files: Mutex::default(),
        })
    }

    /// The JSON Schema of specs, with the options of all native stages.
    #[must_use]
    pub fn schema(&self) -> Value {
        spec::schema(self.engine.natives())
    }

    /// All that is wrong with a spec, as it would be put to work here; nothing is changed. `file` is its name for messages, and may give it its id.
    pub async fn check(&self, text: String, file: String) -> Vec<Problem> {
        self.read(text, file, &BTreeMap::new())
            .await
            .err()
            .unwrap_or_default()
    }

    /// All pipelines and failed spec files: in the order of their ids, then of their files.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let mut registered: BTreeMap<_, _> = self
            .engine
            .pipelines()
            .into_iter()
            .map(|r| (r.pipeline.id.clone(), r))
            .collect();
        let mut all: Vec<_> = lock(&self.files)
            .iter()
            .map(|(file, entry)| Listed {
                id: entry
                    .provides
                    .as_ref()
                    .map_or_else(|| id_of(file), ToString::to_string),
                file: Some(file.clone()),
                registered: entry.provides.as_ref().and_then(|id| registered.remove(id)),
                failure: entry.failure.clone(),
            })
            .collect();
        all.extend(registered.into_values().map(|r| Listed {
            id: r.pipeline.id.to_string(),
            file: None,
            registered: Some(r),
            failure: None,
        }));
        all.sort_by(|a, b| {
            (&a.id, a.registered.is_none(), &a.file).cmp(&(&b.id, b.registered.is_none(), &b.file))
        });
        all
    }

    /// One pipeline by its id, or a failed file by what its name says.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Listed> {
        self.list().into_iter().find(|l| l.id == id)
    }

    /// Registers a spec and writes its file. With `wanted` it is to be of this pipeline, and may replace it; without, it has to be new. A client that leaves cannot
    /// leave it half-done.
    ///
    /// # Errors
    /// Why there is no new version; what was registered goes on then.
    pub async fn put(
        self: &Arc<Self>,
        text: String,
        wanted: Option<PipelineId>,
    ) -> Result<Put, SpecError> {
        let this = Arc::clone(self);
        let work = async move { this.put_now(text, wanted).await };
        match tokio::spawn(work.in_current_span()).await {
            Ok(done) => done,
            Err(e) => Err(broke_off(e).into()),
        }
    }

    /// Removes a pipeline and its file, or a file that failed, by what its name says. Runs under way go on; versions stay known. False: there is none.
    ///
    /// # Errors
    /// Another pipeline names it, or the file could not be removed; nothing has changed then.
    pub async fn delete(self: &Arc<Self>, id: &str) -> Result<bool, DeleteError> {
        let (this, id) = (Arc::clone(self), id.to_owned());
        let work = async move { this.delete_now(&id).await };
        match tokio::spawn(work.in_current_span()).await {
            Ok(done) => done,
            Err(e) => Err(broke_off(e).into()),
        }
    }

    async fn put_now(&self, text: String, wanted: Option<PipelineId>) -> Result<Put, SpecError> {
        let _turn = self.turn.lock().await;
        let file = wanted
            .as_ref()
            .map_or_else(String::new, |id| format!("{id}.pipeline.yaml"));
        let read = self
            .read(text.clone(), file.clone(), &BTreeMap::new())
            .await;
        let pipeline = read.map_err(SpecError::Invalid)?;
        let id = pipeline.id.clone();
        if let Some(wanted) = wanted.filter(|w| *w != id) {
            return Err(SpecError::OtherId { given: id, wanted });
        }
        let before = self.engine.pipeline(&id);
        if before.is_some() && file.is_empty() {
            return Err(RegisterError::Exists(id).into());
        }
        let place = self.place(&id).await?;
        let version = self.register(pipeline, &text, &file).await?;
        if let Err(error) = self.store.write(place.clone(), text.clone()).await {
            self.take_back(&id, before).await;
            return Err(error.into());
        }
        let entry = Entry {
            text: Some(text.clone()),
            provides: Some(id.clone()),
            failure: None,
        };
        lock(&self.files).insert(place, entry);
        self.keep(&id, version, text).await;
        let registered = self
            .engine
            .pipeline(&id)
            .ok_or(RegisterError::NotFound(id))?;
        Ok(Put {
            registered,
            is_new: before.is_none(),
        })
    }

    /// Where a pipeline's spec lies, or is to.
    async fn place(&self, id: &PipelineId) -> Result<PathBuf, SpecError> {
        let found = lock(&self.files)
            .iter()
            .find(|(_, entry)| entry.provides.as_ref() == Some(id))
            .map(|(file, _)| file.clone());
        if let Some(file) = found {
            return Ok(file);
        }
        let place = self.store.place(id);
        // A file that failed by this very name is what is to be mended.
        let is_failed = lock(&self.files)
            .get(&place)
            .is_some_and(|e| e.provides.is_none());
        if is_failed || self.store.read(place.clone()).await?.is_none() {
            return Ok(place);
        }
        Err(SpecError::Occupied(place))
    }

    /// After a write that failed: what was registered is so again.
    async fn take_back(&self, id: &PipelineId, before: Option<Registered>) {
        let Some(before) = before else {
            self.engine.remove(id);
            return;
        };
        let pipeline = Pipeline::clone(&before.pipeline);
        if let Err(error) = self
            .engine
            .register_or_replace(pipeline, &before.source)
            .await
        {
            tracing::error!(pipeline = %id, %error, "a pipeline could not be put back as it was");
        }
    }

    async fn delete_now(&self, id: &str) -> Result<bool, DeleteError> {
        let _turn = self.turn.lock().await;
        let Some(found) = self.find(id) else {
            return Ok(false);
        };
        if let Some(registered) = &found.registered {
            let id = registered.pipeline.id.clone();
            let by = self.users(&id);
            if !by.is_empty() {
                return Err(DeleteError::Needed { id, by });
            }
        }
        if let Some(file) = found.file {
            self.store.remove(file.clone()).await?;
            lock(&self.files).remove(&file);
        }
        if let Some(registered) = found.registered {
            self.engine.remove(&registered.pipeline.id);
        }
        Ok(true)
    }

    /// The other pipelines whose runs need this one.
    fn users(&self, id: &PipelineId) -> Vec<PipelineId> {
        let all = self.engine.pipelines().into_iter().map(|r| r.pipeline);
        let others = all.filter(|p| p.id != *id && spec::uses(p).contains(&id));
        others.map(|p| p.id.clone()).collect()
    }

    /// Reads a spec; what it may name is what there is, and `beside`.
    async fn read(
        &self,
        text: String,
        file: String,
        beside: &BTreeMap<PipelineId, Arc<Pipeline>>,
    ) -> Result<Pipeline, Vec<Problem>> {
        let here = Here {
            engine: Arc::clone(&self.engine),
            beside: beside.clone(),
        };
        let name = file.clone();
        let work = move || spec::read(&text, &file, here.engine.natives(), &here);
        // A spec may have a megabyte.
        let read = tokio::task::spawn_blocking(work).await;
        read.unwrap_or_else(|e| {
            Err(vec![unplaced(
                &name,
                "",
                format!("it could not be read: {e}"),
            )])
        })
    }

    /// Registers what was read from a text.
    async fn register(&self, pipeline: Pipeline, text: &str, file: &str) -> Result<u64, SpecError> {
        self.recall(&pipeline.id).await;
        let done = self.engine.register_or_replace(pipeline, text).await;
        done.map_err(|e| match e {
            RegisterError::Invalid(misfits) => SpecError::Invalid(spec::place(text, file, misfits)),
            other => other.into(),
        })
    }
}

/// A problem of which only the pointer is known.
fn unplaced(file: &str, pointer: &str, message: String) -> Problem {
    Problem {
        file: file.into(),
        line: 1,
        column: 1,
        pointer: pointer.into(),
        message,
    }
}

fn broke_off(error: tokio::task::JoinError) -> StoreError {
    StoreError {
        what: "the change broke off".into(),
        source: Arc::new(error),
    }
}

/// The id that a spec file's name gives.
fn id_of(file: &Path) -> String {
    spec::id_of_file(&file.to_string_lossy()).to_owned()
}
