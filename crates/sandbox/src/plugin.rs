//! A loaded version of a plugin: makes instances and serves the port's calls with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use model::BoxFuture;
use model::chat::{ChatRequest, Direction, FilterMessage, Model, Reply};
use model::error::{Fault, StageError};
use model::id::PluginRef;
use model::limits::Limit;
use model::plugin::{About, Plugin, Role, Usage};
use model::settings::PluginSettings;
use wasmtime::component::Resource;

use crate::bindings::exports::weir::plugin::{filter, pipe};
use crate::call::{self, Kind, call};
use crate::host::chat::ReplySlot;
use crate::instance::{Blueprint, Exports, Instance, Run};
use crate::pool::Pool;
use crate::state::Shared;
use crate::usage::add;

/// A loaded version of a plugin.
pub(crate) struct Loaded {
    pub(crate) about: Arc<About>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) blueprint: Blueprint,
    pub(crate) settings: Arc<PluginSettings>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) valves: Valves,
}

/// The values in force and how often they have changed.
pub(crate) struct Valves {
    values: Mutex<Arc<str>>,
    changes: AtomicU64,
    /// Instances made from now on are told after `init`, too.
    announce: bool,
}

impl Valves {
    pub(crate) fn new(values: Arc<str>, announce: bool) -> Self {
        Self {
            values: Mutex::new(values),
            changes: AtomicU64::new(0),
            announce,
        }
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn now(&self) -> (u64, Arc<str>) {
        // The number is read first: a change between the two is told again, never missed.
        let change = self.changes();
        let values = self
            .values
            .lock()
            .map_or_else(|e| Arc::clone(&e.into_inner()), |v| Arc::clone(&v));
        (change, values)
    }

    fn set(&self, json: Arc<str>) {
        match self.values.lock() {
            Ok(mut values) => *values = json,
            Err(poisoned) => *poisoned.into_inner() = json,
        }
        self.changes.fetch_add(1, Ordering::Release);
    }
}

impl Loaded {
    /// A warm instance, or a new one, that knows the valves in force.
    pub(crate) async fn ready_instance(&self) -> Result<Instance, Fault> {
        // What is seldom done is boxed, so that the future of an ordinary call stays small.
        let mut instance = match self.pool.take() {
            Some(instance) => instance,
            None => Box::pin(self.new_instance()).await?,
        };
        if self.valves.changes() == instance.valves_change {
            return Ok(instance);
        }
        // A plugin that refuses new valves has been told; its refusal went to whoever made the change.
        match Box::pin(self.tell_valves(&mut instance)).await {
            Err(fault) if fault.said().is_none() => Err(fault),
            Ok(()) | Err(_) => Ok(instance),
        }
    }

    /// Makes and initialises an instance.
    pub(crate) async fn new_instance(&self) -> Result<Instance, Fault> {
        call::within(&self.shared, Limit::StartDeadlineMs, async {
            let (change, values) = self.valves.now();
            let mut instance = Instance::new(&self.shared, &self.blueprint, &values).await?;
            let config = format!(
                r#"{{"config":{},"valves":{values}}}"#,
                serde_json::Value::Object(self.settings.config.clone())
            );
            let init: Run<()> = Box::new(move |store, exports| {
                Box::pin(async move { exports.lifecycle.call_init(store, &config).await })
            });
            instance.run(Kind::Start.work(&self.shared, init)).await?;
            instance.valves_change = if self.valves.announce {
                change.wrapping_sub(1)
            } else {
                change
            };
            Ok(instance)
        })
        .await
    }

    /// Tells an instance the valves in force, unless it knows them.
    async fn tell_valves(&self, instance: &mut Instance) -> Result<(), Fault> {
        let (change, values) = self.valves.now();
        instance.valves_change = change;
        instance.state().valves = Arc::clone(&values);
        if !self.about.roles.contains(&Role::Valves) {
            return Ok(());
        }
        let updated: Run<()> = Box::new(move |store, exports| {
            Box::pin(async move {
                match &exports.valves {
                    Some(guest) => guest.call_updated(store, &values.to_string()).await,
                    None => Ok(Ok(())),
                }
            })
        });
        instance.run(Kind::Start.work(&self.shared, updated)).await
    }

    fn error(&self, fault: Fault) -> StageError {
        StageError {
            plugin: PluginRef {
                id: self.about.manifest.id.clone(),
                version: self.about.manifest.version.clone(),
            },
            fault,
        }
    }

    /// Calls an export with so many bytes, and names the plugin in what goes wrong.
    fn named<R: Send + 'static>(
        self: Arc<Self>,
        kind: Kind,
        given: usize,
        run: Run<R>,
    ) -> BoxFuture<'static, Result<R, StageError>> {
        Box::pin(async move {
            let plugin = Arc::clone(&self);
            call(self, kind, given, run)
                .await
                .map_err(|fault| plugin.error(fault))
        })
    }

    /// Refuses a call that brings more than the plugin may be given.
    fn check_input(&self, bytes: usize) -> Result<(), StageError> {
        add(&self.shared.counters.bytes_in, bytes as u64);
        let value = self.shared.limits.get(Limit::InputBytes);
        if bytes as u64 > value {
            return Err(self.error(Fault::Invalid(format!(
                "the request has {bytes} bytes; the limit input_bytes = {value}"
            ))));
        }
        Ok(())
    }
}

