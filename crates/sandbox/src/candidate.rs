//! From bytes to a plugin: admission, compiled code from the cache or the compiler, `describe`, and then, with the operator's
//! settings, a first instance.

mod relations;

use std::sync::{Arc, Weak};

use model::BoxFuture;
use model::component::ComponentFile;
use model::error::{Fault, LoadError};
use model::exchange::Cause;
use model::grants::Grants;
use model::limits::Limits;
use model::manifest::Manifest;
use model::plugin::{About, Admission, Candidate, Plugin, Role, ValveValues};
use model::ports::{EgressPolicy, Reach};
use model::settings::PluginSettings;
use model::text::hex;
use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::Host;
use crate::admission::{self, Interfaces};
use crate::call::{self, Kind};
use crate::exports::{self, Blueprint};
use crate::instance::Instance;
use crate::lanes;
use crate::ongoing::Ongoing;
use crate::plugin::{Loaded, Valves};
use crate::pool::Pool;
use crate::state::Shared;

/// A component that compiled and described itself.
pub(crate) struct Described {
    host: Arc<Host>,
    component: Component,
    interfaces: Interfaces,
    about: Arc<About>,
    settings_file: String,
}

/// Checks, compiles and describes a component.
pub(crate) async fn inspect(
    host: Arc<Host>,
    file: ComponentFile,
    admission: Admission,
) -> Result<Box<dyn Candidate>, LoadError> {
    let (bytes, limits) = (file.bytes.clone(), admission.limits.clone());
    let (digest, interfaces) = blocking(move || {
        admission::check_kind(&bytes, &limits)?;
        let interfaces = admission::examine(&bytes, &limits)?;
        Ok((Arc::<str>::from(hex(&Sha256::digest(&bytes))), interfaces))
    })
    .await?;
    let roles = admission::roles(&interfaces.exports)?;
    let mut asks = admission::capabilities(&interfaces.imports, &admission)?;
    let component = match host.cache.get(&digest) {
        Some(component) => component,
        None => compile(&host, &file, &digest).await?,
    };
    let pre = host
        .linker
        .instantiate_pre(&component)
        .map_err(|e| wrong_type(&e))?;
    let blueprint = Blueprint::new(pre, &roles).map_err(|e| wrong_type(&e))?;
    let shared = shared(
        &host,
        file.name.stem().into(),
        admission.limits,
        Grants::default(),
    );
    let (manifest, valves_spec) = describe(shared, blueprint).await?;
    let manifest = Manifest::parse(&manifest).map_err(LoadError::Manifest)?;
    relations::check_roles(&manifest, &roles)?;
    asks.extend(relations::asks(&manifest));
    let about = Arc::new(About {
        notes: relations::notes(&manifest, &roles),
        track: admission::track(&interfaces.exports),
        manifest,
        roles,
        asks,
        digest,
        size: file.bytes.len(),
        valves_spec,
    });
    Ok(Box::new(Described {
        host,
        component,
        interfaces,
        about,
        settings_file: admission.settings_file,
    }))
}

/// Everything that can be refused was refused before the compiler runs.
async fn compile(host: &Host, file: &ComponentFile, digest: &str) -> Result<Component, LoadError> {
    let bytes = file.bytes.clone();
    blocking(move || admission::validate(&bytes)).await?;
    tracing::info!(file = %file.name, bytes = file.bytes.len(), "compiling plugin");
    host.cache.compile(digest, file.bytes.clone()).await
}

/// Runs what takes milliseconds of a large component where it holds up no call.
async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, LoadError> + Send + 'static,
) -> Result<R, LoadError> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
        .await
        .unwrap_or_else(|e| Err(LoadError::Host(e.to_string())))
}

fn wrong_type(error: &wasmtime::Error) -> LoadError {
    LoadError::UnknownImport {
        interface: "or exports an interface of another shape".into(),
        reason: format!("{error:#}"),
    }
}

/// What the instance of `describe` has: nothing is granted to it.
fn shared(host: &Arc<Host>, name: Arc<str>, limits: Limits, grants: Grants) -> Arc<Shared> {
    Arc::new(Shared {
        host: Arc::clone(host),
        name,
        about: None,
        limits,
        grants,
        counters: Arc::default(),
        slow_turns: lanes::turns(),
        http: None,
        secrets: Arc::default(),
    })
}

