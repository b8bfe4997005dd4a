//! What a run reads: its pipeline's source, or in its place what was kept before.

use std::collections::BTreeSet;

use serde_json::Value;

/// What a run reads. Kept with the job of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// The source of its pipeline.
    #[default]
    Source,
    /// What was kept of its input.
    Kept(Kept),
    /// Dead letters: they go to the stages from the one on that did not take them.
    Letters(LetterFeed),
}

/// Which payloads go through a pipeline again, and where to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    /// Received at this time or later, in milliseconds since 1970 UTC.
    pub from_ms: Option<u64>,
    /// Received before this time.
    pub until_ms: u64,
    /// The sinks they go to, by their names; none: all.
    pub sinks: Option<BTreeSet<String>>,
    /// Other sinks, as a spec writes them.
    pub into: Option<Value>,
}

/// Which dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LetterFeed {
    /// Those of this stage.
    pub stage: String,
    /// Those that a sink gave up on, or those that were rejected.
    pub undelivered: bool,
    /// Only these; empty: all that wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<i64>,
}

impl Feed {
    /// The sinks, as a spec writes them, that take the place of those of the pipeline.
    pub(crate) fn other_sinks(&self) -> Option<&Value> {
        match self {
            Self::Kept(kept) => kept.into.as_ref(),
            Self::Source | Self::Letters(_) => None,
        }
    }

    /// Does what is read go to a sink of this name?
    pub(crate) fn goes_to(&self, sink: &str) -> bool {
        match self {
            Self::Kept(kept) => kept.sinks.as_ref().is_none_or(|names| names.contains(sink)),
            Self::Source | Self::Letters(_) => true,
        }
    }
}

impl LetterFeed {
    /// What the circuit of a sink tries.
    pub(crate) fn circuit_of(sink: String) -> Self {
        Self {
            stage: sink,
            undelivered: true,
            ids: Vec::new(),
        }
    }

    /// Is it what the circuit of a sink tries until nothing is left?
    #[must_use]
    pub fn is_circuit(&self) -> bool {
        self.undelivered && self.ids.is_empty()
    }
}
