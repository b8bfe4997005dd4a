//! A server with its engine, ready to be called, and what happened in its plugins.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use engine::{Discovery, Engine, LocalBus, Options, Ports};
use model::component::{ComponentFile, FileName, Origin};
use model::events::{Event, EventBus, Topic};
use model::exchange::Cause;
use model::id::PluginId;
use model::limits::Limits;
use model::settings::WrittenSettings;
use serde_json::{Value, json};
use server::{AddPolicy, ApiKey, Compat, Cors, HttpLimits, ServeError, ServerConfig};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use crate::client::{Reply, Request};
use crate::fake::{Outside, component};
use crate::shelf::Shelf;

/// The key of every server here.
pub(crate) const KEY: &str = "test-key";
/// The fuel of a call by the host's configuration.
pub(crate) const FUEL: u64 = 12_345;
/// Ids of plugins that may have hooks and hear events.
const TRUSTED: [&str; 2] = ["first", "second"];
/// Nothing here takes this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What happened, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Mutex<Vec<String>>,
    changed: Notify,
}

impl Log {
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.lines.lock().unwrap().push(line.into());
        self.changed.notify_waiters();
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|l| l == line)
    }

    /// How often a line was noted.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .filter(|l| *l == line)
            .count()
    }

    /// Waits until this line was noted.
    pub(crate) async fn until(&self, line: &str) {
        let wait = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if self.has(line) {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(
            waited.is_ok(),
            "{line:?} did not happen: {:?}",
            self.lines.lock().unwrap()
        );
    }
}

/// A running server.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Log>,
    pub(crate) outside: Arc<Outside>,
    engine: Arc<Engine>,
    pub(crate) bus: Arc<LocalBus>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    /// Ends the boot.
    pub(crate) boot: watch::Sender<bool>,
    pub(crate) serving: JoinHandle<Result<(), ServeError>>,
}

/// What a test may want otherwise.
pub(crate) struct Wish {
    pub(crate) compat: Compat,
    pub(crate) limits: HttpLimits,
    pub(crate) cors: Cors,
    pub(crate) add: AddPolicy,
    /// Is the boot over?
    pub(crate) booted: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            compat: Compat::Default,
            limits: HttpLimits::default(),
            cors: Cors::default(),
            add: AddPolicy::default(),
            booted: true,
        }
    }
}

/// A server in default mode with the usual plugins.
pub(crate) async fn world() -> World {
    start(Wish::default()).await
}

/// A server in strict mode with the usual plugins.
pub(crate) async fn strict() -> World {
    start(Wish {
        compat: Compat::Strict,
        ..Wish::default()
    })
    .await
}

/// A server with small limits in default mode.
pub(crate) async fn limited(change: impl FnOnce(&mut HttpLimits)) -> World {
    let mut wish = Wish::default();
    change(&mut wish.limits);
    start(wish).await
}

pub(crate) async fn start(wish: Wish) -> World {
    let log = Arc::new(Log::default());
    let outside = Arc::new(Outside::new(log.clone()));
    let bus = Arc::new(LocalBus::new(outside.clone()));
    let ports = Ports {
        loader: outside.clone(),
        components: outside.clone(),
        valves: outside.clone(),
        clock: outside.clone(),
        bus: bus.clone(),
        fetch: outside.clone(),
        durability: None,
        raw: None,
        silver: None,
        stages: engine::Stages::none(std::env::temp_dir()),
    };
    let mut defaults = Limits::defaults();
    let fuel = defaults.set("fuel", FUEL, &Limits::ceilings());
    fuel.unwrap();
    let trusted = json!({"grants": {"hooks": true, "events": true}});
    let trusted: WrittenSettings = serde_json::from_value(trusted).unwrap();
    let options = Options {
        defaults: defaults.clone(),
        plugins: TRUSTED.map(|id| (id.into(), trusted.clone())).into(),
        preferences: [("embeddings".into(), vec![PluginId::new("second").unwrap()])].into(),
        ..Options::default()
    };
    let engine = Engine::new(ports, options);
    engine.sync().await;
    for (name, script) in usual() {
        install(&engine, &format!("{name}.wasm"), component(&script)).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (boot, booted) = watch::channel(wish.booted);
    let config = ServerConfig {
        key: ApiKey::new(KEY).unwrap(),
        compat: wish.compat,
        limits: wish.limits,
        cors: wish.cors,
        add: wish.add,
        plugins_dir_shown: "/srv/pipelines".into(),
        defaults,
        ceilings: Limits::ceilings(),
        pipelines: Discovery::new(engine.clone(), Arc::new(Shelf::default())),
        clock: outside.clone(),
        booted,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move {
        // A dropped sender stops the server as well.
        stopped.await.ok();
    };
    let serving = tokio::spawn(server::serve(listener, engine.clone(), config, shutdown));
    World {
        address,
        log,
        outside,
        engine,
        bus,
        stop: Some(stop),
        boot,
        serving,
    }
}

async fn install(engine: &Arc<Engine>, name: &str, bytes: Bytes) {
    let file = ComponentFile {
        name: FileName::new(name).unwrap(),
        bytes,
    };
    engine.install(file, Origin::Folder).await.unwrap();
}

fn usual() -> Vec<(&'static str, Value)> {
    let valves = json!({
        "title": "Valves",
        "type": "object",
        "properties": {
            "pipelines": {"type": "array", "items": {"type": "string"}, "default": []},
            "priority": {"type": "integer", "default": 0},
            "prefix": {"type": "string", "default": "[f]"},
        },
    });
    vec![
        (
            "echo",
            json!({"id": "echo", "name": "Echo", "roles": ["pipe"]}),
        ),
        (
            "mani",
            json!({"id": "mani", "name": "Mani: ", "roles": ["pipe", "manifold", "filter"], "models": ["p1", "org/p.2:x"]}),
        ),
        (
            "filter_file",
            json!({"id": "filter", "roles": ["filter", "valves"], "spec": valves, "valves": {"pipelines": ["*"], "priority": 5}}),
        ),
        ("slash", json!({"id": "org/plug", "roles": ["pipe"]})),
    ]
}

impl World {
    /// An operator puts a component into the folder.
    pub(crate) async fn dropped(&self, name: &str, bytes: &[u8]) {
        install(&self.engine, name, Bytes::copy_from_slice(bytes)).await;
    }

    /// An event of a plugin.
    pub(crate) fn event(&self, topic: &str, payload: &str) -> Arc<Event> {
        let topic = Topic::new(topic).unwrap();
        self.bus
            .publish(topic, "p".into(), payload.into(), Cause::default())
    }

    /// Sends a request with the key.
    pub(crate) async fn send(&self, request: Request) -> Reply {
        request.key(KEY).send(self.address).await
    }

    /// Sends a request as it is.
    pub(crate) async fn send_bare(&self, request: Request) -> Reply {
        request.send(self.address).await
    }

    /// `GET` with the key.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::new("GET", path)).await
    }

    /// `POST` of JSON with the key.
    pub(crate) async fn post(&self, path: &str, body: impl Into<String>) -> Reply {
        self.send(Request::new("POST", path).json(body)).await
    }

    /// A chat with a plugin that does what it is told.
    pub(crate) async fn chat(&self, model: &str, told: &str, stream: bool) -> Reply {
        let body = json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": told}]});
        self.post("/v1/chat/completions", body.to_string()).await
    }

    /// Ends the server as an operator does.
    pub(crate) async fn end(mut self) -> Result<(), ServeError> {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        tokio::time::timeout(PATIENCE, self.serving)
            .await
            .expect("the server ends")
            .unwrap()
    }
}
