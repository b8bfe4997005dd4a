//! Forgets runs of the store that have been over for long, in steps so small that nobody who writes has to wait for them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use model::store::Failure;

use super::Durable;
use crate::Engine;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(60);
/// Runs of one step, which is one transaction.
const STEP: u32 = 50;
/// Between two steps: others have their turn.
const PAUSE: Duration = Duration::from_millis(20);

/// Forgets what is too old, as long as the engine lives.
pub(super) async fn prune(engine: Weak<Engine>, durable: Arc<Durable>) {
    loop {
        let Some(engine) = engine.upgrade().filter(|e| !e.is_closing()) else {
            return;
        };
        let Some(keep) = engine.runs.keep else { return };
        let wait = match engine.prune_some(&durable, keep.age).await {
            Ok(STEP) => PAUSE,
            Ok(_) => LOOK,
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
    async fn prune_some(&self, durable: &Durable, age: Duration) -> Result<u32, Failure> {
        let Some(before) = self.ports.clock.now().checked_sub(age) else {
            return Ok(0);
        };
        durable.store.prune_runs(before.into(), STEP).await
    }
}
