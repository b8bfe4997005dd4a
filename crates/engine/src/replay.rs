//! Replays: what was kept of a pipeline's input goes through it again, as it is now or as it was, and into its sinks or others. Before that a diff says what would come out otherwise.
//! Nobody is asked for anything, and no checkpoint moves.

mod diff;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use model::id::PipelineId;
use model::pipeline::{Pipeline, Work};
use model::run::{RunId, Started};
use model::stage::Misfit;
use serde_json::{Map, Value};

use crate::Engine;
use crate::durable::Durable;
use crate::pipelines::versions::Found;
use crate::raw::millis;
use crate::run::{Feed, Kept};
use crate::runs::{SubmitError, Trigger, Which};

pub use diff::{Diff, Sample, Side};

/// What is to go through a pipeline again.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// What was received at this time or later; none: from the first on.
    pub from: Option<SystemTime>,
    /// What was received before this time; none: up to now.
    pub until: Option<SystemTime>,
    /// The version of the pipeline it goes through; none: the newest.
    pub version: Option<u64>,
    /// The sinks it goes to, by their names; none: all of the version.
    pub sinks: Option<BTreeSet<String>>,
    /// Other sinks, as a spec writes them, in place of those of the version.
    pub into: Option<Value>,
    /// Values of parameters.
    pub parameters: Map<String, Value>,
    /// The span of time that templates name; none: the last one that is over.
    pub window: Option<String>,
}

/// Why there is no replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is not started.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// What is asked for does not fit.
    #[error("{0}")]
    Invalid(String),
    /// There is more than can be compared.
    #[error("{0}")]
    TooMuch(String),
    /// A run of the two did not come to its end.
    #[error("{0}")]
    Failed(String),
}

impl Engine {
    /// Starts a replay.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn replay(self: &Arc<Self>, replay: &Replay) -> Result<RunId, ReplayError> {
        let version = self.replayed_version(replay)?;
        let feed = self.feed_of(replay)?;
        let pipeline = self.replayed(&replay.pipeline, version, &feed).await?;
        check_sinks(&pipeline, &feed)?;
        let trigger = trigger(replay, feed);
        let job = self.job(pipeline, version, &trigger)?;
        let durable = self.keeper()?;
        Ok(self.submit_durable(durable, job, &trigger).await?)
    }

    fn keeper(&self) -> Result<&Arc<Durable>, ReplayError> {
        self.durable.as_ref().ok_or_else(|| {
            let said = "this host keeps nothing, so that nothing can be replayed";
            ReplayError::Invalid(said.into())
        })
    }

    fn replayed_version(&self, replay: &Replay) -> Result<u64, ReplayError> {
        let found = self.pipeline(&replay.pipeline);
        let found = found.ok_or_else(|| SubmitError::NotFound(replay.pipeline.clone()))?;
        Ok(replay.version.unwrap_or(found.version))
    }

    fn feed_of(&self, replay: &Replay) -> Result<Feed, ReplayError> {
        if replay.sinks.is_some() && replay.into.is_some() {
            let said = "sinks, into: only one of them is allowed";
            return Err(ReplayError::Invalid(said.into()));
        }
        if let (Some(from), Some(until)) = (replay.from, replay.until)
            && from >= until
        {
            let said = "until: it has to be after `from`";
            return Err(ReplayError::Invalid(said.into()));
        }
        // What comes while it runs is not its.
        let until = replay.until.unwrap_or_else(|| self.ports.clock.now());
        Ok(Feed::Kept(Kept {
            from_ms: replay.from.map(millis),
            until_ms: millis(until),
            sinks: replay.sinks.clone(),
            into: replay.into.clone(),
        }))
    }

    /// A version of a pipeline with the sinks that a feed wants.
    async fn replayed(
        self: &Arc<Self>,
        id: &PipelineId,
        version: u64,
        feed: &Feed,
    ) -> Result<Arc<Pipeline>, ReplayError> {
        let durable = self.keeper()?;
        let found = self.find_version(durable, id, version, feed.other_sinks());
        match found.await.map_err(SubmitError::from)? {
            Found::Here(pipeline) => Ok(pipeline),
            Found::Absent => Err(SubmitError::NotFound(id.clone()).into()),
            Found::Gone(why) => Err(ReplayError::Invalid(why)),
        }
    }
}

fn trigger(replay: &Replay, feed: Feed) -> Trigger {
    Trigger {
        parameters: replay.parameters.clone(),
        window: replay.window.clone(),
        started_by: Started::Replay,
        feed,
        ..Trigger::of(Which::Named(replay.pipeline.clone()))
    }
}

/// A spec with other sinks.
pub(crate) fn with_sinks(source: &str, sinks: &Value) -> Result<String, String> {
    let mut spec: Value = serde_saphyr::from_str(source).map_err(|e| e.to_string())?;
    let Value::Object(members) = &mut spec else {
        return Err("the spec is no map".into());
    };
    members.shift_remove("sink");
    members.insert("sinks".into(), sinks.clone());
    Ok(spec.to_string())
}

/// Are the sinks there that are asked for, and does the pipeline move data at all?
fn check_sinks(pipeline: &Pipeline, feed: &Feed) -> Result<(), ReplayError> {
    let Work::Flow(flow) = &pipeline.work else {
        let said = "the pipeline is made of others: replay those that have a source";
        return Err(ReplayError::Invalid(said.into()));
    };
    let Feed::Kept(Kept {
        sinks: Some(wanted),
        ..
    }) = feed
    else {
        return Ok(());
    };
    let there: Vec<_> = flow.sinks.iter().map(|s| s.name.as_str()).collect();
    let unknown = wanted.iter().find(|name| !there.contains(&name.as_str()));
    let misfit = match unknown {
        Some(name) => format!("there is no sink {name:?}; there are {}", there.join(", ")),
        None if wanted.is_empty() => "an empty list was given; one name or more is needed".into(),
        None => return Ok(()),
    };
    Err(SubmitError::Invalid(vec![Misfit::new("/sinks", misfit)]).into())
}
