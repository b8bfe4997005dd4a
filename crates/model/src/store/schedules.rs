//! Which tick a pipeline's schedule has come to, and how pipelines stand. When ticks are is the engine's business.

use super::{Answer, Moment, Submission, Submitted};
use crate::id::PipelineId;

/// How far the schedule of a pipeline is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Schedule {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Of the trigger as it was written: another one begins anew.
    pub digest: String,
    /// Since when there has been this trigger.
    pub since: Moment,
    /// The last tick that was started.
    pub last: Option<Moment>,
}

/// A step from one tick to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The trigger that says so.
    pub digest: String,
    /// The tick where the schedule stands.
    pub from: Option<Moment>,
    /// The tick it is to stand at.
    pub to: Moment,
    /// What is started with it.
    pub submissions: Vec<Submission>,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advanced {
    /// It was made, and these runs were submitted, in the same order.
    Moved(Vec<Submitted>),
    /// Somebody else was first, or there is another trigger: the schedule stands here. None: there is none.
    Stands(Option<Schedule>),
}

/// How a pipeline stands, beside its runs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Condition {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Has somebody paused it?
    pub paused: bool,
    /// What went wrong, until it goes well again.
    pub error: Option<String>,
    /// Since when it has gone wrong.
    pub error_since: Option<Moment>,
}

/// Schedules and conditions.
pub trait Schedules {
    /// All schedules.
    fn schedules(&self) -> Answer<Vec<Schedule>>;
    /// Says that a pipeline has this trigger from now on. The same one as before goes on where it stood; another one, or a first one, has had no tick.
    fn arm(&self, pipeline: PipelineId, digest: String, now: Moment) -> Answer<Schedule>;
    /// Forgets a schedule; was there one?
    fn disarm(&self, pipeline: PipelineId) -> Answer<bool>;
    /// Moves a schedule on and submits with it, if it still stands where the caller thinks.
    fn advance(&self, advance: Advance) -> Answer<Advanced>;
    /// How pipelines stand; those that are neither paused nor in error are left out.
    fn conditions(&self) -> Answer<Vec<Condition>>;
    /// Pauses a pipeline, or lets it go on; was it otherwise before?
    fn pause(&self, pipeline: PipelineId, paused: bool) -> Answer<bool>;
    /// Says that a pipeline has gone wrong, since now if it had not before, or with none that it goes well; did that change whether it is in error?
    fn report(&self, pipeline: PipelineId, error: Option<String>, now: Moment) -> Answer<bool>;
}
