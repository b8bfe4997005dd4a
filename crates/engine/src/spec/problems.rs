//! What is wrong with a spec: found at a JSON pointer, shown at a line and a column.

use std::fmt;

use model::stage::Misfit;

use super::located::{Located, Place};

/// Something wrong in a spec.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The spec's name, as it was given to [`super::read`].
    pub file: String,
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    /// Where in the document, a JSON pointer.
    pub pointer: String,
    /// What is wrong, what was given and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file, line, column, ..
        } = self;
        write!(f, "{file}:{line}:{column}: {}", self.message)
    }
}

/// A problem that has no place yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(super) pointer: String,
    /// Is it the key that is wrong, rather than its value?
    pub(super) on_key: bool,
    /// Its place, where it is known already.
    pub(super) place: Option<Place>,
    pub(super) message: String,
}

impl Finding {
    /// A value is wrong.
    pub(super) fn value(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            on_key: false,
            place: None,
            message: message.into(),
        }
    }

    /// A key is wrong.
    pub(super) fn key(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            on_key: true,
            ..Self::value(pointer, message)
        }
    }

    /// Something is wrong at a known place.
    pub(super) fn placed(pointer: String, place: Place, message: String) -> Self {
        Self {
            place: Some(place),
            ..Self::value(pointer, message)
        }
    }

    /// As a misfit of what stands at `at`.
    pub(crate) fn below(mut self, at: &str) -> Self {
        self.pointer.insert_str(0, at);
        self
    }
}

impl From<Misfit> for Finding {
    fn from(misfit: Misfit) -> Self {
        Self::value(misfit.pointer, misfit.message)
    }
}

impl From<Finding> for Misfit {
    fn from(finding: Finding) -> Self {
        Self::new(finding.pointer, finding.message)
    }
}

/// Problems in the order of their places, each once.
pub(super) fn placed(file: &str, located: &Located, findings: Vec<Finding>) -> Vec<Problem> {
    let mut problems: Vec<_> = findings
        .into_iter()
        .map(|finding| {
            let (line, column) = finding.place.unwrap_or_else(|| located.place(&finding));
            Problem {
                file: file.to_owned(),
                line,
                column,
                pointer: finding.pointer,
                message: finding.message,
            }
        })
        .collect();
    problems.sort_by_key(|p| (p.line, p.column));
    problems.dedup();
    problems
}
