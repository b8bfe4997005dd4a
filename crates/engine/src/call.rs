//! Calls of plugins: which version serves, whether it may be called, and what is remembered of the call. What a call does is the sandbox's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::chat::{ChatRequest, Direction, FilterMessage, Reply};
use model::error::{Fault, StageError};
use model::exchange::Cause;
use model::hooks::Point;
use model::limits::Limit;
use model::plugin::Role;

use crate::catalog::Target;
use crate::gate::Refused;
use crate::metrics::{Call, Outcome};
use crate::slot::{Slot, Version};
use crate::status::FaultRecord;
use crate::{Chained, Engine};

impl Engine {
    /// Runs a chat. The version at work when it begins serves it to its end; dropping the future ends the call. Of a manifold's model, `request.model` is set.
    ///
    /// # Errors
    /// What the plugin said, the fault it ended in, or `Unavailable` when it is stopped, quarantined or overloaded.
    pub async fn chat(
        self: &Arc<Self>,
        target: &Target,
        mut request: ChatRequest,
        reply: Box<dyn Reply>,
    ) -> Result<(), StageError> {
        if let Some(sub) = &target.sub {
            request.model = sub.to_string();
        }
        if self.hooked.at(Point::ChatRequest) || self.hooked.at(Point::ChatReply) {
            return Box::pin(self.chat_with_hooks(target, request, reply)).await;
        }
        self.run_chat(target, request, reply, Cause::default())
            .await
    }

    /// Runs a chat itself, without hooks.
    pub(crate) async fn run_chat(
        &self,
        target: &Target,
        request: ChatRequest,
        reply: Box<dyn Reply>,
        cause: Cause,
    ) -> Result<(), StageError> {
        let lease = self.enter(&target.slot, Call::Chat).await?;
        let result = lease.plugin().chat(request, reply, cause).await;
        lease.finish(result)
    }

    /// Runs a filter's inlet or outlet. A plugin without the filter role leaves the body as it is.
    ///
    /// # Errors
    /// As [`Engine::chat`].
    pub async fn filter(
        self: &Arc<Self>,
        target: &Target,
        direction: Direction,
        message: FilterMessage,
    ) -> Result<String, StageError> {
        self.filter_slot(&target.slot, direction, message).await
    }

    /// Sends a body through everything that covers its model, as Open WebUI does it. Inlet: the filters by priority and id, then the model's own plugin. Outlet: the model's
    /// own plugin, then the filters in the same order. Filters are those whose `pipelines` valve is `["*"]` or has the model.
    ///
    /// # Errors
    /// The first filter that fails ends it, as [`Engine::chat`].
    pub async fn filter_chain(
        self: &Arc<Self>,
        direction: Direction,
        mut message: FilterMessage,
    ) -> Result<Chained, StageError> {
        let catalog = self.catalog.load_full();
        let model = message.model.as_deref();
        let own = model.and_then(|m| catalog.model(m)).map(|t| &t.slot);
        let covering = catalog.filters.iter().filter(|f| f.covers(model));
        let mut order: Vec<&Arc<Slot>> = covering.map(|f| &f.slot).collect();
        if let Some(own) = own {
            match direction {
                Direction::Inlet => order.push(own),
                Direction::Outlet => order.insert(0, own),
            }
        }
        let mut through = Vec::with_capacity(order.len());
        for slot in order {
            if !has_filter(slot) {
                continue;
            }
            let step = FilterMessage {
                body: std::mem::take(&mut message.body),
                ..message.clone()
            };
            message.body = self.filter_slot(slot, direction, step).await?;
            through.push(slot.id.clone());
        }
        Ok(Chained {
            body: message.body,
            through,
        })
    }

    async fn filter_slot(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        direction: Direction,
        message: FilterMessage,
    ) -> Result<String, StageError> {
        if !has_filter(slot) {
            return Ok(message.body);
        }
        let point = match direction {
            Direction::Inlet => Point::Inlet,
            Direction::Outlet => Point::Outlet,
        };
        if self.hooked.at(point) {
            return Box::pin(self.filter_with_hooks(slot, direction, message)).await;
        }
        self.run_filter(slot, direction, message, Cause::default())
            .await
    }

    /// Runs a filter itself, without hooks.
    pub(crate) async fn run_filter(
        &self,
        slot: &Arc<Slot>,
        direction: Direction,
        message: FilterMessage,
        cause: Cause,
    ) -> Result<String, StageError> {
        let call = match direction {
            Direction::Inlet => Call::Inlet,
            Direction::Outlet => Call::Outlet,
        };
        let lease = self.enter(slot, call).await?;
        let result = lease.plugin().filter(direction, message, cause).await;
        lease.finish(result)
    }

