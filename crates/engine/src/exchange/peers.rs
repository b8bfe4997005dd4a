//! Calls of plugins by plugins. The callee runs with its own fuel and grants, and is told who calls.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use model::error::Fault;
use model::exchange::{Caller, Cause, MAX_DEPTH, PeerError, PeerRequest};
use model::id::PluginId;
use model::limits::Limit;
use model::plugin::Role;

use crate::Engine;
use crate::metrics::Call;
use crate::slot::Slot;

impl Engine {
    /// Calls a plugin and waits for its answer.
    pub(super) async fn call_peer(
        self: Arc<Self>,
        caller: Caller,
        callee: PluginId,
        method: String,
        payload: String,
        timeout: Duration,
    ) -> Result<String, PeerError> {
        let cause = caller.cause.call_by(&caller.plugin);
        if cause.has(&callee) {
            let chain = cause.chain.iter().chain([&callee]);
            return Err(PeerError::Cycle(chain.map(ToString::to_string).collect()));
        }
        if cause.depth > MAX_DEPTH {
            return Err(PeerError::TooDeep);
        }
        let slot = self.peer(&callee)?;
        let request = PeerRequest {
            caller: caller.plugin,
            method,
            payload,
            cast: false,
        };
        self.handle(&slot, request, cause, Some(timeout)).await
    }

    /// Queues a call for whose answer nobody waits.
    pub(super) fn cast_peer(
        &self,
        caller: Caller,
        callee: &PluginId,
        method: String,
        payload: String,
    ) -> Result<(), PeerError> {
        let cause = caller.cause.deferred();
        if cause.events > MAX_DEPTH {
            return Err(PeerError::TooDeep);
        }
        let slot = self.peer(callee)?;
        let most = slot.face.load().settings.limits.size(Limit::EventQueue);
        let bytes = method.len() + payload.len();
        let request = PeerRequest {
            caller: caller.plugin,
            method,
            payload,
            cast: true,
        };
        if slot.casts.try_push(bytes, most, (request, cause)) {
            Ok(())
        } else {
            Err(PeerError::Failed(Fault::Transient {
                message: format!("{callee} has no room for another call: {most} wait"),
                retry_after_ms: Some(1_000),
            }))
        }
    }

    /// Delivers one queued call. What goes wrong is counted and logged with the plugin's other calls.
    pub(super) async fn handle_cast(&self, slot: &Arc<Slot>, request: PeerRequest, cause: Cause) {
        let (caller, method) = (request.caller.clone(), request.method.clone());
        if let Err(error) = self.handle(slot, request, cause, None).await {
            tracing::debug!(plugin = %slot.id, %caller, method, %error, "a queued call failed");
        }
    }

    fn peer(&self, callee: &PluginId) -> Result<Arc<Slot>, PeerError> {
        let catalog = self.catalog.load();
        let slot = catalog.plugin(callee.as_str());
        let answers = |slot: &&Arc<Slot>| {
            slot.current.load().is_some() && slot.face.load().about.roles.contains(&Role::Peer)
        };
        slot.filter(answers).cloned().ok_or(PeerError::NotFound)
    }

    async fn handle(
        &self,
        slot: &Arc<Slot>,
        request: PeerRequest,
        cause: Cause,
        timeout: Option<Duration>,
    ) -> Result<String, PeerError> {
        let within = |span: Option<Duration>| tokio::time::sleep(span.unwrap_or(Duration::MAX));
        let mut over = std::pin::pin!(within(timeout));
        let entering = std::pin::pin!(self.enter(slot, Call::Peer));
        let lease = match select(entering, over.as_mut()).await {
            Either::Left((lease, _)) => lease.map_err(|e| error(e.fault))?,
            Either::Right(_) => return Err(PeerError::TimedOut),
        };
        let answering = lease.plugin().handle(request, cause);
        match select(answering, over).await {
            Either::Left((answer, _)) => lease.finish(answer).map_err(|e| error(e.fault)),
            Either::Right(_) => {
                lease.time_out();
                Err(PeerError::TimedOut)
            }
        }
    }
}

/// What the caller is told: what the callee said, or that it crashed and over which limit; never a trap's text.
fn error(fault: Fault) -> PeerError {
    match fault {
        Fault::Invalid(_)
        | Fault::Transient { .. }
        | Fault::Refused(_)
        | Fault::Internal(_)
        | Fault::Hook { .. }
        | Fault::RateLimited { .. }
        | Fault::Unavailable { .. } => PeerError::Failed(fault),
        Fault::Trapped(_) | Fault::Denied(_) => PeerError::Crashed(fault.code().into()),
        Fault::OutOfFuel { .. }
        | Fault::OutOfMemory { .. }
        | Fault::DeadlineExceeded { .. }
        | Fault::LimitReached { .. } => PeerError::Crashed(fault.to_string()),
    }
}
