//! The registered pipelines, each with its versions. Reading specs and watching folders is others' business; running is `runs`'.

pub(crate) mod validate;
pub(crate) mod versions;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use model::error::StageError;
use model::id::PipelineId;
use model::pipeline::Pipeline;
use model::stage::Misfit;
use model::store::Failure;

use crate::Engine;
use crate::runs::{SubmitError, listed};
use crate::slot::lock;
use crate::spec;

/// Most versions of one pipeline whose texts are kept.
const VERSIONS: usize = 50;
/// Most pipelines, those included that were removed and whose versions are still known.
const PIPELINES: usize = 10_000;

/// A registered pipeline.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Its version, from 1.
    pub version: u64,
    /// The spec as it was written.
    pub source: Arc<str>,
    /// When it was registered.
    pub at: SystemTime,
}

/// A version of a pipeline there was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineVersion {
    /// From 1.
    pub version: u64,
    /// The spec as it was written.
    pub source: Arc<str>,
    /// When it was registered; none: before the host was started.
    pub at: Option<SystemTime>,
}

/// Why a pipeline was not registered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegisterError {
    /// There is one of this id.
    #[error("there is a pipeline {0} already")]
    Exists(PipelineId),
    /// There is none to replace.
    #[error("there is no pipeline {0}")]
    NotFound(PipelineId),
    /// It does not fit; the places are JSON pointers into the spec.
    #[error("{}", listed(.0))]
    Invalid(Vec<Misfit>),
    /// A hook said no, or failed where it must not.
    #[error("{0}")]
    Refused(StageError),
    /// Its version could not be kept.
    #[error(transparent)]
    Store(#[from] Failure),
    /// There are too many.
    #[error("there are {0} pipelines already, and no more may be registered")]
    TooMany(usize),
}

/// What a check of a pipeline found.
#[derive(Debug)]
pub(crate) enum Unfit {
    Invalid(Vec<Misfit>),
    Refused(StageError),
}

impl From<Unfit> for RegisterError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Invalid(misfits) => Self::Invalid(misfits),
            Unfit::Refused(error) => Self::Refused(error),
        }
    }
}

impl From<Unfit> for SubmitError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Invalid(misfits) => Self::Invalid(misfits),
            Unfit::Refused(error) => Self::Refused(error),
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Pipelines(Mutex<BTreeMap<PipelineId, Known>>);

#[derive(Debug, Default)]
struct Known {
    /// None: it was removed.
    current: Option<Registered>,
    /// The oldest first, the one at work included.
    versions: Vec<PipelineVersion>,
    /// The highest version there ever was.
    last: u64,
}

/// What a registration expects to find.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    None,
    Some,
    Either,
}

impl Engine {
    /// Registers a pipeline that is new. `source` is its spec as it was written. Answers its version, which goes on from that of a removed one of the same id.
    ///
    /// # Errors
    /// There is one, it does not fit, or a hook at `validate_pipeline` or `validate_stage` said so.
    pub async fn register(
        self: &Arc<Self>,
        pipeline: Pipeline,
        source: &str,
    ) -> Result<u64, RegisterError> {
        self.put_pipeline(pipeline, source, Expects::None).await
    }

    /// Puts a new version in the place of a registered pipeline; the same text makes no new one. Runs under way keep theirs.
    ///
    /// # Errors
    /// There is none, or as [`Engine::register`].
    pub async fn replace(
        self: &Arc<Self>,
        pipeline: Pipeline,
        source: &str,
    ) -> Result<u64, RegisterError> {
        self.put_pipeline(pipeline, source, Expects::Some).await
    }

    /// Registers a pipeline or replaces it, whichever it takes.
    ///
    /// # Errors
    /// As [`Engine::register`].
    pub async fn register_or_replace(
        self: &Arc<Self>,
        pipeline: Pipeline,
        source: &str,
    ) -> Result<u64, RegisterError> {
        self.put_pipeline(pipeline, source, Expects::Either).await
    }

    async fn put_pipeline(
        self: &Arc<Self>,
        pipeline: Pipeline,
        source: &str,
        expects: Expects,
    ) -> Result<u64, RegisterError> {
        self.pipelines.check(&pipeline.id, expects)?;
        self.validate(&pipeline, Some(source)).await?;
        let at = self.ports.clock.now();
        let number = match &self.durable {
            Some(durable) => Some(durable.number_of(&pipeline.id, source, at).await?),
            None => None,
        };
        let id = pipeline.id.clone();
        let version = self.pipelines.put(pipeline, source, number, expects, at)?;
        self.set_inbox(&id);
        if let Some(durable) = &self.durable {
            self.put_off_held(durable);
        }
        Ok(version)
    }

