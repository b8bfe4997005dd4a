//! Where plugins meet: events to those who subscribe, calls to peers, hooks at plugins' own points. Grants are checked in the sandbox.

mod peers;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use model::BoxFuture;
use model::error::{Fault, StageError};
use model::events::{Emitted, Event, EventBus, Topic};
use model::exchange::{
    Caller, Cause, EmitError, Exchange, FireError, MAX_DEPTH, Observation, PeerError,
};
use model::hooks::Point;
use model::id::PluginId;
use model::limits::Limit;
use model::plugin::Role;
use model::settings::Overflow;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Engine;
use crate::hooks::step;
use crate::metrics::Call;
use crate::slot::{Slot, lock};

/// How long a plugin that emits waits for a subscriber that may hold up others.
const PATIENCE: Duration = Duration::from_secs(1);

/// The exchange as a sandbox holds it: an engine is made with its sandbox, so it is connected afterwards.
#[derive(Debug, Default)]
pub struct Switchboard(OnceLock<Weak<Engine>>);

impl Switchboard {
    /// Connects the engine. Before that nobody is there; a second engine is not connected.
    pub fn connect(&self, engine: &Arc<Engine>) {
        let _first_wins = self.0.set(Arc::downgrade(engine));
    }

    fn engine(&self) -> Option<Arc<Engine>> {
        self.0.get()?.upgrade()
    }
}

/// What counts of a context at `event_emitted` that comes back.
#[derive(Deserialize)]
struct Emitting<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Engine {
    /// The bus, for people who listen.
    #[must_use]
    pub fn bus(&self) -> &Arc<dyn EventBus> {
        &self.ports.bus
    }

