//! Fakes of the ports: a "component" is JSON that says what the plugin is; what it does in a chat is said by the request.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use model::BoxFuture;
use model::chat::{ChatRequest, Closed, Direction, FilterMessage, Item, Model, Reply};
use model::component::{ComponentFile, FileName, Origin};
use model::data::{
    Batch, Encoding, Most, Opening, Pulled, Reader, Reject, Transformed, Transformer, Writer,
};
use model::error::{Fault, LoadError, StageError};
use model::events::Event;
use model::exchange::{Cause, PeerRequest};
use model::hooks::{HookCall, Mode};
use model::id::{PluginId, PluginRef};
use model::manifest::Manifest;
use model::plugin::{About, Admission, Candidate, Loader, Plugin, Role, Usage, ValveValues};
use model::ports::{ComponentStore, EgressError, HttpBody, HttpClient, StoreError, ValveStore};
use model::settings::PluginSettings;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use crate::{Durability, Engine, Installed, LocalBus, Options, Ports, Silver, Stages, Target};

/// Everything outside the engine, and what happened there.
#[derive(Debug)]
pub(super) struct World {
    log: Mutex<Vec<String>>,
    pub(super) changed: Notify,
    /// Calls that hold take a permit to go on.
    pub(super) hold: Semaphore,
    pub(super) time: AtomicU64,
    /// By how many milliseconds the clock was set, besides.
    pub(super) set: AtomicI64,
    pub(super) files: Mutex<BTreeMap<FileName, Bytes>>,
    pub(super) settings: Mutex<BTreeMap<String, String>>,
    pub(super) stored: Mutex<BTreeMap<String, String>>,
    /// What does not work now: `write`, `list`, ..
    pub(super) broken: Mutex<HashSet<&'static str>>,
    /// Where engines that are made from now on keep cleaned records.
    pub(super) silver: Mutex<Option<Silver>>,
}

pub(super) fn world() -> Arc<World> {
    Arc::new(World {
        log: Mutex::default(),
        changed: Notify::new(),
        hold: Semaphore::new(0),
        time: AtomicU64::new(0),
        set: AtomicI64::new(0),
        files: Mutex::default(),
        settings: Mutex::default(),
        stored: Mutex::default(),
        broken: Mutex::default(),
        silver: Mutex::default(),
    })
}

impl World {
    pub(super) fn engine(self: &Arc<Self>) -> Arc<Engine> {
        self.engine_with(Options::default())
    }

    pub(super) fn engine_with(self: &Arc<Self>, options: Options) -> Arc<Engine> {
        self.engine_over(options, Stages::none(std::env::temp_dir()))
    }

    pub(super) fn engine_over(self: &Arc<Self>, options: Options, stages: Stages) -> Arc<Engine> {
        self.engine_kept(options, stages, None)
    }

    /// One whose runs are kept.
    pub(super) fn engine_kept(
        self: &Arc<Self>,
        options: Options,
        stages: Stages,
        durability: Option<Durability>,
    ) -> Arc<Engine> {
        let ports = Ports {
            loader: Arc::new(Outside(Arc::clone(self))),
            components: Arc::new(Outside(Arc::clone(self))),
            valves: Arc::new(Outside(Arc::clone(self))),
            clock: Arc::new(Outside(Arc::clone(self))),
            fetch: Arc::new(Outside(Arc::clone(self))),
            durability,
            raw: None,
            silver: self.silver.lock().unwrap().clone(),
            stages,
            bus: Arc::new(LocalBus::new(Arc::new(Outside(Arc::clone(self))))),
        };
        Engine::new(ports, options)
    }

    pub(super) fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
        self.changed.notify_waiters();
    }

    pub(super) fn count(&self, what: &str) -> usize {
        self.log
            .lock()
            .unwrap()
            .iter()
            .filter(|l| *l == what)
            .count()
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until this happened so often.
    pub(super) async fn until(&self, what: &str, times: usize) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.count(what) >= times {
                return;
            }
            let waited = tokio::time::timeout(Duration::from_secs(30), changed).await;
            assert!(
                waited.is_ok(),
                "{what} did not happen {times} times: {:?}",
                self.log()
            );
        }
    }

    pub(super) fn put(&self, name: &str, content: &Value) {
        let bytes = Bytes::from(content.to_string());
        self.files.lock().unwrap().insert(file(name), bytes);
    }

    pub(super) fn remove(&self, name: &str) {
        self.files.lock().unwrap().remove(&file(name));
    }

    fn works(&self, what: &'static str) -> Result<(), StoreError> {
        if self.broken.lock().unwrap().contains(what) {
            return Err(StoreError {
                what: format!("{what} is broken"),
                source: Arc::new(std::io::Error::other("on purpose")),
            });
        }
        Ok(())
    }
}

