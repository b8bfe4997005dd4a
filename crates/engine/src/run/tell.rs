//! What runs tell while they are under way: whoever follows one looks again now and then, and the bus hears of new data, at most once a second and run. Never a record.

use std::sync::Arc;
use std::time::Duration;

use model::run::RunRecord;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Counts;
use crate::Engine;
use crate::runs::entry::Entry;

/// How often a run under way is shown.
const SHOW: Duration = Duration::from_millis(250);
/// How often the bus hears of its data, in shows.
const TELL: u32 = 4;

impl Engine {
    /// `weir.run.started`.
    pub(super) fn tell_started(&self, entry: &Entry) {
        let payload = entry.look(|run| {
            json!({
                "run_id": run.id,
                "pipeline": run.pipeline,
                "version": run.version,
                "trigger": run.started_by,
                "parent": run.parent,
                "window": run.window,
            })
        });
        self.tell("weir.run.started", &payload);
    }

    /// `weir.run.finished`, and the last of its data.
    pub(super) fn tell_over(&self, run: &RunRecord) {
        if !run.stages.is_empty() {
            self.tell_data(run);
        }
        let counts = Counts::of(run);
        let payload = json!({
            "run_id": run.id,
            "pipeline": run.pipeline,
            "version": run.version,
            "trigger": run.started_by,
            "parent": run.parent,
            "window": run.window,
            "state": run.state,
            "records_in": counts.records_in,
            "records_out": counts.records_out,
            "rejected": counts.rejected,
            "duration_ms": run.duration_ms,
            "error": run.error.first(),
        });
        self.tell("weir.run.finished", &payload);
    }

    /// `weir.pipeline.<id>.data`: how much there is by now.
    fn tell_data(&self, run: &RunRecord) {
        let counts = Counts::of(run);
        let payload: Value = json!({
            "run_id": run.id,
            "pipeline": run.pipeline,
            "state": run.state,
            "records_in": counts.records_in,
            "records_out": counts.records_out,
            "rejected": counts.rejected,
            "bytes_in": counts.bytes_in,
            "bytes_out": counts.bytes_out,
        });
        self.tell(&format!("weir.pipeline.{}.data", run.pipeline), &payload);
    }

    /// Shows a run while it is under way.
    pub(super) fn tick(self: &Arc<Self>, entry: Arc<Entry>) -> JoinHandle<()> {
        let engine = Arc::downgrade(self);
        self.runs.lane.spawn(async move {
            let mut ticks = tokio::time::interval(SHOW);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut told = Counts::default();
            for shows in 0_u32.. {
                ticks.tick().await;
                entry.show();
                if shows == 0 || shows % TELL != 0 {
                    continue;
                }
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                let run = entry.record();
                let counts = Counts::of(&run);
                if counts != told {
                    told = counts;
                    engine.tell_data(&run);
                }
            }
        })
    }
}
