//! What a run reads: its pipeline's source, or in its place what was kept before.

/// What a run reads. Kept with the job of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// The source of its pipeline.
    #[default]
    Source,
    /// Dead letters: they go to the stages from the one on that did not take them.
    Letters(LetterFeed),
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

impl LetterFeed {
    /// Is it what the circuit of a sink tries until nothing is left?
    #[must_use]
    pub fn is_circuit(&self) -> bool {
        self.undelivered && self.ids.is_empty()
    }
}