    /// Is every event and every queued call delivered, and what it led to as well? For tests and tools that wait for it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let look = || -> Option<u64> {
            let catalog = self.catalog.load();
            let mut slots = catalog.slots();
            slots.try_fold(0, |sum, (slot, _)| {
                Some(sum + slot.events.idle()? + slot.casts.idle()?)
            })
        };
        // A delivery may pass on to a mailbox that was looked at already: then the second look differs.
        look().is_some_and(|first| look() == Some(first))
    }

    /// Tells all who listen an event of the host's own. It never waits.
    pub(crate) fn tell(&self, topic: &str, payload: &Value) {
        self.announce(topic, payload, |_| false);
    }

    /// Tells the started plugins that depend on this one, and hear events.
    pub(crate) fn tell_dependants(&self, plugin: &PluginId, topic: &str, payload: &Value) {
        self.announce(topic, payload, |slot| {
            let face = slot.face.load();
            let dependencies = &face.about.manifest.dependencies;
            dependencies.iter().any(|d| d.id == *plugin)
        });
    }

    /// Queues an event of the host's own for those who subscribe, and for those whom it concerns.
    fn announce(&self, topic: &str, payload: &Value, concerns: impl Fn(&Slot) -> bool) {
        let topic = match Topic::new(topic) {
            Ok(topic) => topic,
            Err(error) => {
                tracing::error!(%error, "an event of the host has no topic");
                return;
            }
        };
        let payload: Arc<str> = payload.to_string().into();
        let _one = lock(&self.emitting);
        let catalog = self.catalog.load();
        let event = self
            .ports
            .bus
            .publish(topic, Event::HOST.into(), payload, Cause::default());
        for subscriber in &catalog.subscribers {
            if subscriber.hears(&event.topic) || concerns(&subscriber.slot) {
                post(&subscriber.slot, &event);
            }
        }
    }

    /// Queues an event of a plugin, with the hooks at `event_emitted` around it.
    async fn emit(
        self: Arc<Self>,
        caller: Caller,
        topic: Topic,
        payload: String,
    ) -> Result<Emitted, EmitError> {
        let cause = caller.cause.deferred();
        if cause.events > MAX_DEPTH {
            return Err(EmitError::TooDeep);
        }
        let origin: Arc<str> = caller.plugin.as_str().into();
        if !self.hooked.at(Point::EventEmitted) {
            let id = self.queue(topic, origin, payload.into(), cause).await?;
            return Ok(Emitted { id });
        }
        let context = format!(r#"{{"topic":"{topic}","origin":"{origin}","payload":{payload}}}"#);
        let full = Arc::new(OnceLock::new());
        let step = {
            let (engine, full, by) = (Arc::clone(&self), Arc::clone(&full), caller.plugin.clone());
            step(move |context: String, _| async move {
                let failed = |what: String| engine.unnamed(&by, Fault::Invalid(what));
                let emitting: Emitting<'_> =
                    serde_json::from_str(&context).map_err(|e| failed(e.to_string()))?;
                let payload = emitting.payload.get().into();
                match engine.queue(topic, origin, payload, cause).await {
                    Ok(id) => Ok(format!(r#"{{"id":{id}}}"#)),
                    Err(error) => {
                        let _once = full.set(error.clone());
                        Err(failed(error.to_string()))
                    }
                }
            })
        };
        let cause = caller.cause.and(&caller.plugin);
        let done = self.step(Point::EventEmitted, cause, context, step).await;
        match (done, full.get()) {
            (_, Some(error)) => Err(error.clone()),
            (Err(error), None) => Err(EmitError::Refused(error.fault.to_string())),
            (Ok(_), None) => Ok(Emitted {
                id: self.ports.bus.last(),
            }),
        }
    }

    /// Gives an event to the bus and to all who subscribe, in one step: what one plugin hears, all hear in that order. Waits a second for
    /// those who may hold up others.
    async fn queue(
        &self,
        topic: Topic,
        origin: Arc<str>,
        payload: Arc<str>,
        cause: Cause,
    ) -> Result<u64, EmitError> {
        let queued = async {
            loop {
                let full = {
                    let _one = lock(&self.emitting);
                    let catalog = self.catalog.load();
                    let mut hearing = catalog.subscribers.iter().filter(|s| s.hears(&topic));
                    let full = hearing.find(|s| s.holds_up() && !has_room(&s.slot, payload.len()));
                    match full {
                        Some(subscriber) => Arc::clone(&subscriber.slot),
                        None => {
                            let bus = &self.ports.bus;
                            let event = bus.publish(topic.clone(), origin, payload, cause);
                            for subscriber in &catalog.subscribers {
                                if subscriber.hears(&topic) {
                                    post(&subscriber.slot, &event);
                                }
                            }
                            return event.id;
                        }
                    }
                };
                let mut taken = std::pin::pin!(full.events.taken());
                taken.as_mut().enable();
                if !has_room(&full, payload.len()) {
                    taken.await;
                }
            }
        };
        let queued = tokio::time::timeout(PATIENCE, queued).await;
        queued.map_err(|_| EmitError::Full)
    }

    /// Runs the hooks at a plugin's own point.
    async fn fire(
        self: Arc<Self>,
        caller: Caller,
        point: String,
        context: String,
    ) -> Result<String, FireError> {
        let cause = caller.cause.call_by(&caller.plugin);
        if cause.depth > MAX_DEPTH {
            return Err(FireError::TooDeep);
        }
        let nothing = step(|context, _| std::future::ready(Ok(context)));
        let done = self.with_hooks(&point, cause, context, nothing).await;
        done.map_err(|error| FireError::Refused(error.fault))
    }

    /// Starts what delivers to a plugin that hears events or answers peers; it ends with the slot.
    pub(crate) fn deliver_to(&self, slot: &Arc<Slot>) {
        let roles = &slot.face.load().about.roles;
        let delivers = roles.contains(&Role::Subscriber) || roles.contains(&Role::Peer);
        if !delivers
            || slot
                .is_delivered
                .swap(true, std::sync::atomic::Ordering::Relaxed)
        {
            return;
        }
        let (engine, to) = (self.me.clone(), Arc::downgrade(slot));
        let events = Arc::clone(&slot.events);
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let (Some(engine), Some(slot)) = (engine.upgrade(), to.upgrade()) else {
                    return;
                };
                engine.hear(&slot, event).await;
            }
        });
        let (engine, to) = (self.me.clone(), Arc::downgrade(slot));
        let casts = Arc::clone(&slot.casts);
        tokio::spawn(async move {
            while let Some((request, cause)) = casts.next().await {
                let (Some(engine), Some(slot)) = (engine.upgrade(), to.upgrade()) else {
                    return;
                };
                engine.handle_cast(&slot, request, cause).await;
            }
        });
    }

    /// Delivers one event. What goes wrong is counted and logged with the plugin's other calls.
    async fn hear(&self, slot: &Arc<Slot>, event: Arc<Event>) {
        let result = match self.enter(slot, Call::Event).await {
            Ok(lease) => {
                let heard = lease.plugin().on_event(Arc::clone(&event)).await;
                lease.finish(heard)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            let (topic, id) = (&event.topic, event.id);
            tracing::debug!(plugin = %slot.id, %topic, id, %error, "an event was lost on its subscriber");
        }
    }

    fn unnamed(&self, plugin: &PluginId, fault: Fault) -> StageError {
        let catalog = self.catalog.load();
        let slot = catalog.plugin(plugin.as_str());
        let version = slot.map_or(semver::Version::new(0, 0, 0), |s| {
            s.face.load().about.manifest.version.clone()
        });
        StageError {
            plugin: model::id::PluginRef {
                id: plugin.clone(),
                version,
            },
            fault,
        }
    }
}

