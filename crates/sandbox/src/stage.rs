//! A plugin's source, transform or sink at work for one run: an instance of its own with the resource in it, and a check of all that comes out. It
//! makes no instances and knows no pipelines.

mod count;

use std::sync::Arc;

use model::BoxFuture;
use model::data::{Batch, Most, Pulled, Reader, Reject, Transformed, Transformer, Writer};
use model::error::{Fault, StageError};
use model::exchange::Cause;
use model::limits::Limit;
use wasmtime::component::ResourceAny;

use crate::call::{Kind, in_turn, is_ordinary, take_turn, turn};
use crate::exports::{Run, data};
use crate::instance::{Instance, Work};
use crate::json;
use crate::ongoing::Ongoing;
use crate::plugin::Loaded;
use crate::usage::add;

/// An open resource in an instance that nobody else uses.
pub(crate) struct Stage {
    plugin: Arc<Loaded>,
    cause: Cause,
    /// None after a call that ended in anything but an ordinary answer.
    held: Option<(Instance, ResourceAny)>,
    /// Fuel burnt by its opening and the calls that came back.
    fuel: u64,
}

impl Stage {
    /// Makes an instance and opens the resource in it. `given` is the number of bytes of what it is opened with.
    pub(crate) async fn open(
        plugin: Arc<Loaded>,
        cause: Cause,
        given: usize,
        run: Run<ResourceAny>,
    ) -> Result<Self, StageError> {
        plugin.check_input(given)?;
        let ongoing = Ongoing::new(&plugin.shared, Kind::Stage, cause.clone());
        let work = work(&plugin, &ongoing, given, run);
        let making = Arc::clone(&plugin);
        let opening = Box::pin(async move {
            let mut instance = making.new_instance(&work.ongoing).await?;
            making.tell_news(&mut instance, &work.ongoing).await?;
            let resource = instance.run(work).await?;
            Ok((instance, resource))
        });
        let opened = take_turn(&plugin, &ongoing, opening).await;
        let held = opened.map_err(|fault| plugin.error(fault))?;
        Ok(Self {
            plugin,
            cause,
            fuel: held.0.burnt(),
            held: Some(held),
        })
    }

    async fn call<R: Send + 'static>(
        &mut self,
        given: usize,
        run: impl FnOnce(ResourceAny) -> Run<R>,
    ) -> Result<R, Fault> {
        self.plugin.check_input(given).map_err(|e| e.fault)?;
        if self.held.is_none() {
            return Err(over());
        }
        let ongoing = Ongoing::new(&self.plugin.shared, Kind::Stage, self.cause.clone());
        // Before the instance is touched: a stage that gets no turn may be asked again.
        let turn = turn(&self.plugin, &ongoing).await?;
        let Some((mut instance, resource)) = self.held.take() else {
            return Err(over());
        };
        let work = work(&self.plugin, &ongoing, given, run(resource));
        let plugin = Arc::clone(&self.plugin);
        let calling = Box::pin(async move {
            plugin.tell_news(&mut instance, &work.ongoing).await?;
            let outcome = instance.run(work).await;
            Ok((instance, outcome))
        });
        let (instance, outcome) = in_turn(turn, &self.plugin, &ongoing, calling).await?;
        self.fuel = instance.burnt();
        if is_ordinary(&outcome) {
            self.held = Some((instance, resource));
        }
        outcome
    }

    /// The plugin broke the contract: it is not asked again.
    fn broken(&mut self, what: String) -> Fault {
        self.held = None;
        Fault::Trapped(what)
    }

    /// A cursor outlives the run: one that is too large ends the stage, before anybody looks into it.
    fn check_cursor(&mut self, cursor: Option<&str>) -> Result<(), Fault> {
        let value = self.plugin.shared.limits.get(Limit::CursorBytes);
        if cursor.is_none_or(|cursor| cursor.len() as u64 <= value) {
            return Ok(());
        }
        self.held = None;
        Err(Fault::LimitReached {
            limit: Limit::CursorBytes,
            value,
        })
    }

    fn checked(&mut self, batch: Batch) -> Result<Batch, Fault> {
        match count::check(&batch) {
            Ok(()) => {
                let out = batch.data.len() as u64;
                add(&self.plugin.shared.counters.bytes_out, out);
                Ok(batch)
            }
            Err(reason) => Err(self.broken(reason)),
        }
    }

    fn checked_rejects(&mut self, rejects: Vec<Reject>, given: u32) -> Result<Vec<Reject>, Fault> {
        match check_rejects(rejects, given) {
            Ok(mut rejects) => {
                for reject in &mut rejects {
                    reject.reason = self
                        .plugin
                        .shared
                        .secrets
                        .redact(&reject.reason)
                        .into_owned();
                }
                Ok(rejects)
            }
            Err(reason) => Err(self.broken(reason)),
        }
    }
}

