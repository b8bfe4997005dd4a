//! The outside of an engine: components that are scripts in JSON, in memory, and time that stands still until a test lets it pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use model::BoxFuture;
use model::chat::{ChatRequest, Direction, FilterMessage, Item, Model, Reply};
use model::component::{ComponentFile, FileName};
use model::error::{Fault, LoadError, StageError};
use model::events::Event;
use model::exchange::{Cause, PeerRequest};
use model::grants::Capability;
use model::hooks::{HookCall, Mode};
use model::id::{PluginId, PluginRef};
use model::limits::Limit;
use model::manifest::Manifest;
use model::plugin::{About, Admission, Candidate, Loader, Plugin, Role, Usage, ValveValues};
use model::ports::{
    Clock, ComponentStore, EgressError, HttpBody, HttpClient, StoreError, ValveStore,
};
use model::settings::PluginSettings;
use serde_json::{Value, json};

use crate::world::Log;

/// What every component begins with.
const MAGIC: &[u8] = b"\0asm\x0d\0\x01\0";

/// A component that does what its script says.
pub(crate) fn component(script: &Value) -> Bytes {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(script.to_string().as_bytes());
    bytes.into()
}

/// All ports in one.
#[derive(Debug)]
pub(crate) struct Outside {
    log: Arc<Log>,
    files: Mutex<BTreeMap<FileName, Bytes>>,
    valves: Mutex<BTreeMap<String, String>>,
    /// Seconds.
    passed: AtomicU64,
}

impl Outside {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self {
            log,
            files: Mutex::default(),
            valves: Mutex::default(),
            passed: AtomicU64::new(1),
        }
    }
}

impl Clock for Outside {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.passed.load(Ordering::Relaxed))
    }
}

impl Outside {
    /// Lets time go by, for those who measure it.
    pub(crate) fn pass(&self, seconds: u64) {
        self.passed.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl ComponentStore for Outside {
    fn list(&self) -> BoxFuture<'static, Result<Vec<FileName>, StoreError>> {
        let names = self.files.lock().unwrap().keys().cloned().collect();
        Box::pin(async { Ok(names) })
    }
    fn read(
        &self,
        name: FileName,
        _max: u64,
    ) -> BoxFuture<'static, Result<Option<ComponentFile>, StoreError>> {
        let bytes = self.files.lock().unwrap().get(&name).cloned();
        Box::pin(async { Ok(bytes.map(|bytes| ComponentFile { name, bytes })) })
    }
    fn read_settings(
        &self,
        _name: FileName,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        Box::pin(async { Ok(None) })
    }
    fn write(&self, file: ComponentFile) -> BoxFuture<'static, Result<(), StoreError>> {
        self.log.note(format!("write {}", file.name));
        self.files.lock().unwrap().insert(file.name, file.bytes);
        Box::pin(async { Ok(()) })
    }
    fn remove(&self, name: FileName) -> BoxFuture<'static, Result<bool, StoreError>> {
        let there = self.files.lock().unwrap().remove(&name).is_some();
        Box::pin(async move { Ok(there) })
    }
}

impl ValveStore for Outside {
    fn read(&self, plugin: PluginId) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        let text = self.valves.lock().unwrap().get(plugin.as_str()).cloned();
        Box::pin(async { Ok(text) })
    }
    fn write(&self, plugin: PluginId, json: String) -> BoxFuture<'static, Result<(), StoreError>> {
        self.valves.lock().unwrap().insert(plugin.to_string(), json);
        Box::pin(async { Ok(()) })
    }
}

