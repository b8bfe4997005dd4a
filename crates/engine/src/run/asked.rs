//! The hooks at `stage_execute`: those before and around are asked when a stage is about to be opened, those after it when the work of the run is over, with what the stage
//! did. No hook waits for as long as a stage works.

use std::sync::{Arc, Mutex};

use model::hooks::Point;
use model::run::StageReport;
use serde_json::{Map, Value, json};

use super::Failure;
use super::open::{Openers, Planned};
use crate::Engine;
use crate::hooks::step;
use crate::pipelines::validate::{refusal, shown};
use crate::runs::entry::Entry;
use crate::slot::lock;

/// The options of a stage as the hooks leave them.
pub(super) async fn asked(
    openers: &Openers<'_>,
    planned: &Planned,
) -> Result<Map<String, Value>, Failure> {
    let engine = openers.engine;
    if !engine.hooked.at(Point::StageExecute) {
        return Ok(planned.spec.options.clone());
    }
    let let_through: Arc<Mutex<Option<String>>> = Arc::default();
    let opening = {
        let through = Arc::clone(&let_through);
        step(move |context, _| {
            *lock(&through) = Some(context);
            // It is about to be opened: so far it has done nothing.
            let result = json!({"in": 0, "out": 0, "rejected": 0, "time_ms": 0});
            std::future::ready(Ok(result.to_string()))
        })
    };
    let context = context(openers.entry, planned, None);
    let asked = engine.begin_step(Point::StageExecute, context, opening);
    asked
        .await
        .map_err(|error| planned.fails(refusal(&error)))?;
    let context = lock(&let_through).take();
    let context = context
        .ok_or_else(|| planned.fails("a hook at stage_execute did not let it be opened".into()))?;
    let mut context: Value = serde_json::from_str(&context)
        .map_err(|e| planned.fails(format!("the hooks at stage_execute: {e}")))?;
    match context.pointer_mut("/stage/config").map(Value::take) {
        Some(Value::Object(options)) => Ok(options),
        _ => Err(planned.fails("the hooks at stage_execute left it no config".into())),
    }
}

/// What hooks are shown of a stage: before it is opened, or with what it did.
fn context(entry: &Entry, planned: &Planned, done: Option<&StageReport>) -> String {
    let context = json!({
        "run_id": entry.id,
        "pipeline": entry.look(|run| run.pipeline.clone()),
        "stage": shown(planned.part, &planned.spec),
        "records": done.map_or(0, |stage| stage.records_in),
        "bytes": done.map_or(0, |stage| stage.bytes_in),
    });
    context.to_string()
}

impl Engine {
    /// The stages of a run are over: tells the hooks after them what each did. What they refuse has happened already, and is written to the run's log.
    pub(super) async fn stages_over(self: &Arc<Self>, entry: &Entry, planned: &[Planned]) {
        if !self.hooked.at(Point::StageExecute) {
            return;
        }
        for (planned, meter) in planned.iter().zip(entry.meters()) {
            let stage = meter.report();
            let result = json!({
                "in": stage.records_in,
                "out": stage.records_out,
                "rejected": stage.rejected,
                "time_ms": stage.busy_ms,
                "error": stage.error,
            });
            let context = context(entry, planned, Some(&stage));
            let told = self.after_step(Point::StageExecute, &context, result.to_string());
            if let Err(error) = told.await {
                entry.log("warn", Some(&stage.name), refusal(&error));
            }
        }
    }
}