/// The error for a role the plugin lacks; the engine asks only for roles it has.
fn lacks<R>(role: Role) -> wasmtime::Result<R> {
    Err(wasmtime::format_err!(
        "the plugin has no {} role",
        role.name()
    ))
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}@{}",
            self.about.manifest.id, self.about.manifest.version
        )
    }
}

impl Plugin for Loaded {
    fn about(&self) -> &Arc<About> {
        &self.about
    }

    fn start(self: Arc<Self>) -> BoxFuture<'static, Result<(), StageError>> {
        let plugin = Arc::clone(&self);
        let run: Run<()> = Box::new(|store, exports| Box::pin(exports.lifecycle.call_start(store)));
        Box::pin(async move {
            self.named(Kind::Start, 0, run).await?;
            plugin.shared.host.arrived(&plugin.about.manifest.id);
            Ok(())
        })
    }

    fn stop(self: Arc<Self>) -> BoxFuture<'static, Result<(), StageError>> {
        self.shared.host.left(&self.about.manifest.id);
        let run: Run<()> = Box::new(|store, exports| {
            Box::pin(async move {
                exports.lifecycle.call_stop(store).await?;
                Ok(Ok(()))
            })
        });
        self.named(Kind::Start, 0, run)
    }

    fn chat(
        self: Arc<Self>,
        request: ChatRequest,
        reply: Box<dyn Reply>,
    ) -> BoxFuture<'static, Result<(), StageError>> {
        let bytes = request.body.len() + request.messages.len() + request.user_message.len();
        if let Err(error) = self.check_input(bytes) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let request = pipe::Request {
            model: request.model,
            user_message: request.user_message,
            messages: request.messages,
            body: request.body,
            user: request.user,
            metadata: request.metadata,
        };
        let run: Run<()> = Box::new(move |store, exports| {
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
        });
        self.named(Kind::Call, bytes, run)
    }

    fn filter(
        self: Arc<Self>,
        direction: Direction,
        message: FilterMessage,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        let bytes = message.body.len();
        if let Err(error) = self.check_input(bytes) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let message = filter::Message {
            body: message.body,
            user: message.user,
            model: message.model,
            metadata: message.metadata,
        };
        let run: Run<String> = Box::new(move |store, exports| {
            Box::pin(async move {
                let Some(guest) = &exports.filter else {
                    return lacks(Role::Filter);
                };
                match direction {
                    Direction::Inlet => guest.call_inlet(store, &message).await,
                    Direction::Outlet => guest.call_outlet(store, &message).await,
                }
            })
        });
        Box::pin(async move {
            let plugin = Arc::clone(&self);
            let body = self.named(Kind::Call, bytes, run).await?;
            add(&plugin.shared.counters.bytes_out, body.len() as u64);
            match serde_json::from_str::<serde::de::IgnoredAny>(&body) {
                Ok(_) => Ok(body),
                Err(e) => Err(plugin.error(Fault::Internal(format!(
                    "it returned a body that is not JSON: {e}"
                )))),
            }
        })
    }

    fn models(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<Model>, StageError>> {
        let run: Run<Vec<Model>> = Box::new(|store, exports: &Exports| {
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
        });
        self.named(Kind::Start, 0, run)
    }

    fn set_valves(self: Arc<Self>, json: Arc<str>) -> BoxFuture<'static, Result<(), StageError>> {
        self.valves.set(json);
        Box::pin(async move {
            let plugin = Arc::clone(&self);
            let work = Box::pin(async move {
                let mut instance = match plugin.pool.take() {
                    Some(instance) => instance,
                    None => plugin.new_instance().await?,
                };
                let told = plugin.tell_valves(&mut instance).await;
                call::settle(&plugin, instance, &told);
                told
            });
            let told = call::take_turn(&self, Kind::Start, work);
            told.await.map_err(|fault| self.error(fault))
        })
    }

    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<u8>, StageError>> {
        let run: Run<Vec<u8>> = Box::new(|store, exports| {
            Box::pin(async move {
                match &exports.handover {
                    Some(guest) => guest.call_snapshot(store).await,
                    None => lacks(Role::Handover),
                }
            })
        });
        self.named(Kind::Start, 0, run)
    }

    fn restore(
        self: Arc<Self>,
        from_version: String,
        snapshot: Vec<u8>,
    ) -> BoxFuture<'static, Result<(), StageError>> {
        let run: Run<()> = Box::new(move |store, exports| {
            Box::pin(async move {
                match &exports.handover {
                    Some(guest) => guest.call_restore(store, &from_version, &snapshot).await,
                    None => lacks(Role::Handover),
                }
            })
        });
        self.named(Kind::Start, 0, run)
    }

    fn usage(&self) -> Usage {
        self.shared.counters.read(self.pool.idle())
    }
}