impl HttpClient for Outside {
    fn send(
        &self,
        request: http::Request<HttpBody>,
    ) -> BoxFuture<'static, Result<http::Response<HttpBody>, EgressError>> {
        self.log.note(format!("fetch {}", request.uri()));
        let (status, bytes) = match request.uri().path() {
            "/added.wasm" | "/added.py" => {
                (200, component(&json!({"id": "added", "roles": ["pipe"]})))
            }
            "/text.wasm" => (200, Bytes::from_static(b"hello")),
            _ => (404, Bytes::new()),
        };
        let refused = request.uri().port_u16() == Some(1);
        Box::pin(async move {
            if refused {
                return Err(EgressError::Connect("127.0.0.1:1".into()));
            }
            let body = Full::new(bytes)
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
        _admission: Admission,
    ) -> BoxFuture<'static, Result<Box<dyn Candidate>, LoadError>> {
        let log = self.log.clone();
        Box::pin(async move {
            let script = file
                .bytes
                .strip_prefix(MAGIC)
                .and_then(|text| serde_json::from_slice::<Value>(text).ok())
                .ok_or_else(|| LoadError::NotAComponent("it is something else".into()))?;
            let mut manifest = json!({"id": script["id"], "version": "1.2.3"});
            let relations = ["provides", "dependencies", "hooks", "points", "topics"];
            for key in ["name", "valves"].into_iter().chain(relations) {
                if let Some(value) = script.get(key) {
                    manifest[key] = value.clone();
                }
            }
            let names = script["roles"].as_array().cloned().unwrap_or_default();
            let about = About {
                manifest: Manifest::parse(&manifest.to_string()).map_err(LoadError::Manifest)?,
                roles: Role::ALL
                    .into_iter()
                    .filter(|r| names.iter().any(|n| n == r.name()))
                    .collect::<BTreeSet<_>>(),
                asks: asks(&script),
                track: "0.1".into(),
                digest: format!("{:x}", file.bytes.len()).into(),
                size: file.bytes.len(),
                valves_spec: script.get("spec").map(ToString::to_string),
                notes: vec![],
            };
            let fake = Fake {
                log,
                script,
                asked: AtomicBool::new(false),
                about: Arc::new(about),
            };
            Ok(Box::new(fake) as Box<dyn Candidate>)
        })
    }
}

/// What a component with this script asks for.
fn asks(script: &Value) -> BTreeSet<Capability> {
    let asked = [("hooks", Capability::Hooks), ("topics", Capability::Events)];
    let asked = asked
        .into_iter()
        .filter(|(key, _)| script.get(key).is_some());
    asked.map(|(_, capability)| capability).collect()
}

/// A scripted plugin.
#[derive(Debug)]
struct Fake {
    log: Arc<Log>,
    script: Value,
    /// Was it asked for its models?
    asked: AtomicBool,
    about: Arc<About>,
}

impl Candidate for Fake {
    fn about(&self) -> &Arc<About> {
        &self.about
    }
    fn load(
        self: Box<Self>,
        _settings: Arc<PluginSettings>,
        _valves: ValveValues,
    ) -> BoxFuture<'static, Result<Arc<dyn Plugin>, LoadError>> {
        Box::pin(async { Ok(Arc::new(*self) as Arc<dyn Plugin>) })
    }
}

/// Notes that a call was dropped where it stood.
struct Dropped(Arc<Log>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.note("dropped");
    }
}

impl Fake {
    fn error(&self, fault: Fault) -> StageError {
        let manifest = &self.about.manifest;
        let plugin = PluginRef {
            id: manifest.id.clone(),
            version: manifest.version.clone(),
        };
        StageError { plugin, fault }
    }

    /// More than a client that does not read can take.
    async fn flood(&self, reply: &mut dyn Reply) -> Result<(), Fault> {
        let _dropped = Dropped(self.log.clone());
        let block = "x".repeat(64 * 1024);
        for n in 0..100_000 {
            let written = reply.write(Item::Text(block.clone())).await;
            written.map_err(|_| Fault::Trapped("the client left".into()))?;
            self.log
                .note(if n < 1000 { "flooding" } else { "too much" });
        }
        Ok(())
    }