pub(super) fn file(name: &str) -> FileName {
    FileName::new(name).unwrap()
}

pub(super) async fn install(
    engine: &Arc<Engine>,
    name: &str,
    content: &Value,
) -> Result<Installed, LoadError> {
    let component = ComponentFile {
        name: file(name),
        bytes: Bytes::from(content.to_string()),
    };
    engine.install(component, Origin::Upload).await
}

/// Runs a chat that does `what` and returns all it said.
pub(super) async fn chat(
    engine: &Arc<Engine>,
    model: &str,
    what: &str,
) -> Result<Vec<String>, StageError> {
    let target = engine.find_model(model).expect("the model is there");
    chat_at(engine, &target, what).await
}

pub(super) async fn chat_at(
    engine: &Arc<Engine>,
    target: &Target,
    what: &str,
) -> Result<Vec<String>, StageError> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let request = ChatRequest {
        model: "as asked".into(),
        user_message: "null".into(),
        messages: "[]".into(),
        body: what.into(),
        user: None,
        metadata: None,
    };
    engine
        .chat(target, request, Box::new(Said(Arc::clone(&said))))
        .await?;
    let said = said.lock().unwrap().clone();
    Ok(said)
}

struct Said(Arc<Mutex<Vec<String>>>);

impl Reply for Said {
    fn write(&mut self, item: Item) -> BoxFuture<'_, Result<(), Closed>> {
        self.0.lock().unwrap().push(item.text().into());
        Box::pin(async { Ok(()) })
    }
}

pub(super) fn message(body: &str, model: Option<&str>) -> FilterMessage {
    FilterMessage {
        body: body.into(),
        user: None,
        model: model.map(Into::into),
        metadata: None,
    }
}

/// The world as ports.
#[derive(Debug)]
pub(super) struct Outside(pub(super) Arc<World>);

impl ComponentStore for Outside {
    fn list(&self) -> BoxFuture<'static, Result<Vec<FileName>, StoreError>> {
        let names = self
            .0
            .works("list")
            .map(|()| self.0.files.lock().unwrap().keys().cloned().collect());
        Box::pin(async { names })
    }
    fn read(
        &self,
        name: FileName,
        _max: u64,
    ) -> BoxFuture<'static, Result<Option<ComponentFile>, StoreError>> {
        let bytes = self.0.files.lock().unwrap().get(&name).cloned();
        let file = self
            .0
            .works("read")
            .map(|()| bytes.map(|bytes| ComponentFile { name, bytes }));
        Box::pin(async { file })
    }
    fn read_settings(
        &self,
        name: FileName,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        let text = self
            .0
            .settings
            .lock()
            .unwrap()
            .get(&name.settings_file())
            .cloned();
        Box::pin(async { Ok(text) })
    }
    fn write(&self, file: ComponentFile) -> BoxFuture<'static, Result<(), StoreError>> {
        let done = self.0.works("write").map(|()| {
            self.0.files.lock().unwrap().insert(file.name, file.bytes);
        });
        Box::pin(async { done })
    }
    fn remove(&self, name: FileName) -> BoxFuture<'static, Result<bool, StoreError>> {
        let done = self
            .0
            .works("remove")
            .map(|()| self.0.files.lock().unwrap().remove(&name).is_some());
        Box::pin(async { done })
    }
}

impl ValveStore for Outside {
    fn read(&self, plugin: PluginId) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        let text = self.0.stored.lock().unwrap().get(plugin.as_str()).cloned();
        Box::pin(async { Ok(text) })
    }
    fn write(&self, plugin: PluginId, json: String) -> BoxFuture<'static, Result<(), StoreError>> {
        let done = self.0.works("valves").map(|()| {
            self.0
                .stored
                .lock()
                .unwrap()
                .insert(plugin.to_string(), json);
        });
        Box::pin(async { done })
    }
}