    /// Takes a pipeline out; was it there? Its versions stay known, and runs under way go on.
    pub fn remove(&self, id: &PipelineId) -> bool {
        let was_there = {
            let mut all = lock(&self.pipelines.0);
            all.get_mut(id).is_some_and(|k| k.current.take().is_some())
        };
        self.set_inbox(id);
        was_there
    }

    /// A registered pipeline.
    #[must_use]
    pub fn pipeline(&self, id: &PipelineId) -> Option<Registered> {
        lock(&self.pipelines.0).get(id)?.current.clone()
    }

    /// All registered pipelines, in the order of their ids.
    #[must_use]
    pub fn pipelines(&self) -> Vec<Registered> {
        let all = lock(&self.pipelines.0);
        all.values().filter_map(|k| k.current.clone()).collect()
    }

    /// The last versions of a pipeline, the oldest first, also of one that was removed. None: it never was.
    #[must_use]
    pub fn pipeline_versions(&self, id: &PipelineId) -> Vec<PipelineVersion> {
        let all = lock(&self.pipelines.0);
        all.get(id).map_or_else(Vec::new, |k| k.versions.clone())
    }

    /// Reads a version's spec as it was written.
    pub(crate) async fn read_version(
        self: &Arc<Self>,
        id: &PipelineId,
        source: &Arc<str>,
    ) -> Result<Pipeline, String> {
        let (this, source) = (Arc::clone(self), Arc::clone(source));
        let file = format!("{id}.pipeline.yaml");
        let reading = move || spec::read(&source, &file, this.natives(), &*this);
        // A spec may have a megabyte.
        let read = tokio::task::spawn_blocking(reading).await;
        let read = read.map_err(|e| e.to_string())?;
        read.map_err(|problems| {
            let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
            format!(
                "the spec that the run began with no longer fits: {}",
                said.join("; ")
            )
        })
    }

    /// Tells of versions there were before the host was started, so that numbers go on from there. Of a pipeline of which anything is known already nothing changes.
    pub fn recall_versions(&self, id: &PipelineId, versions: Vec<(u64, String)>) {
        let mut all = lock(&self.pipelines.0);
        let known = all.entry(id.clone()).or_default();
        if known.last > 0 {
            return;
        }
        known.versions = versions
            .into_iter()
            .map(|(version, source)| PipelineVersion {
                version,
                source: source.into(),
                at: None,
            })
            .collect();
        known.versions.sort_by_key(|v| v.version);
        known.last = known.versions.last().map_or(0, |v| v.version);
        known.shed();
    }
}

impl Pipelines {
    fn check(&self, id: &PipelineId, expects: Expects) -> Result<(), RegisterError> {
        let all = lock(&self.0);
        let there = all.get(id).is_some_and(|k| k.current.is_some());
        match (expects, there) {
            (Expects::None, true) => Err(RegisterError::Exists(id.clone())),
            (Expects::Some, false) => Err(RegisterError::NotFound(id.clone())),
            _ => Ok(()),
        }
    }

    fn put(
        &self,
        pipeline: Pipeline,
        source: &str,
        number: Option<u64>,
        expects: Expects,
        at: SystemTime,
    ) -> Result<u64, RegisterError> {
        let id = pipeline.id.clone();
        // Again: another may have come first while hooks looked at this one.
        self.check(&id, expects)?;
        let mut all = lock(&self.0);
        if !all.contains_key(&id) && all.len() >= PIPELINES {
            all.retain(|_, known| known.current.is_some());
            if all.len() >= PIPELINES {
                return Err(RegisterError::TooMany(all.len()));
            }
        }
        let known = all.entry(id).or_default();
        let kept = known.versions.iter().rev();
        let same = match number {
            Some(number) => kept.clone().find(|v| v.version == number),
            None => kept.clone().next(),
        };
        let same = same.filter(|v| *v.source == *source).cloned();
        let version = same.unwrap_or_else(|| {
            let number = number.unwrap_or(known.last + 1);
            known.last = number.max(known.last);
            let version = PipelineVersion {
                version: number,
                source: source.into(),
                at: Some(at),
            };
            known.versions.push(version.clone());
            version
        });
        known.shed();
        known.current = Some(Registered {
            pipeline: Arc::new(pipeline),
            version: version.version,
            source: version.source,
            at: version.at.unwrap_or(at),
        });
        Ok(version.version)
    }
}

impl Known {
    fn shed(&mut self) {
        let over = self.versions.len().saturating_sub(VERSIONS);
        self.versions.drain(..over);
    }
}