/// Calls `describe` and `valves.spec` in a throwaway instance.
async fn describe(
    shared: Arc<Shared>,
    blueprint: Blueprint,
) -> Result<(String, Option<String>), LoadError> {
    let outside = Arc::clone(&shared);
    let ongoing = Ongoing::new(&shared, Kind::Start, Cause::default());
    let for_call = Arc::clone(&ongoing);
    let work = Box::pin(async move {
        let ongoing = for_call;
        let mut instance = Instance::new(&shared, &blueprint, &"{}".into(), &ongoing).await?;
        let describe = Kind::Start.work(&shared, &ongoing, exports::describe());
        let manifest = instance.run(describe).await?;
        let spec = Kind::Start.work(&shared, &ongoing, exports::spec());
        let spec = instance.run(spec).await?;
        Ok((manifest, spec))
    });
    let work = call::on_lane(&outside, &ongoing, work);
    let described = ongoing.keep(work).await;
    described.map_err(|fault| start_error("describe", fault))
}

fn start_error(call: &'static str, fault: Fault) -> LoadError {
    LoadError::Start { call, fault }
}

impl std::fmt::Debug for Described {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Described")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

impl Candidate for Described {
    fn about(&self) -> &Arc<About> {
        &self.about
    }

    fn load(
        self: Box<Self>,
        settings: Arc<PluginSettings>,
        valves: ValveValues,
    ) -> BoxFuture<'static, Result<Arc<dyn Plugin>, LoadError>> {
        Box::pin(load(*self, settings, valves))
    }
}

async fn load(
    described: Described,
    settings: Arc<PluginSettings>,
    valves: ValveValues,
) -> Result<Arc<dyn Plugin>, LoadError> {
    let Described {
        host,
        component,
        interfaces,
        mut about,
        settings_file,
    } = described;
    relations::check_imports(&interfaces, &settings.grants, &settings_file)?;
    let inactive = relations::check_grants(&about.manifest, &settings.grants, &settings_file)?;
    if !inactive.is_empty() {
        Arc::make_mut(&mut about).notes.extend(inactive);
    }
    let pre = host
        .linker
        .instantiate_pre(&component)
        .map_err(|e| wrong_type(&e))?;
    let blueprint = Blueprint::new(pre, &about.roles).map_err(|e| wrong_type(&e))?;
    let shared = granted(&host, &about, &settings);
    let plugin = Arc::new(Loaded {
        pool: Arc::new(Pool::new(settings.reuse, &settings.limits)),
        valves: Valves::new(
            valves.json,
            valves.announce && about.roles.contains(&Role::Valves),
        ),
        about,
        shared,
        blueprint,
        settings,
    });
    host.watch(Arc::downgrade(&plugin.pool));
    let first = Arc::clone(&plugin);
    let ongoing = Ongoing::new(&plugin.shared, Kind::Start, Cause::default());
    let for_call = Arc::clone(&ongoing);
    let work = Box::pin(async move {
        let instance = first.new_instance(&for_call).await?;
        first.pool.give_back(instance);
        Ok(())
    });
    let made = call::take_turn(&plugin, &ongoing, work);
    made.await.map_err(|fault| start_error("init", fault))?;
    Ok(plugin)
}

/// What the instances of a plugin have.
fn granted(host: &Arc<Host>, about: &Arc<About>, settings: &PluginSettings) -> Arc<Shared> {
    let id = &about.manifest.id;
    Arc::new(Shared {
        host: Arc::clone(host),
        name: id.as_str().into(),
        about: Some(Arc::clone(about)),
        limits: settings.limits.clone(),
        grants: settings.grants.clone(),
        counters: Arc::default(),
        slow_turns: lanes::turns(),
        http: settings.grants.http.clone().map(|grant| {
            host.ports.egress.client(EgressPolicy {
                sender: id.to_string(),
                reach: Reach::granted(grant),
                limits: settings.limits.clone(),
            })
        }),
        secrets: Arc::default(),
    })
}

impl Host {
    /// Remembers a pool, so that it can be asked for room; forgets those that are gone.
    fn watch(&self, pool: Weak<Pool>) {
        if let Ok(mut pools) = self.pools.lock() {
            pools.retain(|p| p.strong_count() > 0);
            pools.push(pool);
        }
    }

    /// Lets idle instances of all plugins go; true if there were any.
    pub(crate) fn shed_idle(&self) -> bool {
        let pools: Vec<_> = self.pools.lock().map_or_else(
            |_| Vec::new(),
            |p| p.iter().filter_map(Weak::upgrade).collect(),
        );
        let shed = pools.iter().filter(|p| p.shed()).count();
        shed > 0
    }
}
