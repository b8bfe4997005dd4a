//! The outside world of these tests: real time, no state, no network, and an exchange that keeps what it is given and knows the plugins
//! it was told of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use model::BoxFuture;
use model::component::ComponentFile;
use model::error::{Fault, LoadError};
use model::events::{Emitted, Topic};
use model::exchange::{
    Caller, Cause, EmitError, Exchange, FireError, Observation, PeerError, PeerRequest,
};
use model::id::PluginId;
use model::limits::Limits;
use model::plugin::{Admission, Loader, Plugin, ValveValues};
use model::ports::{
    Clock, Egress, EgressError, EgressPolicy, Expect, HttpBody, HttpClient, Quota, SecretStore,
    StateEntry, StateError, StateStore,
};
use model::settings::{PluginSettings, Reuse};
use sandbox::{CompileWorker, Sandbox, SandboxConfig, SandboxPorts};

/// A sandbox and what is around it.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) others: Arc<Others>,
}

pub(crate) fn world() -> World {
    world_with(64)
}

pub(crate) fn world_with(max_instances: u32) -> World {
    let folder = tempfile::tempdir().unwrap();
    let nothing = Arc::new(Nothing(Instant::now()));
    let others = Arc::new(Others::default());
    let config = SandboxConfig {
        cache_dir: folder.path().join("cache"),
        cache_bytes: 1 << 30,
        compiler: CompileWorker::InProcess,
        max_instances,
        allocation: None,
    };
    let ports = SandboxPorts {
        clock: nothing.clone(),
        state: nothing.clone(),
        egress: nothing,
        exchange: others.clone(),
        secrets: others.clone(),
    };
    World {
        sandbox: Sandbox::new(config, ports).unwrap(),
        folder,
        others,
    }
}

/// Loads a component; it is known to the others from then on.
pub(crate) async fn load(
    world: &World,
    file: ComponentFile,
    settings: PluginSettings,
) -> Result<Arc<dyn Plugin>, LoadError> {
    let admission = Admission {
        limits: Limits::defaults(),
        grantable: model::grants::Capability::ALL.into_iter().collect(),
        settings_file: "test.toml".into(),
    };
    let candidate = world.sandbox.inspect(file, admission).await?;
    let manifest = &candidate.about().manifest;
    let valves = ValveValues {
        json: serde_json::Value::Object(manifest.valves.clone())
            .to_string()
            .into(),
        announce: false,
    };
    let plugin = candidate.load(Arc::new(settings), valves).await?;
    let id = plugin.about().manifest.id.clone();
    let mut plugins = world.others.plugins.lock().unwrap();
    plugins.insert(id, Arc::clone(&plugin));
    Ok(plugin)
}

pub(crate) fn limited(changes: &[(&str, u64)], reuse: Reuse) -> PluginSettings {
    let mut limits = Limits::defaults();
    for (name, value) in changes {
        limits.set(name, *value, &Limits::ceilings()).unwrap();
    }
    PluginSettings {
        limits,
        reuse,
        ..PluginSettings::default()
    }
}

/// Other plugins, and what was asked of them.
#[derive(Debug, Default)]
pub(crate) struct Others {
    pub(crate) plugins: Mutex<BTreeMap<PluginId, Arc<dyn Plugin>>>,
    pub(crate) emitted: Mutex<Vec<(Caller, Topic, String)>>,
    pub(crate) called: Mutex<Vec<(Caller, PluginId, Duration)>>,
    pub(crate) fired: Mutex<Vec<(Caller, String, String)>>,
    pub(crate) observed: Mutex<Vec<Observation>>,
    /// Names of the threads that calls were polled on first.
    pub(crate) threads: Arc<Mutex<Vec<Option<String>>>>,
    /// What the next calls come to, instead of reaching a plugin.
    pub(crate) answers: Mutex<Vec<PeerError>>,
    /// What the next emits come to.
    pub(crate) refusals: Mutex<Vec<EmitError>>,
}

impl Others {
    fn plugin(&self, id: &str) -> Option<Arc<dyn Plugin>> {
        let plugins = self.plugins.lock().unwrap();
        let found = plugins.iter().find(|(known, _)| known.as_str() == id);
        found.map(|(_, plugin)| Arc::clone(plugin))
    }
}