impl HttpClient for Outside {
    fn send(
        &self,
        request: http::Request<HttpBody>,
    ) -> BoxFuture<'static, Result<http::Response<HttpBody>, EgressError>> {
        let path = request.uri().path().to_string();
        let bytes = FileName::new(path.trim_start_matches('/'))
            .ok()
            .and_then(|n| self.0.files.lock().unwrap().get(&n).cloned());
        Box::pin(async move {
            if path == "/denied" {
                return Err(EgressError::Denied("no".into()));
            }
            let status = if bytes.is_some() { 200 } else { 404 };
            let body = Full::new(bytes.unwrap_or_default())
                .map_err(|never| match never {})
                .boxed_unsync();
            Ok(http::Response::builder().status(status).body(body).unwrap())
        })
    }
}

impl Loader for Outside {
    fn inspect(
        &self,
        file: ComponentFile,
        admission: Admission,
    ) -> BoxFuture<'static, Result<Box<dyn Candidate>, LoadError>> {
        let world = Arc::clone(&self.0);
        Box::pin(async move {
            let script: Value = serde_json::from_slice(&file.bytes)
                .map_err(|e| LoadError::NotAComponent(e.to_string()))?;
            world.note(format!("inspect {}", file.name));
            if script["hold"] == "inspect" {
                world.hold.acquire().await.unwrap().forget();
            }
            let mut manifest = serde_json::Map::new();
            for key in [
                "id",
                "version",
                "name",
                "listed",
                "valves",
                "provides",
                "dependencies",
                "hooks",
                "points",
                "topics",
            ] {
                if let Some(value) = script.get(key) {
                    manifest.insert(key.into(), value.clone());
                }
            }
            let names = script["roles"].as_array().cloned().unwrap_or_default();
            let roles: BTreeSet<Role> = Role::ALL
                .into_iter()
                .filter(|r| names.iter().any(|n| n == r.name()))
                .collect();
            let about = About {
                manifest: Manifest::parse(&Value::Object(manifest).to_string())
                    .map_err(LoadError::Manifest)?,
                roles,
                track: "0.1".into(),
                asks: admission.grantable,
                digest: "d".into(),
                size: file.bytes.len(),
                valves_spec: script.get("spec").map(ToString::to_string),
                notes: Vec::new(),
            };
            let candidate = FakeCandidate {
                world,
                script,
                about: Arc::new(about),
            };
            Ok(Box::new(candidate) as Box<dyn Candidate>)
        })
    }
}

#[derive(Debug)]
struct FakeCandidate {
    world: Arc<World>,
    script: Value,
    about: Arc<About>,
}

impl Candidate for FakeCandidate {
    fn about(&self) -> &Arc<About> {
        &self.about
    }
    fn load(
        self: Box<Self>,
        _settings: Arc<PluginSettings>,
        valves: ValveValues,
    ) -> BoxFuture<'static, Result<Arc<dyn Plugin>, LoadError>> {
        Box::pin(async move {
            let plugin = FakePlugin {
                world: self.world,
                script: self.script,
                about: self.about,
                memory: Mutex::new(String::new()),
            };
            plugin.world.note(format!(
                "load {plugin} valves {} announce {}",
                valves.json, valves.announce
            ));
            plugin.step("load").await.map_err(|e| LoadError::Start {
                call: "init",
                fault: e.fault,
            })?;
            Ok(Arc::new(plugin) as Arc<dyn Plugin>)
        })
    }
}

#[derive(Debug)]
struct FakePlugin {
    world: Arc<World>,
    script: Value,
    about: Arc<About>,
    memory: Mutex<String>,
}

impl std::fmt::Display for FakePlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}@{}",
            self.about.manifest.id, self.about.manifest.version
        )
    }
}

impl Drop for FakePlugin {
    fn drop(&mut self) {
        self.world.note(format!("drop {self}"));
    }
}

impl FakePlugin {
    fn error(&self, fault: Fault) -> StageError {
        let manifest = &self.about.manifest;
        StageError {
            plugin: PluginRef {
                id: manifest.id.clone(),
                version: manifest.version.clone(),
            },
            fault,
        }
    }

    /// Waits and fails where the script says so. With `while` it fails as long as that is broken.
    async fn step(&self, step: &str) -> Result<(), StageError> {
        if self.script["hold"] == step {
            self.world.note(format!("{self} holds"));
            self.world.hold.acquire().await.unwrap().forget();
        }
        let while_broken = self.script["while"].as_str();
        let broken = self.world.broken.lock().unwrap();
        if self.script["fail"] != step || while_broken.is_some_and(|w| !broken.contains(w)) {
            return Ok(());
        }
        let text = format!("{step} fails");
        Err(self.error(match self.script["fault"].as_str() {
            Some("invalid") => Fault::Invalid(text),
            Some("transient") => Fault::Transient {
                message: text,
                retry_after_ms: None,
            },
            Some("trap") => Fault::Trapped(text),
            _ => Fault::Internal(text),
        }))
    }

