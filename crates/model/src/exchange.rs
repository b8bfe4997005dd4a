//! What reaches from one plugin to the others, through the host: events, peer calls, hook points, metrics. The port, and the words it needs.
//!
//! A sandbox calls the port with grants and declared dependencies already checked; the engine does the rest.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::BoxFuture;
use crate::error::Fault;
use crate::events::{Emitted, Topic};
use crate::id::PluginId;

/// How deep calls of plugins by plugins, and events caused by events, may nest.
pub const MAX_DEPTH: usize = 8;

/// Why a call takes place: who waits for it, and after how many events in a row. A call for a client has the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// The plugins that wait for the call, the first caller first.
    pub chain: Arc<[PluginId]>,
    /// How many calls of plugins by plugins are under way in it; hooks that wait for a step are in the chain and not counted.
    pub depth: usize,
    /// How many events and casts led here, each caused by the one before.
    pub events: usize,
}

impl Cause {
    /// The cause of what happens while this plugin waits.
    #[must_use]
    pub fn and(&self, plugin: &PluginId) -> Self {
        Self {
            chain: self.chain.iter().chain([plugin]).cloned().collect(),
            depth: self.depth,
            events: self.events,
        }
    }

    /// The cause of a call that this plugin makes.
    #[must_use]
    pub fn call_by(&self, plugin: &PluginId) -> Self {
        Self {
            depth: self.depth + 1,
            ..self.and(plugin)
        }
    }

    /// The cause of what is delivered later, and for which nobody waits: one event deeper.
    #[must_use]
    pub fn deferred(&self) -> Self {
        Self {
            chain: Arc::default(),
            depth: 0,
            events: self.events + 1,
        }
    }

    /// Does this plugin wait for the call?
    #[must_use]
    pub fn has(&self, plugin: &PluginId) -> bool {
        self.chain.contains(plugin)
    }
}

/// The plugin that asks, and why it runs.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its id.
    pub plugin: PluginId,
    /// Why it runs.
    pub cause: Cause,
}

/// One call of a plugin by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRequest {
    /// The plugin that calls.
    pub caller: PluginId,
    /// What it wants.
    pub method: String,
    /// The arguments, JSON text.
    pub payload: String,
    /// Nobody waits for the answer.
    pub cast: bool,
}

/// Why a peer call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The callee is not there, or not started, or answers no peers.
    #[error("it is not there, or not started")]
    NotFound,
    /// It would come back to a plugin that waits: the chain, the first caller first, the callee last.
    #[error("a cycle: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// [`MAX_DEPTH`] is reached.
    #[error("more than {MAX_DEPTH} calls deep")]
    TooDeep,
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
    /// It trapped or ran into a limit.
    #[error("it crashed: {0}")]
    Crashed(String),
    /// It answered with a failure, or the host refused the call for now: a fault for which [`Fault::said`] or a time to wait is known.
    #[error("{0}")]
    Failed(Fault),
}

/// Why an event was not queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// A hook refused it.
    #[error("refused: {0}")]
    Refused(String),
    /// [`MAX_DEPTH`] events in a row.
    #[error("more than {MAX_DEPTH} events, each caused by the one before")]
    TooDeep,
    /// A subscriber that may hold up others has no room.
    #[error("a subscriber has no room")]
    Full,
}

/// Why the hooks at a plugin's own point did not let it go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FireError {
    /// [`MAX_DEPTH`] is reached.
    #[error("more than {MAX_DEPTH} calls deep")]
    TooDeep,
    /// A hook refused, or crashed and must not.
    #[error("{0}")]
    Refused(Fault),
}

/// One observation of a plugin's own metrics. Names are checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The metric's name, without prefix.
    pub name: String,
    /// Label names and values.
    pub labels: Vec<(String, String)>,
    /// What was observed.
    pub value: Observed,
}

/// What was observed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Observed {
    /// A counter grew by this.
    Counter(u64),
    /// A gauge has this value.
    Gauge(f64),
    /// One value of a histogram.
    Histogram(f64),
}

/// Where plugins meet. Dropping a future ends what it waits for.
pub trait Exchange: Send + Sync + fmt::Debug {
    /// Queues an event for all who subscribe; the payload is JSON text.
    fn emit(
        &self,
        caller: Caller,
        topic: Topic,
        payload: String,
    ) -> BoxFuture<'static, Result<Emitted, EmitError>>;

    /// Calls a plugin and waits for its answer, JSON text, at most this long.
    fn call(
        &self,
        caller: Caller,
        callee: PluginId,
        method: String,
        payload: String,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<String, PeerError>>;

    /// Queues a call for whose answer nobody waits.
    fn cast(
        &self,
        caller: Caller,
        callee: PluginId,
        method: String,
        payload: String,
    ) -> Result<(), PeerError>;

    /// Runs the hooks at one of the caller's own points; `point` is its whole name. Returns the context to go on with, JSON text.
    fn fire(
        &self,
        caller: Caller,
        point: String,
        context: String,
    ) -> BoxFuture<'static, Result<String, FireError>>;

    /// Is a plugin of this id started?
    fn present(&self, plugin: &str) -> bool;

    /// The started plugins that provide a capability, the preferred one first.
    fn providers(&self, capability: &str) -> Vec<PluginId>;

    /// Keeps an observation; false if the plugin has as many series as it may have, or the name is another kind of metric.
    fn observe(&self, plugin: &PluginId, observation: Observation) -> bool;
}