impl Exchange for Others {
    fn emit(
        &self,
        caller: Caller,
        topic: Topic,
        payload: String,
    ) -> BoxFuture<'static, Result<Emitted, EmitError>> {
        self.emitted.lock().unwrap().push((caller, topic, payload));
        let outcome = match self.refusals.lock().unwrap().pop() {
            Some(refusal) => Err(refusal),
            None => Ok(Emitted { id: 1 }),
        };
        Box::pin(std::future::ready(outcome))
    }

    fn call(
        &self,
        caller: Caller,
        callee: PluginId,
        method: String,
        payload: String,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<String, PeerError>> {
        let cause = caller.cause.and(&caller.plugin);
        let request = PeerRequest {
            caller: caller.plugin.clone(),
            method,
            payload,
            cast: false,
        };
        let plugin = self.plugin(callee.as_str());
        let fixed = self.answers.lock().unwrap().pop();
        let threads = Arc::clone(&self.threads);
        self.called.lock().unwrap().push((caller, callee, timeout));
        Box::pin(async move {
            let thread = std::thread::current().name().map(str::to_owned);
            threads.lock().unwrap().push(thread);
            if let Some(error) = fixed {
                return Err(error);
            }
            let plugin = plugin.ok_or(PeerError::NotFound)?;
            let answer = plugin.handle(request, cause).await;
            answer.map_err(|e| PeerError::Failed(e.fault))
        })
    }

    fn cast(
        &self,
        caller: Caller,
        callee: PluginId,
        _method: String,
        _payload: String,
    ) -> Result<(), PeerError> {
        let timeout = Duration::ZERO;
        self.called.lock().unwrap().push((caller, callee, timeout));
        Ok(())
    }

    fn fire(
        &self,
        caller: Caller,
        point: String,
        context: String,
    ) -> BoxFuture<'static, Result<String, FireError>> {
        let outcome = if context.contains("refuse") {
            Err(FireError::Refused(Fault::Refused("not today".into())))
        } else {
            Ok(context.clone())
        };
        self.fired.lock().unwrap().push((caller, point, context));
        Box::pin(std::future::ready(outcome))
    }

    fn present(&self, plugin: &str) -> bool {
        self.plugin(plugin).is_some()
    }

    fn providers(&self, capability: &str) -> Vec<PluginId> {
        let plugins = self.plugins.lock().unwrap();
        let provides = |p: &Arc<dyn Plugin>| p.about().manifest.provides.contains_key(capability);
        let found = plugins.iter().filter(|(_, plugin)| provides(plugin));
        found.map(|(id, _)| id.clone()).collect()
    }

    fn observe(&self, _plugin: &PluginId, observation: Observation) -> bool {
        self.observed.lock().unwrap().push(observation);
        true
    }
}

impl SecretStore for Others {
    fn get(&self, name: &str) -> Option<String> {
        (name == "key").then(|| "hunter22".into())
    }
}

/// A call for nobody in particular.
pub(crate) fn nobody() -> Cause {
    Cause::default()
}

/// Time, and nothing else.
#[derive(Debug)]
struct Nothing(Instant);

impl Clock for Nothing {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

fn no_state<T: Send + 'static>() -> BoxFuture<'static, Result<T, StateError>> {
    Box::pin(async { Err(StateError::Unavailable("there is no store here".into())) })
}

impl StateStore for Nothing {
    fn get(
        &self,
        _: PluginId,
        _: String,
    ) -> BoxFuture<'static, Result<Option<StateEntry>, StateError>> {
        no_state()
    }

    fn put(
        &self,
        _: PluginId,
        _: String,
        _: Vec<u8>,
        _: Expect,
        _: Quota,
    ) -> BoxFuture<'static, Result<u64, StateError>> {
        no_state()
    }

    fn delete(&self, _: PluginId, _: String) -> BoxFuture<'static, Result<bool, StateError>> {
        no_state()
    }

    fn add(
        &self,
        _: PluginId,
        _: String,
        _: i64,
        _: Quota,
    ) -> BoxFuture<'static, Result<i64, StateError>> {
        no_state()
    }

    fn keys(
        &self,
        _: PluginId,
        _: String,
        _: Option<String>,
        _: u32,
    ) -> BoxFuture<'static, Result<Vec<String>, StateError>> {
        no_state()
    }
}

impl Egress for Nothing {
    fn client(&self, _: EgressPolicy) -> Arc<dyn HttpClient> {
        Arc::new(Nothing(self.0))
    }
}

impl HttpClient for Nothing {
    fn send(
        &self,
        _: http::Request<HttpBody>,
    ) -> BoxFuture<'static, Result<http::Response<HttpBody>, EgressError>> {
        Box::pin(async { Err(EgressError::Denied("nothing leaves these tests".into())) })
    }
}
