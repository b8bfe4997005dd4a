//! What the host calls: which exports a component has, and one function for each that makes a call of it. Budgets and deadlines are
//! set elsewhere.

pub(crate) mod data;

use std::collections::BTreeSet;
use std::sync::Arc;

use model::BoxFuture;
use model::chat::{ChatRequest, Direction, FilterMessage, Model, Reply};
use model::events::Event;
use model::exchange::PeerRequest;
use model::hooks::{HookCall, Mode};
use model::plugin::Role;
use wasmtime::component::{Instance, InstancePre, Resource};
use wasmtime::{AsContextMut, Store};

use crate::bindings::exports::weir::plugin::{
    filter, handover, hooks, lifecycle, manifold, peer, pipe, sink, source, subscriber, transform,
    valves,
};
use crate::bindings::weir::types::values::Failure;
use crate::host::chat::ReplySlot;
use crate::host::hooking::ContinuationSlot;
use crate::state::{State, millis};

/// Calls an export on a store.
pub(crate) type Run<R> = Box<
    dyn for<'a> FnOnce(
            &'a mut Store<State>,
            &'a Exports,
        ) -> BoxFuture<'a, wasmtime::Result<Result<R, Failure>>>
        + Send,
>;

/// A component ready to be instantiated, and where its exports are.
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub(crate) pre: InstancePre<State>,
    lifecycle: Arc<lifecycle::GuestIndices>,
    valves: Option<Arc<valves::GuestIndices>>,
    handover: Option<Arc<handover::GuestIndices>>,
    pipe: Option<Arc<pipe::GuestIndices>>,
    manifold: Option<Arc<manifold::GuestIndices>>,
    filter: Option<Arc<filter::GuestIndices>>,
    source: Option<Arc<source::GuestIndices>>,
    transform: Option<Arc<transform::GuestIndices>>,
    sink: Option<Arc<sink::GuestIndices>>,
    hooks: Option<Arc<hooks::GuestIndices>>,
    subscriber: Option<Arc<subscriber::GuestIndices>>,
    peer: Option<Arc<peer::GuestIndices>>,
}

/// The exports of one instance.
pub(crate) struct Exports {
    pub(crate) lifecycle: lifecycle::Guest,
    pub(crate) valves: Option<valves::Guest>,
    handover: Option<handover::Guest>,
    pipe: Option<pipe::Guest>,
    manifold: Option<manifold::Guest>,
    filter: Option<filter::Guest>,
    source: Option<source::Guest>,
    transform: Option<transform::Guest>,
    sink: Option<sink::Guest>,
    hooks: Option<hooks::Guest>,
    subscriber: Option<subscriber::Guest>,
    peer: Option<peer::Guest>,
}

/// The plugin lacks the role that was called.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it has no role {}", .0.name())]
pub(crate) struct Lacks(pub(crate) Role);

impl Blueprint {
    /// Finds the exports. An interface of the right name and the wrong shape is an error.
    pub(crate) fn new(pre: InstancePre<State>, roles: &BTreeSet<Role>) -> wasmtime::Result<Self> {
        macro_rules! find {
            ($role:ident, $module:ident) => {
                roles
                    .contains(&Role::$role)
                    .then(|| $module::GuestIndices::new(&pre).map(Arc::new))
                    .transpose()?
            };
        }
        Ok(Self {
            lifecycle: Arc::new(lifecycle::GuestIndices::new(&pre)?),
            valves: find!(Valves, valves),
            handover: find!(Handover, handover),
            pipe: find!(Pipe, pipe),
            manifold: find!(Manifold, manifold),
            filter: find!(Filter, filter),
            source: find!(Source, source),
            transform: find!(Transform, transform),
            sink: find!(Sink, sink),
            hooks: find!(Hooks, hooks),
            subscriber: find!(Subscriber, subscriber),
            peer: find!(Peer, peer),
            pre,
        })
    }

    /// The exports of an instance.
    pub(crate) fn load(
        &self,
        mut store: impl AsContextMut<Data = State>,
        instance: &Instance,
    ) -> wasmtime::Result<Exports> {
        macro_rules! load {
            ($field:ident) => {
                match &self.$field {
                    Some(indices) => Some(indices.load(&mut store, instance)?),
                    None => None,
                }
            };
        }
        Ok(Exports {
            lifecycle: self.lifecycle.load(&mut store, instance)?,
            valves: load!(valves),
            handover: load!(handover),
            pipe: load!(pipe),
            manifold: load!(manifold),
            filter: load!(filter),
            source: load!(source),
            transform: load!(transform),
            sink: load!(sink),
            hooks: load!(hooks),
            subscriber: load!(subscriber),
            peer: load!(peer),
        })
    }
}

fn lacks<R>(role: Role) -> wasmtime::Result<R> {
    Err(Lacks(role).into())
}

/// `lifecycle.describe`.
pub(crate) fn describe() -> Run<String> {
    Box::new(|store, exports| {
        Box::pin(async move { Ok(Ok(exports.lifecycle.call_describe(store).await?)) })
    })
}

/// `valves.spec`, where there is one.
pub(crate) fn spec() -> Run<Option<String>> {
    Box::new(|store, exports| {
        Box::pin(async move {
            match &exports.valves {
                Some(guest) => Ok(Ok(Some(guest.call_spec(store).await?))),
                None => Ok(Ok(None)),
            }
        })
    })
}

