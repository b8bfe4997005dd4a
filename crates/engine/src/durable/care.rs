//! Looks after the store once a minute: forgets runs that have been over for long, in steps so small that nobody who writes has to wait for them, and counts the dead letters that wait.

use std::sync::{Arc, Weak};
use std::time::Duration;

use model::store::Failure;

use super::Durable;
use crate::Engine;
use crate::metrics::runs::PIPELINES;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(60);
/// Runs of one step, which is one transaction.
const STEP: u32 = 50;
/// Between two steps: others have their turn.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks after the store as long as the engine lives.
pub(super) async fn look_after(engine: Weak<Engine>, durable: Arc<Durable>) {
    loop {
        let Some(engine) = engine.upgrade().filter(|e| !e.is_closing()) else {
            return;
        };
        let wait = match engine.prune_some(&durable).await {
            Ok(STEP) => PAUSE,
            Ok(_) => {
                if let Err(error) = engine.count_letters(&durable).await {
                    tracing::warn!(%error, "dead letters that wait cannot be counted");
                }
                LOOK
            }
            Err(error) => {
                tracing::warn!(%error, "old runs cannot be forgotten");
                LOOK
            }
        };
        let timer = Arc::clone(&engine.ports.stages.timer);
        drop(engine);
        timer.wait(wait).await;
    }
}

impl Engine {
    async fn prune_some(&self, durable: &Durable) -> Result<u32, Failure> {
        let keep = self.runs.keep.as_ref();
        let before = keep.and_then(|keep| self.ports.clock.now().checked_sub(keep.age));
        match before {
            Some(before) => durable.store.prune_runs(before.into(), STEP).await,
            None => Ok(0),
        }
    }

    /// For the metrics.
    async fn count_letters(&self, durable: &Durable) -> Result<(), Failure> {
        let mut all = Vec::new();
        for registered in self.pipelines().into_iter().take(PIPELINES) {
            let id = registered.pipeline.id.clone();
            let waiting = durable.store.letters_waiting(id.clone()).await?;
            all.push((id, waiting));
        }
        self.run_meters.letters(&all);
        Ok(())
    }
}