    /// Finds the version that serves a call that begins now. Waits while a handover is under way.
    pub(crate) async fn enter(
        &self,
        slot: &Arc<Slot>,
        call: Call,
    ) -> Result<Lease<'_>, StageError> {
        slot.begun();
        loop {
            let Some(version) = slot.current.load_full() else {
                return Err(refuse(slot, call, unavailable(slot.ended().into(), None)));
            };
            match version.gate.enter() {
                Ok(()) => return self.admit(slot, version, call),
                Err(Refused::Closed) => {}
                Err(Refused::Shut) => {
                    let Some(_waiting) = Waiting::begin(slot, &version) else {
                        let reason =
                            "a new version is being put to work, and too many calls wait for it";
                        return Err(refuse(slot, call, unavailable(reason.into(), Some(1000))));
                    };
                    version.gate.decided().await;
                }
            }
        }
    }

    /// Lets a run make another call of the version it began with, also when a newer one is at work by now. Waits while a handover is under way. A plugin that was taken
    /// down takes no calls of runs either.
    pub(crate) async fn go_on(
        &self,
        slot: &Arc<Slot>,
        version: &Arc<Version>,
        call: Call,
    ) -> Result<Lease<'_>, StageError> {
        slot.begun();
        loop {
            match version.gate.enter() {
                Ok(()) => break,
                Err(Refused::Shut) => version.gate.decided().await,
                Err(Refused::Closed) if slot.current.load().is_some() => {
                    version.gate.join();
                    break;
                }
                Err(Refused::Closed) => {
                    let reason = format!("{}, and the run cannot go on without it", slot.ended());
                    return Err(refuse(slot, call, Fault::Refused(reason)));
                }
            }
        }
        self.admit(slot, Arc::clone(version), call)
    }

    /// The call is counted at the gate already; asks the plugin's health whether it may go on.
    fn admit(
        &self,
        slot: &Arc<Slot>,
        version: Arc<Version>,
        call: Call,
    ) -> Result<Lease<'_>, StageError> {
        let limits = &version.face.settings.limits;
        let now = self.ports.clock.monotonic();
        if let Err(fault) = slot.rolling.admit(limits, now, || slot.usage().fuel) {
            version.gate.leave();
            return Err(refuse(slot, call, fault));
        }
        match slot.health.admit(now) {
            Ok(()) => Ok(Lease {
                engine: self,
                slot: Arc::clone(slot),
                version,
                call,
                began: now,
                finished: false,
            }),
            Err(wait) => {
                version.gate.leave();
                let reason = "it crashed and is started again after a while".into();
                let wait = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1);
                Err(refuse(slot, call, unavailable(reason, Some(wait))))
            }
        }
    }

    /// Notes how a call ended: counts, health, the log. Used by calls and by what the engine itself asks of plugins.
    pub(crate) fn note<T>(
        &self,
        slot: &Slot,
        call: Call,
        began: Duration,
        result: &Result<T, StageError>,
    ) {
        let now = self.ports.clock.monotonic();
        let took = now.saturating_sub(began);
        let Err(error) = result else {
            slot.meters.call(call, Outcome::Ok, took);
            return;
        };
        slot.failed.fetch_add(1, Ordering::Relaxed);
        let (plugin, version) = (&error.plugin.id, &error.plugin.version);
        let fault = &error.fault;
        if fault.is_fault_of_plugin() {
            slot.meters.call(call, Outcome::Fault, took);
            slot.meters.fault(fault.code());
            slot.remember(FaultRecord {
                at: self.ports.clock.now(),
                call: call.as_str(),
                code: fault.code(),
                message: fault.to_string(),
            });
            tracing::warn!(%plugin, %version, call = call.as_str(), error = %fault, "a plugin's call ended in a fault");
            if slot.health.fault(now) {
                slot.meters.quarantine();
                self.crashed(slot);
            }
        } else if matches!(fault, Fault::Unavailable { .. } | Fault::Denied(_)) {
            slot.meters.call(call, Outcome::Refused, took);
        } else {
            slot.meters.call(call, Outcome::Failed, took);
        }
    }
}

fn has_filter(slot: &Slot) -> bool {
    slot.face.load().about.roles.contains(&Role::Filter)
}

fn unavailable(reason: String, retry_after_ms: Option<u32>) -> Fault {
    Fault::Unavailable {
        reason,
        retry_after_ms,
    }
}

fn refuse(slot: &Slot, call: Call, fault: Fault) -> StageError {
    slot.failed.fetch_add(1, Ordering::Relaxed);
    slot.meters.call(call, Outcome::Refused, Duration::ZERO);
    StageError {
        plugin: slot.face.load().about.plugin_ref(),
        fault,
    }
}

/// A call under way. Dropping it before it is finished counts as a client that left.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    engine: &'a Engine,
    slot: Arc<Slot>,
    version: Arc<Version>,
    call: Call,
    began: Duration,
    finished: bool,
}

impl Lease<'_> {
    pub(crate) fn plugin(&self) -> Arc<dyn model::plugin::Plugin> {
        Arc::clone(&self.version.plugin)
    }

    /// The version that serves.
    pub(crate) fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// Notes the result and hands it on.
    pub(crate) fn finish<T>(mut self, result: Result<T, StageError>) -> Result<T, StageError> {
        self.finished = true;
        self.engine.note(&self.slot, self.call, self.began, &result);
        result
    }

    /// Notes that the caller waited no longer: how long it waits is the caller's choice, so that it says nothing of the plugin's health.
    pub(crate) fn time_out(mut self) {
        self.finished = true;
        self.slot.failed.fetch_add(1, Ordering::Relaxed);
        self.count(Outcome::TimedOut);
    }

    fn count(&self, outcome: Outcome) {
        let now = self.engine.ports.clock.monotonic();
        let took = now.saturating_sub(self.began);
        self.slot.meters.call(self.call, outcome, took);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.count(Outcome::Cancelled);
        }
        self.version.gate.leave();
    }
}

/// One of the calls that wait for a handover; as many may wait as may be under way or queued.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn begin(slot: &'a Slot, version: &Version) -> Option<Self> {
        let limits = &version.face.settings.limits;
        let most = limits
            .get(Limit::Concurrency)
            .saturating_add(limits.get(Limit::Queue));
        let before = slot.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(&slot.waiting);
        (before < most).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
