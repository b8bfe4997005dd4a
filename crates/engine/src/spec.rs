//! Pipeline specs: read from YAML or JSON, checked in full, all problems at once with line and column; and the schema of the written form. Which specs there are,
//! where they lie and what runs them is others' business.

mod condition;
mod cycles;
mod located;
mod problems;
mod reader;
mod schema;
mod sentences;
mod settings;
mod stages;
mod triggers;
mod units;
mod work;
mod written;

use std::sync::Arc;

use model::id::{PipelineId, PluginId};
use model::pipeline::Pipeline;
use model::plugin::Role;
use model::stage::{Misfit, Natives};
use serde_json::Value;

pub(crate) use condition::{NAMES as CONDITION_NAMES, compile as compile_condition};
pub use cycles::uses;
use problems::Finding;
pub use problems::Problem;
pub use schema::schema;
pub(crate) use sentences::Checker;
pub use stages::check_options;
pub(crate) use work::is_inbox;

/// Most bytes of a spec.
pub const MAX_BYTES: usize = 1 << 20;
/// How deep pipelines may be written within each other.
pub const MAX_NESTING: usize = 8;

/// What a spec may name beside native stages.
pub trait Known {
    /// The plugins there are, with their roles; none: that is not known here, and only the form of ids is checked.
    fn plugins(&self) -> Option<Vec<(PluginId, Vec<Role>)>>;
    /// The pipelines there are; none: that is not known here, and only the form of ids is checked.
    fn pipelines(&self) -> Option<Vec<PipelineId>>;
    /// A pipeline there is, to find circles and sources that are none.
    fn pipeline(&self, id: &PipelineId) -> Option<Arc<Pipeline>>;
    /// How many runs may be part of one.
    fn most_parts(&self) -> usize {
        crate::options::RunOptions::default().parts.get()
    }
}

/// Nothing is known of what there is: a spec is checked by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Known for Alone {
    fn plugins(&self) -> Option<Vec<(PluginId, Vec<Role>)>> {
        None
    }

    fn pipelines(&self) -> Option<Vec<PipelineId>> {
        None
    }

    fn pipeline(&self, _: &PipelineId) -> Option<Arc<Pipeline>> {
        None
    }
}

/// Reads a spec. `file` is its name or path, for messages, and the id of a pipeline that gives none: `flights` for `flights.pipeline.yaml`.
///
/// # Errors
/// All that is wrong with it, in the order of lines; what is no YAML at all has one problem.
pub fn read(
    text: &str,
    file: &str,
    natives: &Natives,
    known: &dyn Known,
) -> Result<Pipeline, Vec<Problem>> {
    let (located, mut findings) = located::read(text).map_err(|((line, column), message)| {
        vec![Problem {
            file: file.to_owned(),
            line,
            column,
            pointer: String::new(),
            message,
        }]
    })?;
    let (pipeline, found) = reader::read(&located.value, file, natives, known);
    findings.extend(found);
    match pipeline {
        Some(pipeline) if findings.is_empty() => Ok(pipeline),
        _ => Err(problems::placed(file, &located, findings)),
    }
}

/// Misfits found in what was read from a text, with their lines and columns.
pub(crate) fn place(text: &str, file: &str, misfits: Vec<Misfit>) -> Vec<Problem> {
    // What was read once can be read again; if it cannot, all is shown at the beginning.
    let (located, _) = located::read(text).unwrap_or_default();
    let finding = |misfit: Misfit| {
        let pointer = as_written(&located.value, misfit.pointer);
        // What is wrong with a stage as a whole is shown where it is named.
        let value = located.value.pointer(&pointer);
        if value.is_some_and(|v| v.is_object() || v.is_array()) {
            Finding::key(pointer, misfit.message)
        } else {
            Finding::value(pointer, misfit.message)
        }
    };
    let findings = misfits.into_iter().map(finding).collect();
    problems::placed(file, &located, findings)
}

/// The only sink may be written as `sink`: then that is its place.
fn as_written(spec: &Value, pointer: String) -> String {
    let Some((before, after)) = pointer.split_once("/sinks/0") else {
        return pointer;
    };
    let holder = spec.pointer(before);
    match holder.map(|h| (h.get("sinks"), h.get("sink"))) {
        Some((None, Some(_))) => format!("{before}/sink{after}"),
        _ => pointer,
    }
}

/// The id that a file's name gives a pipeline: what comes before `.pipeline.yaml`, `.yaml`, `.yml` or `.json`.
#[must_use]
pub fn id_of_file(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    let endings = [".yaml", ".yml", ".json"];
    let stem = endings.iter().find_map(|e| name.strip_suffix(e));
    let stem = stem.unwrap_or(name);
    stem.strip_suffix(".pipeline").unwrap_or(stem)
}

#[cfg(test)]
mod tests;