    async fn act(&self, what: &str) -> Result<(), StageError> {
        match what {
            "trap" => Err(self.error(Fault::Trapped("unreachable".into()))),
            "refuse" => Err(self.error(Fault::Refused("no".into()))),
            "hold" => {
                self.world.note("holding");
                self.world.hold.acquire().await.unwrap().forget();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Plugin for FakePlugin {
    fn about(&self) -> &Arc<About> {
        &self.about
    }
    fn start(self: Arc<Self>) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            self.world.note(format!("start {self}"));
            self.step("start").await
        })
    }
    fn stop(self: Arc<Self>) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            self.world.note(format!("stop {self}"));
            self.step("stop").await
        })
    }
    fn chat(
        self: Arc<Self>,
        request: ChatRequest,
        mut reply: Box<dyn Reply>,
        cause: Cause,
    ) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            if !cause.chain.is_empty() {
                self.world
                    .note(format!("{self} chats while {:?} wait", cause.chain));
            }
            // The version before and after everything it waits for: an answer never mixes.
            reply.write(Item::Text(self.to_string())).await.unwrap();
            self.act(&request.body).await?;
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            reply.write(Item::Text(self.to_string())).await.unwrap();
            if request.body == "count" {
                let mut memory = self.memory.lock().unwrap();
                memory.push('i');
            }
            reply
                .write(Item::Text(format!(
                    "{} {}",
                    request.model,
                    self.memory.lock().unwrap()
                )))
                .await
                .unwrap();
            Ok(())
        })
    }
    fn filter(
        self: Arc<Self>,
        direction: Direction,
        message: FilterMessage,
        _cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        Box::pin(async move {
            self.act(&message.body).await?;
            Ok(format!(
                "{} {}-{}",
                message.body,
                self.about.manifest.id,
                direction.as_str()
            ))
        })
    }
    fn hook(
        self: Arc<Self>,
        call: HookCall,
        cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        Box::pin(async move {
            let what = self.script["hook"].as_str().unwrap_or_default().to_owned();
            self.world.note(format!(
                "{} {:?} {:?}",
                self.about.manifest.id, call, cause.chain
            ));
            self.act(&what).await?;
            let mut context: Value = serde_json::from_str(&call.context).unwrap();
            let own = self.about.manifest.id.to_string();
            if call.mode == Mode::After {
                context = context["result"].take();
            }
            match self.script["answer"].as_object() {
                Some(answer) => context.as_object_mut().unwrap().extend(answer.clone()),
                None => context[own.as_str()] = call.mode.as_str().into(),
            }
            match call.next {
                Some(next) if what != "never" => {
                    let result = next.run(context.to_string()).await;
                    let result = result.map_err(|fault| self.error(fault))?;
                    if what == "trap late" {
                        return Err(self.error(Fault::Trapped("late".into())));
                    }
                    let mut result: Value = serde_json::from_str(&result).unwrap();
                    result[own.as_str()] = "around result".into();
                    Ok(result.to_string())
                }
                Some(_) | None => Ok(context.to_string()),
            }
        })
    }
    fn on_event(self: Arc<Self>, event: Arc<Event>) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let what = self.script["event"].as_str().unwrap_or_default().to_owned();
            let id = &self.about.manifest.id;
            self.world
                .note(format!("{id} hears {} {}", event.topic, event.payload));
            self.act(&what).await
        })
    }
    fn handle(
        self: Arc<Self>,
        request: PeerRequest,
        cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        Box::pin(async move {
            let id = &self.about.manifest.id;
            self.world.note(format!(
                "{id} handles {} of {}",
                request.method, request.caller
            ));
            self.act(&request.method).await?;
            Ok(
                serde_json::json!({"by": id, "chain": cause.chain.to_vec(), "payload": request.payload})
                    .to_string(),
            )
        })
    }
    fn open_source(
        self: Arc<Self>,
        opening: Opening,
        _cause: Cause,
    ) -> BoxFuture<'static, Result<Box<dyn Reader>, StageError>> {
        self.world.note(format!("open source {self}"));
        let config: Value = serde_json::from_str(&opening.config).unwrap();
        let left = config["count"].as_u64().unwrap();
        let stage = FakeStage {
            plugin: self,
            left,
            given: 0,
            fuel: 0,
        };
        Box::pin(async { Ok(Box::new(stage) as Box<dyn Reader>) })
    }
    fn open_transform(
        self: Arc<Self>,
        _config: String,
        _cause: Cause,
    ) -> BoxFuture<'static, Result<Box<dyn Transformer>, StageError>> {
        self.world.note(format!("open transform {self}"));
        let stage = FakeStage::new(self);
        Box::pin(async { Ok(Box::new(stage) as Box<dyn Transformer>) })
    }
    fn open_sink(
        self: Arc<Self>,
        _config: String,
        _cause: Cause,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, StageError>> {
        self.world.note(format!("open sink {self}"));
        let stage = FakeStage::new(self);
        Box::pin(async { Ok(Box::new(stage) as Box<dyn Writer>) })
    }
    fn models(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<Model>, StageError>> {
        Box::pin(async move {
            self.world.note(format!("models {self}"));
            self.step("models").await?;
            let names = self.world.settings.lock().unwrap().get("models").cloned();
            let names = names.unwrap_or_else(|| "one two".into());
            if names == "hold" {
                self.world.hold.acquire().await.unwrap().forget();
                let limit_name = model::limits::Limit::StartDeadlineMs;
                return Err(self.error(Fault::DeadlineExceeded {
                    limit_name,
                    limit: 1,
                }));
            }
            if names == "fail" {
                return Err(self.error(Fault::Internal("no models".into())));
            }
            Ok(names
                .split(' ')
                .map(|n| Model {
                    id: n.into(),
                    name: n.to_uppercase(),
                })
                .collect())
        })
    }
    fn set_valves(self: Arc<Self>, json: Arc<str>) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            self.world.note(format!("valves {self} {json}"));
            self.step("valves").await
        })
    }
    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<u8>, StageError>> {
        Box::pin(async move {
            self.step("snapshot").await?;
            Ok(self.memory.lock().unwrap().clone().into_bytes())
        })
    }
    fn restore(
        self: Arc<Self>,
        from: String,
        snapshot: Vec<u8>,
    ) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            self.world.note(format!("restore {self} from {from}"));
            self.step("restore").await?;
            *self.memory.lock().unwrap() = String::from_utf8(snapshot).unwrap();
            Ok(())
        })
    }
    fn usage(&self) -> Usage {
        Usage {
            fuel: 10,
            memory_high_water: 100,
            instances: 1,
            ..Usage::default()
        }
    }
}