/// `lifecycle.init`.
pub(crate) fn init(config: String) -> Run<()> {
    Box::new(move |store, exports| {
        Box::pin(async move { exports.lifecycle.call_init(store, &config).await })
    })
}

/// `lifecycle.start`.
pub(crate) fn start() -> Run<()> {
    Box::new(|store, exports| Box::pin(exports.lifecycle.call_start(store)))
}

/// `lifecycle.stop`.
pub(crate) fn stop() -> Run<()> {
    Box::new(|store, exports| {
        Box::pin(async move {
            exports.lifecycle.call_stop(store).await?;
            Ok(Ok(()))
        })
    })
}

/// `valves.updated`, where there are any.
pub(crate) fn updated(values: Arc<str>) -> Run<()> {
    Box::new(move |store, exports| {
        Box::pin(async move {
            match &exports.valves {
                Some(guest) => guest.call_updated(store, &values.to_string()).await,
                None => Ok(Ok(())),
            }
        })
    })
}

/// `pipe.run`.
pub(crate) fn chat(request: ChatRequest, reply: Box<dyn Reply>) -> Run<()> {
    let request = pipe::Request {
        model: request.model,
        user_message: request.user_message,
        messages: request.messages,
        body: request.body,
        user: request.user,
        metadata: request.metadata,
    };
    Box::new(move |store, exports| {
        Box::pin(async move {
            let Some(guest) = &exports.pipe else {
                return lacks(Role::Pipe);
            };
            let slot = store.data_mut().table.push(ReplySlot::new(reply))?;
            let borrowed = Resource::new_borrow(slot.rep());
            let outcome = guest.call_run(&mut *store, &request, borrowed).await;
            // The reply ends with the call: a guest cannot keep it for later.
            store.data_mut().table.delete(slot)?;
            outcome
        })
    })
}

/// `filter.inlet` or `filter.outlet`.
pub(crate) fn filter(direction: Direction, message: FilterMessage) -> Run<String> {
    let message = filter::Message {
        body: message.body,
        user: message.user,
        model: message.model,
        metadata: message.metadata,
    };
    Box::new(move |store, exports| {
        Box::pin(async move {
            let Some(guest) = &exports.filter else {
                return lacks(Role::Filter);
            };
            match direction {
                Direction::Inlet => guest.call_inlet(store, &message).await,
                Direction::Outlet => guest.call_outlet(store, &message).await,
            }
        })
    })
}

/// `hooks.before`, `.after`, `.around` or `.replace`.
pub(crate) fn hook(call: HookCall) -> Run<String> {
    Box::new(move |store, exports| {
        Box::pin(async move {
            let Some(guest) = &exports.hooks else {
                return lacks(Role::Hooks);
            };
            let (point, context) = (call.point.as_str(), &call.context);
            match call.mode {
                Mode::Before => guest.call_before(store, point, context).await,
                Mode::After => guest.call_after(store, point, context).await,
                Mode::Replace => guest.call_replace(store, point, context).await,
                Mode::Around => {
                    let slot = ContinuationSlot::new(call.next);
                    let slot = store.data_mut().table.push(slot)?;
                    let borrowed = Resource::new_borrow(slot.rep());
                    let called = guest.call_around(&mut *store, point, context, borrowed);
                    let outcome = called.await;
                    // The continuation ends with the call, run or not.
                    store.data_mut().table.delete(slot)?;
                    outcome
                }
            }
        })
    })
}

/// `subscriber.on-event`.
pub(crate) fn on_event(event: &Event) -> Run<()> {
    let event = subscriber::Event {
        id: event.id,
        topic: event.topic.as_str().to_owned(),
        origin: event.origin.to_string(),
        time_ms: millis(event.at),
        payload: event.payload.to_string(),
    };
    Box::new(move |store, exports| {
        Box::pin(async move {
            match &exports.subscriber {
                Some(guest) => guest.call_on_event(store, &event).await,
                None => lacks(Role::Subscriber),
            }
        })
    })
}

/// `peer.handle`.
pub(crate) fn handle(request: PeerRequest) -> Run<String> {
    let request = peer::Request {
        caller: request.caller.to_string(),
        method: request.method,
        payload: request.payload,
        cast: request.cast,
    };
    Box::new(move |store, exports| {
        Box::pin(async move {
            match &exports.peer {
                Some(guest) => guest.call_handle(store, &request).await,
                None => lacks(Role::Peer),
            }
        })
    })
}

/// `manifold.models`.
pub(crate) fn models() -> Run<Vec<Model>> {
    Box::new(|store, exports| {
        Box::pin(async move {
            let Some(guest) = &exports.manifold else {
                return lacks(Role::Manifold);
            };
            let models = guest.call_models(store).await?;
            Ok(models.map(|list| {
                list.into_iter()
                    .map(|m| Model {
                        id: m.id,
                        name: m.name,
                    })
                    .collect()
            }))
        })
    })
}

/// `handover.snapshot`.
pub(crate) fn snapshot() -> Run<Vec<u8>> {
    Box::new(|store, exports| {
        Box::pin(async move {
            match &exports.handover {
                Some(guest) => guest.call_snapshot(store).await,
                None => lacks(Role::Handover),
            }
        })
    })
}

/// `handover.restore`.
pub(crate) fn restore(from_version: String, snapshot: Vec<u8>) -> Run<()> {
    Box::new(move |store, exports| {
        Box::pin(async move {
            match &exports.handover {
                Some(guest) => guest.call_restore(store, &from_version, &snapshot).await,
                None => lacks(Role::Handover),
            }
        })
    })
}