/// A call ended in anything but an ordinary answer, or was given up under way.
fn over() -> Fault {
    Fault::Unavailable {
        reason: "its stage is over: a call before ended in a fault, or was given up".into(),
        retry_after_ms: None,
    }
}

/// One call of a stage; `given` is the number of bytes that come in with it.
fn work<R>(plugin: &Loaded, ongoing: &Arc<Ongoing>, given: usize, run: Run<R>) -> Work<R> {
    Work {
        given,
        ..Kind::Stage.work(&plugin.shared, ongoing, run)
    }
}

/// A plugin's source.
pub(crate) struct PluginReader(pub(crate) Stage);

impl Reader for PluginReader {
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>> {
        Box::pin(async move {
            let pulled = self.0.call(0, |reader| data::pull(reader, most)).await?;
            if pulled.batch.count > most.records {
                let (count, most) = (pulled.batch.count, most.records);
                let what =
                    format!("it returned {count} records where at most {most} were asked for");
                return Err(self.0.broken(what));
            }
            self.0.check_cursor(pulled.cursor.as_deref())?;
            if let Some(Err(reason)) = pulled.cursor.as_deref().map(json::check) {
                return Err(self.0.broken(format!("it returned a cursor that {reason}")));
            }
            let batch = self.0.checked(pulled.batch)?;
            Ok(Pulled { batch, ..pulled })
        })
    }

    fn fuel(&self) -> u64 {
        self.0.fuel
    }
}

/// A plugin's transform.
pub(crate) struct PluginTransformer {
    stage: Stage,
    /// Records it was given that have neither come out nor been rejected.
    kept: u64,
}

impl PluginTransformer {
    pub(crate) fn new(stage: Stage) -> Self {
        Self { stage, kept: 0 }
    }
}

impl Transformer for PluginTransformer {
    fn apply(&mut self, batch: Batch) -> BoxFuture<'_, Result<Transformed, Fault>> {
        Box::pin(async move {
            let (given, bytes) = (batch.count, batch.data.len());
            let apply = |transformer| data::apply(transformer, batch);
            let done = self.stage.call(bytes, apply).await?;
            let batch = self.stage.checked(done.batch)?;
            let rejects = self.stage.checked_rejects(done.rejects, given)?;
            let there = self.kept + u64::from(given);
            let (out, rejected) = (u64::from(batch.count), rejects.len() as u64);
            match there.checked_sub(out + rejected) {
                Some(kept) => self.kept = kept,
                None => {
                    let what = format!(
                        "it returned {out} records and {rejected} rejects for {given} records and {} held back",
                        self.kept
                    );
                    return Err(self.stage.broken(what));
                }
            }
            Ok(Transformed { batch, rejects })
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Option<Batch>, Fault>> {
        Box::pin(async move {
            let rest = self.stage.call(0, data::finish_transform).await?;
            let rest = rest.map(|batch| self.stage.checked(batch)).transpose()?;
            let count = rest.as_ref().map_or(0, |batch| u64::from(batch.count));
            if count != self.kept {
                let what = format!(
                    "it held back {} records and returned {count} of them at the end",
                    self.kept
                );
                return Err(self.stage.broken(what));
            }
            Ok(rest)
        })
    }

    fn fuel(&self) -> u64 {
        self.stage.fuel
    }
}

/// A plugin's sink.
pub(crate) struct PluginWriter(pub(crate) Stage);

impl Writer for PluginWriter {
    fn push(&mut self, batch: Batch, key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>> {
        Box::pin(async move {
            let (given, bytes) = (batch.count, batch.data.len());
            let push = |writer| data::push(writer, batch, key);
            let rejects = self.0.call(bytes, push).await?;
            let rejects = self.0.checked_rejects(rejects, given)?;
            // A transform may leave a record out; a sink that did would lose it in silence.
            if let Some(reject) = rejects.iter().find(|r| r.reason.is_empty()) {
                let what = format!("it rejected record {} without a reason", reject.index);
                return Err(self.0.broken(what));
            }
            Ok(rejects)
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move { self.0.call(0, data::finish_sink).await })
    }

    fn fuel(&self) -> u64 {
        self.0.fuel
    }
}

/// Each of the rejects is one of the records given, and none is there twice.
fn check_rejects(mut rejects: Vec<Reject>, given: u32) -> Result<Vec<Reject>, String> {
    if rejects.len() as u64 > u64::from(given) {
        return Err(format!(
            "it returned {} rejects for {given} records",
            rejects.len()
        ));
    }
    rejects.sort_by_key(|reject| reject.index);
    if let Some(last) = rejects.last()
        && last.index >= given
    {
        return Err(format!(
            "it rejected record {} of {given}, counted from 0",
            last.index
        ));
    }
    for (one, next) in rejects.iter().zip(rejects.iter().skip(1)) {
        if one.index == next.index {
            return Err(format!("it rejected record {} twice", one.index));
        }
    }
    Ok(rejects)
}