/// A stage that passes everything on, and does what `stage` says.
struct FakeStage {
    plugin: Arc<FakePlugin>,
    left: u64,
    given: u64,
    fuel: u64,
}

impl FakeStage {
    fn new(plugin: Arc<FakePlugin>) -> Self {
        Self {
            plugin,
            left: 0,
            given: 0,
            fuel: 0,
        }
    }

    async fn call(&mut self, records: u32) -> Result<(), Fault> {
        self.fuel += 100 * u64::from(records);
        let does = self.plugin.script["stage"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        self.plugin.act(&does).await.map_err(|e| e.fault)
    }
}

impl Reader for FakeStage {
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>> {
        Box::pin(async move {
            let count = u32::try_from(self.left).unwrap().min(most.records);
            self.call(count).await?;
            let first = self.given + 1;
            self.given += u64::from(count);
            self.left -= u64::from(count);
            let lines: Vec<_> = (first..=self.given)
                .map(|n| format!("{{\"n\":{n}}}\n"))
                .collect();
            Ok(Pulled {
                batch: Batch {
                    encoding: Encoding::Ndjson,
                    count,
                    data: Bytes::from(lines.concat()),
                },
                cursor: None,
                done: self.left == 0,
                rejects: Vec::new(),
            })
        })
    }
    fn fuel(&self) -> u64 {
        self.fuel
    }
}

impl Transformer for FakeStage {
    fn apply(&mut self, batch: Batch) -> BoxFuture<'_, Result<Transformed, Fault>> {
        Box::pin(async move {
            self.call(batch.count).await?;
            Ok(Transformed {
                batch,
                rejects: Vec::new(),
            })
        })
    }
    fn finish(&mut self) -> BoxFuture<'_, Result<Option<Batch>, Fault>> {
        Box::pin(async { Ok(None) })
    }
    fn fuel(&self) -> u64 {
        self.fuel
    }
}

impl Writer for FakeStage {
    fn push(&mut self, batch: Batch, _key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>> {
        Box::pin(async move {
            self.call(batch.count).await?;
            Ok(Vec::new())
        })
    }
    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
    fn fuel(&self) -> u64 {
        self.fuel
    }
}
