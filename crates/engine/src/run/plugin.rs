//! Plugins as stages of a run: the version the run began with, a call counted and refused as every other, and batches of a size that stays clear of its limits. What
//! crosses into the sandbox and back is checked there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use model::BoxFuture;
use model::data::{
    Batch, Most, Opening, Partly, Pulled, Reader, Reject, Transformed, Transformer, Writer,
};
use model::error::Fault;
use model::exchange::Cause;
use model::id::PluginId;
use model::limits::Limit;
use model::plugin::Role;

use crate::Engine;
use crate::metrics::Call;
use crate::slot::{Slot, Version};

/// Records of the first call, of whose cost nothing is known yet.
const FIRST: u32 = 128;
/// How much larger a call may be than the one before.
const GROWTH: u32 = 8;

/// A plugin in the version that a run began with.
#[derive(Debug, Clone)]
pub(super) struct Held {
    engine: Arc<Engine>,
    slot: Arc<Slot>,
    version: Arc<Version>,
}

/// One of the open stages of a plugin.
#[derive(Debug)]
struct Open(Arc<Slot>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.stages.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stage of a plugin, and what each call of it needs.
pub(super) struct Guarded<T: ?Sized> {
    held: Held,
    call: Call,
    stage: Box<T>,
    _open: Open,
}

impl Held {
    /// The version of a plugin that is at work now.
    pub(super) fn find(engine: &Arc<Engine>, id: &PluginId) -> Result<Self, Fault> {
        let catalog = engine.catalog.load();
        let Some(slot) = catalog.plugin(id.as_str()) else {
            return Err(Fault::Invalid(format!("there is no plugin {id}")));
        };
        let Some(version) = slot.current.load_full() else {
            return Err(Fault::Refused(format!("plugin {id}: {}", slot.ended())));
        };
        Ok(Self {
            engine: Arc::clone(engine),
            slot: Arc::clone(slot),
            version,
        })
    }

    /// Can it be such a stage?
    pub(super) fn check(&self, role: Role) -> Result<(), Fault> {
        if self.version.face.about.roles.contains(&role) {
            return Ok(());
        }
        let (id, name) = (&self.slot.id, role.name());
        Err(Fault::Invalid(format!(
            "plugin {id} is no {name}: it does not export weir:plugin/{name}"
        )))
    }

    /// How reports name it.
    pub(super) fn said(&self) -> String {
        format!("plugin {}", self.version.face.about.plugin_ref())
    }

    /// How many stages of one plugin may be open.
    pub(super) fn most_open(&self) -> usize {
        self.engine.options.runs.plugin_stages.get()
    }

    pub(super) fn sizes(&self, batch: u32) -> Arc<Sizes> {
        let limits = &self.version.face.settings.limits;
        Arc::new(Sizes {
            fuel: limits.get(Limit::Fuel) / 2,
            time: limits
                .time(Limit::DeadlineMs)
                .min(limits.time(Limit::CpuMs))
                / 2,
            input: limits.size(Limit::InputBytes),
            batch,
            next: AtomicU32::new(batch.min(FIRST)),
        })
    }

    pub(super) async fn open_source(&self, opening: Opening) -> Result<Box<dyn Reader>, Fault> {
        let open = self.open()?;
        let plugin = Arc::clone(&self.version.plugin);
        let opening = plugin.open_source(opening, Cause::default());
        let stage = self.counted(Call::Source, opening).await?;
        Ok(Box::new(self.guarded(Call::Source, stage, open)))
    }

    pub(super) async fn open_transform(
        &self,
        config: String,
    ) -> Result<Box<dyn Transformer>, Fault> {
        let open = self.open()?;
        let plugin = Arc::clone(&self.version.plugin);
        let opening = plugin.open_transform(config, Cause::default());
        let stage = self.counted(Call::Transform, opening).await?;
        Ok(Box::new(self.guarded(Call::Transform, stage, open)))
    }

    pub(super) async fn open_sink(&self, config: String) -> Result<Box<dyn Writer>, Fault> {
        let open = self.open()?;
        let plugin = Arc::clone(&self.version.plugin);
        let opening = plugin.open_sink(config, Cause::default());
        let stage = self.counted(Call::Sink, opening).await?;
        Ok(Box::new(self.guarded(Call::Sink, stage, open)))
    }

    /// Each open stage has an instance for itself, which nobody takes away from it: so they are bounded.
    fn open(&self) -> Result<Open, Fault> {
        let before = self.slot.stages.fetch_add(1, Ordering::Relaxed);
        let open = Open(Arc::clone(&self.slot));
        let most = self.most_open();
        if before < most {
            return Ok(open);
        }
        Err(Fault::Unavailable {
            reason: format!(
                "{most} stages of plugin {} are open already, and no more may be at once (plugin_stages); each has an instance until its run is over",
                self.slot.id
            ),
            retry_after_ms: None,
        })
    }

    fn guarded<T: ?Sized>(&self, call: Call, stage: Box<T>, open: Open) -> Guarded<T> {
        Guarded {
            held: self.clone(),
            call,
            stage,
            _open: open,
        }
    }

    async fn counted<R>(
        &self,
        call: Call,
        work: impl Future<Output = Result<R, model::error::StageError>>,
    ) -> Result<R, Fault> {
        let lease = self.engine.go_on(&self.slot, &self.version, call).await;
        let lease = lease.map_err(|e| e.fault)?;
        lease.finish(work.await).map_err(|e| e.fault)
    }

    async fn call<R>(
        &self,
        call: Call,
        work: impl Future<Output = Result<R, Fault>>,
    ) -> Result<R, Fault> {
        let about = &self.version.face.about;
        let work = async { work.await.map_err(|fault| about.error(fault)) };
        self.counted(call, work).await
    }
}

impl Reader for Guarded<dyn Reader> {
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>> {
        Box::pin(self.held.call(self.call, self.stage.pull(most)))
    }

    fn fuel(&self) -> u64 {
        self.stage.fuel()
    }
}

impl Transformer for Guarded<dyn Transformer> {
    fn apply(&mut self, batch: Batch) -> BoxFuture<'_, Result<Transformed, Fault>> {
        Box::pin(self.held.call(self.call, self.stage.apply(batch)))
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Option<Batch>, Fault>> {
        Box::pin(self.held.call(self.call, self.stage.finish()))
    }

    fn fuel(&self) -> u64 {
        self.stage.fuel()
    }
}

impl Writer for Guarded<dyn Writer> {
    fn push(&mut self, batch: Batch, key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>> {
        Box::pin(self.held.call(self.call, self.stage.push(batch, key)))
    }

    fn partly(&self, key: &str) -> Partly {
        self.stage.partly(key)
    }

    fn is_whole(&self) -> bool {
        self.stage.is_whole()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.held.call(self.call, self.stage.finish()))
    }

    fn fuel(&self) -> u64 {
        self.stage.fuel()
    }
}

/// How much a plugin is given in one call. After a call that ran into a limit its stage is over, so that calls are kept to half of its fuel, time and input, by what
/// the calls before cost a record.
#[derive(Debug)]
pub(super) struct Sizes {
    fuel: u64,
    time: Duration,
    input: usize,
    batch: u32,
    next: AtomicU32,
}

impl Sizes {
    pub(super) fn records(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// Bytes of a call with more than one record.
    pub(super) fn bytes(&self) -> usize {
        self.input / 2
    }

    /// Bytes of one record; a larger one cannot be given to it.
    pub(super) fn record_bytes(&self) -> usize {
        self.input
    }

    /// What a call cost.
    pub(super) fn saw(&self, records: u32, fuel: u64, took: Duration) {
        if records == 0 {
            return;
        }
        let by_fuel = ratio(self.fuel, fuel);
        let micros = |t: Duration| u64::try_from(t.as_micros()).unwrap_or(u64::MAX);
        let by_time = ratio(micros(self.time), micros(took));
        let could = f64::from(records) * by_fuel.min(by_time);
        let now = self.records();
        let grown = now.saturating_mul(GROWTH).min(self.batch);
        let next = floor(could.min(f64::from(grown))).max(1);
        // A small batch says little of how large one may be.
        if next < now || records >= now {
            self.next.store(next, Ordering::Relaxed);
        }
    }
}

fn ratio(limit: u64, used: u64) -> f64 {
    if used == 0 {
        return f64::INFINITY;
    }
    limit as f64 / used as f64
}

/// A number of records that is at most a batch's.
fn floor(records: f64) -> u32 {
    let whole = Duration::try_from_secs_f64(records).map_or(0, |d| d.as_secs());
    u32::try_from(whole).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(fuel: u64) -> Sizes {
        Sizes {
            fuel: fuel / 2,
            time: Duration::from_secs(30),
            input: 1 << 20,
            batch: 1_000,
            next: AtomicU32::new(FIRST),
        }
    }

    #[test]
    fn calls_grow_while_they_are_cheap_and_shrink_before_they_cost_too_much() {
        let cheap = sizes(1_000_000_000);
        cheap.saw(128, 128_000, Duration::from_micros(100));
        assert_eq!(cheap.records(), 1_000);
        cheap.saw(10, 1_000, Duration::from_micros(10));
        assert_eq!(cheap.records(), 1_000, "a small batch says little");
        let dear = sizes(1_000_000);
        dear.saw(128, 640_000, Duration::from_micros(100));
        assert_eq!(dear.records(), 100, "half of the fuel at 5,000 a record");
        dear.saw(100, 2_000_000, Duration::from_micros(100));
        assert_eq!(dear.records(), 25);
        dear.saw(25, u64::MAX, Duration::from_micros(100));
        assert_eq!(dear.records(), 1);
        let slow = sizes(u64::MAX);
        slow.saw(128, 1, Duration::from_secs(60));
        assert_eq!(slow.records(), 64);
    }
}