    /// What the user tells it to do.
    async fn obey(&self, request: &ChatRequest, reply: &mut dyn Reply) -> Result<(), Fault> {
        let told: Value = serde_json::from_str(&request.user_message).unwrap();
        let told = told.as_str().unwrap_or_default();
        let gone = |_| Fault::Trapped("the client left".into());
        let words = |t: &str| Item::Text(t.into());
        match told {
            "nothing" => {}
            "words" => {
                for word in ["one ", "two ", "drei ü"] {
                    reply.write(words(word)).await.map_err(gone)?;
                }
            }
            "late" => {
                reply.write(words("before ")).await.map_err(gone)?;
                return Err(Fault::Internal("it broke".into()));
            }
            "hang" => {
                let _dropped = Dropped(self.log.clone());
                reply.write(words("begun")).await.map_err(gone)?;
                self.log.note("hanging");
                std::future::pending::<()>().await;
            }
            "hang silently" => {
                let _dropped = Dropped(self.log.clone());
                self.log.note("hanging");
                std::future::pending::<()>().await;
            }
            "flood" => self.flood(reply).await?,
            "flood for a second" => {
                let flood = self.flood(reply);
                return match tokio::time::timeout(Duration::from_secs(1), flood).await {
                    Ok(result) => result,
                    Err(_) => Err(fault("deadline_exceeded")),
                };
            }
            "dump" => {
                let dump = json!({
                    "model": request.model,
                    "user_message": request.user_message,
                    "body": request.body,
                    "user": request.user,
                    "metadata": request.metadata,
                });
                reply.write(words(&dump.to_string())).await.map_err(gone)?;
            }
            "object" => {
                let object = Item::Object(r#"{"z":1,"a":"ü","big":1.10}"#.into());
                reply.write(object).await.map_err(gone)?;
            }
            "event" => {
                let event = Item::Event(r#"{"event":{"type":"status"}}"#.into());
                reply.write(event).await.map_err(gone)?;
                reply.write(words("text")).await.map_err(gone)?;
            }
            "broken event" => reply.write(Item::Event("{".into())).await.map_err(gone)?,
            _ => match told.strip_prefix("fail ") {
                Some(name) => return Err(fault(name)),
                None => {
                    let text = format!("echo[{}]: {told}", request.model);
                    reply.write(Item::Text(text)).await.map_err(gone)?;
                }
            },
        }
        Ok(())
    }
}

/// A fault by its code.
fn fault(code: &str) -> Fault {
    let said = || "in the plugin's words".to_owned();
    match code {
        "invalid" => Fault::Invalid(said()),
        "transient" => Fault::Transient {
            message: said(),
            retry_after_ms: Some(2500),
        },
        "refused" => Fault::Refused(said()),
        "out_of_fuel" => Fault::OutOfFuel { limit: 77 },
        "deadline_exceeded" => Fault::DeadlineExceeded {
            limit_name: Limit::DeadlineMs,
            limit: 77,
        },
        "trapped" => Fault::Trapped("secret backtrace".into()),
        "unavailable" => Fault::Unavailable {
            reason: said(),
            retry_after_ms: None,
        },
        _ => Fault::Internal(said()),
    }
}

impl Plugin for Fake {
    fn about(&self) -> &Arc<About> {
        &self.about
    }
    fn start(self: Arc<Self>) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async { Ok(()) })
    }
    fn stop(self: Arc<Self>) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async { Ok(()) })
    }
    fn chat(
        self: Arc<Self>,
        request: ChatRequest,
        mut reply: Box<dyn Reply>,
        _cause: Cause,
    ) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            self.log.note("chat");
            let obeyed = self.obey(&request, reply.as_mut()).await;
            obeyed.map_err(|fault| self.error(fault))
        })
    }
    fn filter(
        self: Arc<Self>,
        direction: Direction,
        message: FilterMessage,
        _cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        Box::pin(async move {
            let mut body: Value = serde_json::from_str(&message.body).unwrap();
            let told = body["messages"][0]["content"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if let Some(name) = told.strip_prefix("fail ") {
                return Err(self.error(fault(name)));
            }
            if told == "echo" {
                return Ok(message.body);
            }
            let changed = format!("[{}]{told}", direction.as_str());
            body["messages"][0]["content"] = changed.into();
            body["user_seen"] = json!(message.user);
            Ok(body.to_string())
        })
    }
    fn hook(
        self: Arc<Self>,
        call: HookCall,
        _cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        Box::pin(async move {
            self.log.note(format!("hook at {}", call.point));
            if let Some(name) = self.script["ends in"].as_str() {
                return Err(self.error(fault(name)));
            }
            if call.mode == Mode::After {
                let both: Value = serde_json::from_str(&call.context).unwrap();
                return Ok(both["result"].to_string());
            }
            Ok(call.context)
        })
    }
    fn on_event(self: Arc<Self>, event: Arc<Event>) -> BoxFuture<'static, Result<(), StageError>> {
        self.log.note(format!("heard {}", event.topic));
        Box::pin(async { Ok(()) })
    }
    fn handle(
        self: Arc<Self>,
        request: PeerRequest,
        _cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        Box::pin(async { Ok(request.payload) })
    }
    fn models(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<Model>, StageError>> {
        let names = self.script["models"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let one = |n: &Value| Model {
            id: n.as_str().unwrap().into(),
            name: n.as_str().unwrap().to_uppercase(),
        };
        let models = names.iter().map(one).collect();
        let again = self.asked.swap(true, Ordering::Relaxed);
        Box::pin(async move {
            if again && self.script["answers"] == "once" {
                self.log.note("asked again");
                std::future::pending::<()>().await;
            }
            Ok(models)
        })
    }
    fn set_valves(self: Arc<Self>, json: Arc<str>) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            if json.contains("raise") {
                return Err(self.error(Fault::Internal("on_valves_updated refused".into())));
            }
            Ok(())
        })
    }
    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<u8>, StageError>> {
        Box::pin(async { Ok(vec![]) })
    }
    fn restore(
        self: Arc<Self>,
        _from: String,
        _snapshot: Vec<u8>,
    ) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async { Ok(()) })
    }
    fn usage(&self) -> Usage {
        Usage::default()
    }
}