/// Puts an event into a plugin's mailbox; the oldest one there makes room.
fn post(slot: &Slot, event: &Arc<Event>) {
    let bytes = event.payload.len();
    slot.events.push(bytes, queue_of(slot), Arc::clone(event));
}

fn has_room(slot: &Slot, bytes: usize) -> bool {
    slot.events.has_room(bytes, queue_of(slot))
}

fn queue_of(slot: &Slot) -> usize {
    slot.face.load().settings.limits.size(Limit::EventQueue)
}

impl Exchange for Switchboard {
    fn emit(
        &self,
        caller: Caller,
        topic: Topic,
        payload: String,
    ) -> BoxFuture<'static, Result<Emitted, EmitError>> {
        match self.engine() {
            Some(engine) => Box::pin(engine.emit(caller, topic, payload)),
            None => Box::pin(std::future::ready(Err(EmitError::Full))),
        }
    }

    fn call(
        &self,
        caller: Caller,
        callee: PluginId,
        method: String,
        payload: String,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<String, PeerError>> {
        match self.engine() {
            Some(engine) => Box::pin(engine.call_peer(caller, callee, method, payload, timeout)),
            None => Box::pin(std::future::ready(Err(PeerError::NotFound))),
        }
    }

    fn cast(
        &self,
        caller: Caller,
        callee: PluginId,
        method: String,
        payload: String,
    ) -> Result<(), PeerError> {
        let engine = self.engine().ok_or(PeerError::NotFound)?;
        engine.cast_peer(caller, &callee, method, payload)
    }

    fn fire(
        &self,
        caller: Caller,
        point: String,
        context: String,
    ) -> BoxFuture<'static, Result<String, FireError>> {
        match self.engine() {
            Some(engine) => Box::pin(engine.fire(caller, point, context)),
            None => Box::pin(std::future::ready(Ok(context))),
        }
    }

    fn present(&self, plugin: &str) -> bool {
        let (engine, id) = (self.engine(), PluginId::new(plugin));
        engine.is_some_and(|engine| id.is_ok_and(|id| engine.is_at_work(&id)))
    }

    fn providers(&self, capability: &str) -> Vec<PluginId> {
        let engine = self.engine();
        let found = engine.and_then(|e| e.capability(capability));
        let providers = found.map(|c| c.providers).unwrap_or_default();
        providers.into_iter().map(|p| p.plugin).collect()
    }

    fn observe(&self, plugin: &PluginId, observation: Observation) -> bool {
        self.engine()
            .is_some_and(|engine| engine.observe(plugin, observation))
    }
}

/// A plugin at work that hears events.
#[derive(Debug, Clone)]
pub(crate) struct Subscriber {
    pub(crate) slot: Arc<Slot>,
    patterns: Vec<model::events::TopicPattern>,
    overflow: Overflow,
}

impl Subscriber {
    /// The plugin as a subscriber, if it is one and at work: to what its manifest names and its settings grant.
    pub(crate) fn new(slot: &Arc<Slot>) -> Option<Self> {
        let face = slot.face.load();
        if slot.current.load().is_none() || !face.about.roles.contains(&Role::Subscriber) {
            return None;
        }
        let grant = face.settings.grants.events.as_ref();
        let asked = face.about.manifest.topics.iter();
        let patterns = asked.filter(|p| grant.is_some_and(|g| g.may_hear(p)));
        Some(Self {
            slot: Arc::clone(slot),
            patterns: patterns.cloned().collect(),
            overflow: face.settings.overflow,
        })
    }

    fn hears(&self, topic: &Topic) -> bool {
        self.patterns.iter().any(|p| p.matches(topic))
    }

    fn holds_up(&self) -> bool {
        self.overflow == Overflow::BackPressure
    }
}
