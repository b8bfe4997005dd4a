//! A loaded version of a plugin: makes instances and serves the port's calls with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use model::BoxFuture;
use model::chat::{ChatRequest, Direction, FilterMessage, Model, Reply};
use model::data::{Opening, Reader, Transformer, Writer};
use model::error::{Fault, StageError};
use model::events::Event;
use model::exchange::{Cause, PeerRequest};
use model::hooks::HookCall;
use model::limits::Limit;
use model::plugin::{About, Plugin, Role, Usage};
use model::settings::PluginSettings;

use crate::call::{self, Ask, Kind, call};
use crate::exports::{self, Blueprint, Run};
use crate::instance::Instance;
use crate::json;
use crate::ongoing::Ongoing;
use crate::pool::Pool;
use crate::stage::{PluginReader, PluginTransformer, PluginWriter, Stage};
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
    pub(crate) async fn ready_instance(&self, ongoing: &Arc<Ongoing>) -> Result<Instance, Fault> {
        // What is seldom done is boxed, so that the future of an ordinary call stays small.
        let mut instance = match self.pool.take() {
            Some(instance) => instance,
            None => Box::pin(self.new_instance(ongoing)).await?,
        };
        self.tell_news(&mut instance, ongoing).await?;
        Ok(instance)
    }

    /// Tells an instance the valves in force, if they have changed since it was told last.
    pub(crate) async fn tell_news(
        &self,
        instance: &mut Instance,
        ongoing: &Arc<Ongoing>,
    ) -> Result<(), Fault> {
        if self.valves.changes() == instance.valves_change {
            return Ok(());
        }
        // A plugin that refuses new valves has been told; its refusal went to whoever made the change.
        match Box::pin(self.tell_valves(instance, ongoing)).await {
            Err(fault) if fault.said().is_none() => Err(fault),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Makes and initialises an instance, for the call under way.
    pub(crate) async fn new_instance(&self, ongoing: &Arc<Ongoing>) -> Result<Instance, Fault> {
        call::within(&self.shared, Limit::StartDeadlineMs, async {
            let (change, values) = self.valves.now();
            let mut instance =
                Instance::new(&self.shared, &self.blueprint, &values, ongoing).await?;
            let config = format!(
                r#"{{"config":{},"valves":{values}}}"#,
                serde_json::Value::Object(self.settings.config.clone())
            );
            let init = Kind::Start.work(&self.shared, ongoing, exports::init(config));
            instance.run(init).await?;
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
    async fn tell_valves(
        &self,
        instance: &mut Instance,
        ongoing: &Arc<Ongoing>,
    ) -> Result<(), Fault> {
        let (change, values) = self.valves.now();
        instance.valves_change = change;
        instance.state().valves = Arc::clone(&values);
        if !self.about.roles.contains(&Role::Valves) {
            return Ok(());
        }
        let updated = Kind::Start.work(&self.shared, ongoing, exports::updated(values));
        instance.run(updated).await
    }

    pub(crate) fn error(&self, fault: Fault) -> StageError {
        self.about.error(fault)
    }

    /// Makes one of the calls a start consists of.
    fn managed<R: Send + 'static>(
        self: Arc<Self>,
        run: Run<R>,
    ) -> BoxFuture<'static, Result<R, StageError>> {
        let ask = Ask {
            kind: Kind::Start,
            given: 0,
            cause: Cause::default(),
            run,
        };
        self.serve(ask)
    }

    /// Calls an export, and names the plugin in what goes wrong.
    fn serve<R: Send + 'static>(
        self: Arc<Self>,
        ask: Ask<R>,
    ) -> BoxFuture<'static, Result<R, StageError>> {
        Box::pin(async move {
            let plugin = Arc::clone(&self);
            plugin.check_input(ask.given)?;
            call(self, ask).await.map_err(|fault| plugin.error(fault))
        })
    }

    /// Calls an export that answers with JSON. `what` names the answer in errors.
    fn serve_json(
        self: Arc<Self>,
        ask: Ask<String>,
        what: &'static str,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        Box::pin(async move {
            let plugin = Arc::clone(&self);
            let json = self.serve(ask).await?;
            add(&plugin.shared.counters.bytes_out, json.len() as u64);
            match json::check(&json) {
                Ok(()) => Ok(json),
                Err(reason) => {
                    Err(plugin.error(Fault::Internal(format!("it returned {what} that {reason}"))))
                }
            }
        })
    }

    /// Refuses a call that brings more than the plugin may be given.
    pub(crate) fn check_input(&self, bytes: usize) -> Result<(), StageError> {
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
        self.managed(exports::start())
    }

    fn stop(self: Arc<Self>) -> BoxFuture<'static, Result<(), StageError>> {
        self.managed(exports::stop())
    }

    fn chat(
        self: Arc<Self>,
        request: ChatRequest,
        reply: Box<dyn Reply>,
        cause: Cause,
    ) -> BoxFuture<'static, Result<(), StageError>> {
        let given = request.body.len() + request.messages.len() + request.user_message.len();
        self.serve(Ask {
            kind: Kind::Call,
            given,
            cause,
            run: exports::chat(request, reply),
        })
    }

    fn filter(
        self: Arc<Self>,
        direction: Direction,
        message: FilterMessage,
        cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        let ask = Ask {
            kind: Kind::Call,
            given: message.body.len(),
            cause,
            run: exports::filter(direction, message),
        };
        self.serve_json(ask, "a body")
    }

    fn hook(
        self: Arc<Self>,
        call: HookCall,
        cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        let ask = Ask {
            kind: Kind::Hook,
            given: call.context.len(),
            cause,
            run: exports::hook(call),
        };
        self.serve_json(ask, "a document")
    }

    fn on_event(self: Arc<Self>, event: Arc<Event>) -> BoxFuture<'static, Result<(), StageError>> {
        self.serve(Ask {
            kind: Kind::Call,
            given: event.payload.len(),
            cause: event.cause.clone(),
            run: exports::on_event(&event),
        })
    }

    fn handle(
        self: Arc<Self>,
        request: PeerRequest,
        cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        let ask = Ask {
            kind: Kind::Call,
            given: request.payload.len(),
            cause,
            run: exports::handle(request),
        };
        self.serve_json(ask, "an answer")
    }

    fn open_source(
        self: Arc<Self>,
        opening: Opening,
        cause: Cause,
    ) -> BoxFuture<'static, Result<Box<dyn Reader>, StageError>> {
        let given = opening.config.len() + opening.cursor.as_ref().map_or(0, String::len);
        Box::pin(async move {
            let open = exports::data::open_source(opening);
            let stage = Stage::open(self, cause, given, open).await?;
            Ok(Box::new(PluginReader(stage)) as Box<dyn Reader>)
        })
    }

    fn open_transform(
        self: Arc<Self>,
        config: String,
        cause: Cause,
    ) -> BoxFuture<'static, Result<Box<dyn Transformer>, StageError>> {
        Box::pin(async move {
            let (given, open) = (config.len(), exports::data::open_transform(config));
            let stage = Stage::open(self, cause, given, open).await?;
            Ok(Box::new(PluginTransformer::new(stage)) as Box<dyn Transformer>)
        })
    }

    fn open_sink(
        self: Arc<Self>,
        config: String,
        cause: Cause,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, StageError>> {
        Box::pin(async move {
            let (given, open) = (config.len(), exports::data::open_sink(config));
            let stage = Stage::open(self, cause, given, open).await?;
            Ok(Box::new(PluginWriter(stage)) as Box<dyn Writer>)
        })
    }

    fn models(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<Model>, StageError>> {
        self.managed(exports::models())
    }

    fn set_valves(self: Arc<Self>, json: Arc<str>) -> BoxFuture<'static, Result<(), StageError>> {
        self.valves.set(json);
        Box::pin(async move {
            let plugin = Arc::clone(&self);
            let ongoing = Ongoing::new(&self.shared, Kind::Start, Cause::default());
            let for_call = Arc::clone(&ongoing);
            let work = Box::pin(async move {
                let mut instance = match plugin.pool.take() {
                    Some(instance) => instance,
                    None => plugin.new_instance(&for_call).await?,
                };
                let told = plugin.tell_valves(&mut instance, &for_call).await;
                call::settle(&plugin, instance, &told);
                told
            });
            let told = call::take_turn(&self, &ongoing, work);
            told.await.map_err(|fault| self.error(fault))
        })
    }

    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<u8>, StageError>> {
        self.managed(exports::snapshot())
    }

    fn restore(
        self: Arc<Self>,
        from_version: String,
        snapshot: Vec<u8>,
    ) -> BoxFuture<'static, Result<(), StageError>> {
        self.managed(exports::restore(from_version, snapshot))
    }

    fn usage(&self) -> Usage {
        self.shared.counters.read(self.pool.idle())
    }
}
