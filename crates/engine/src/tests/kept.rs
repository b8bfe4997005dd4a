//! What stays when servers go: a real store, the world, and what sinks have; servers over it, and their end.

use std::sync::Arc;
use std::time::Duration;

use adapters::stages::SilverFolder;
use adapters::store::Database;
use model::pipeline::Pipeline;
use model::run::{RunId, RunRecord};
use model::store::{RunFilter, Store};

use super::fake::{World, world};
use super::stages::{Bench, Seen, bench_over};
use crate::{Durability, RunOptions, Silver, SilverKeep};

pub(super) struct Ground {
    _folder: tempfile::TempDir,
    pub(super) store: Arc<dyn Store>,
    pub(super) world: Arc<World>,
    pub(super) seen: Arc<Seen>,
    /// By how many milliseconds the clock goes on while something is waited for.
    pub(super) step: u64,
}

impl Ground {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Database::sqlite(&folder.path().join("store.sqlite")).unwrap();
        let world = world();
        world.advance(1_000);
        let silver = SilverFolder::open(&folder.path().join("silver")).unwrap();
        *world.silver.lock().unwrap() = Some(Silver {
            files: Arc::new(silver),
            keep: SilverKeep::default(),
        });
        Self {
            _folder: folder,
            store: Arc::new(store),
            world,
            seen: Arc::default(),
            step: 50,
        }
    }

    /// A server of this name. It has no pipelines yet, and takes up no runs.
    pub(super) fn server(&self, owner: &str) -> Bench {
        let durability = Durability {
            store: Arc::clone(&self.store),
            owner: owner.into(),
        };
        let runs = RunOptions {
            // It is not to fall behind the clock.
            nice: 0,
            ..RunOptions::default()
        };
        bench_over(&self.world, &self.seen, runs, Some(durability))
    }

    /// Lets time pass until this holds.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        mut holds: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        for _ in 0..20_000 {
            if let Some(found) = holds().await {
                return found;
            }
            // The clock does not outrun the store: else leases would end before they are renewed.
            let nobody = self.store.forsake("nobody".into());
            assert_eq!(nobody.await, Ok(0));
            self.world.advance_ms(self.step);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let runs = self.store.runs(RunFilter::default(), 10).await;
        panic!("{what}: {runs:#?} {:?}", self.world.log());
    }

    /// Waits until the store says that a run is over.
    pub(super) async fn over(&self, run: &RunId) -> RunRecord {
        self.until("the run is over", async || {
            let stored = self.store.run(run.clone()).await.unwrap().unwrap();
            let record: RunRecord = serde_json::from_str(&stored.run.record).unwrap();
            stored.state.is_over().then_some(record)
        })
        .await
    }
}

pub(super) async fn register(bench: &Bench, pipeline: &Pipeline) {
    let text = format!("{pipeline:?}");
    let put = bench.engine.register_or_replace(pipeline.clone(), &text);
    put.await.unwrap();
}

/// Ends a server as `kill -9` does: it tells nobody, and its leases stay.
pub(super) async fn kill(bench: Bench) {
    let engine = Arc::downgrade(&bench.engine);
    bench.engine.runs.lane.halt();
    drop(bench);
    while engine.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}
