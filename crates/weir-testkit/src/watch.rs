//! Stands between the engine and the sandbox: gives plugins what a test has put there for them before they start, and keeps what their calls
//! came to, also of those for whose answer nobody waits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use model::BoxFuture;
use model::chat::{ChatRequest, Direction, FilterMessage, Model};
use model::component::{ComponentFile, FileName};
use model::data::{Opening, Reader, Transformer, Writer};
use model::error::{LoadError, StageError};
use model::events::Event;
use model::exchange::{Cause, PeerRequest};
use model::hooks::HookCall;
use model::id::PluginId;
use model::plugin::{About, Admission, Candidate, Loader, Plugin, Usage, ValveValues};
use model::settings::PluginSettings;

use crate::fakes::lock;
use crate::fakes::state::MemoryState;
use crate::fakes::valves::Valves;

/// Most ended calls that are kept.
const MAX_ENDED: usize = 100_000;

/// What a test puts there for one plugin before it starts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seeds {
    pub(crate) state: Vec<(String, Vec<u8>)>,
    pub(crate) valves: Option<String>,
}

/// A call that ended in a failure while nobody waited for its answer.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    pub(crate) plugin: PluginId,
    pub(crate) error: StageError,
}

/// What is known of a kit's plugins beside what the engine tells.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seeds: Mutex<BTreeMap<FileName, Seeds>>,
    pub(crate) state: Arc<MemoryState>,
    pub(crate) valves: Arc<Valves>,
    ids: Mutex<BTreeMap<FileName, PluginId>>,
    live: Mutex<BTreeMap<PluginId, Weak<dyn Plugin>>>,
    lost: Mutex<Vec<Lost>>,
}

impl Watch {
    pub(crate) fn new(seeds: BTreeMap<FileName, Seeds>) -> Self {
        Self {
            seeds: Mutex::new(seeds),
            ..Self::default()
        }
    }

    /// The plugin in a file, once it has said who it is.
    pub(crate) fn id_of(&self, file: &FileName) -> Option<PluginId> {
        lock(&self.ids).get(file).cloned()
    }

    /// The version of a plugin that was loaded last, if it is still there.
    pub(crate) fn live(&self, id: &PluginId) -> Option<Arc<dyn Plugin>> {
        lock(&self.live).get(id).and_then(Weak::upgrade)
    }

    /// How many calls were lost.
    pub(crate) fn count(&self) -> usize {
        lock(&self.lost).len()
    }

    /// The first call of this plugin that was lost after the first `skip` ones of all plugins.
    pub(crate) fn lost_after(&self, skip: usize, plugin: &PluginId) -> Option<StageError> {
        let lost = lock(&self.lost);
        let mut later = lost.iter().skip(skip);
        later.find(|l| l.plugin == *plugin).map(|l| l.error.clone())
    }

    fn described(&self, file: FileName, about: &About) {
        let id = about.manifest.id.clone();
        if let Some(seeds) = lock(&self.seeds).remove(&file) {
            for (key, value) in seeds.state {
                self.state.seed(&id, key, value);
            }
            if let Some(json) = seeds.valves {
                lock(&self.valves.0).insert(id.clone(), json);
            }
        }
        lock(&self.ids).insert(file, id);
    }

    fn ended<T>(&self, plugin: &About, result: &Result<T, StageError>) {
        let Err(error) = result else { return };
        let mut lost = lock(&self.lost);
        if lost.len() < MAX_ENDED {
            lost.push(Lost {
                plugin: plugin.manifest.id.clone(),
                error: error.clone(),
            });
        }
    }
}

/// A loader whose plugins are watched.
#[derive(Debug)]
pub(crate) struct WatchedLoader {
    pub(crate) inner: Arc<dyn Loader>,
    pub(crate) watch: Arc<Watch>,
}

impl Loader for WatchedLoader {
    fn inspect(
        &self,
        file: ComponentFile,
        admission: Admission,
    ) -> BoxFuture<'static, Result<Box<dyn Candidate>, LoadError>> {
        let watch = Arc::clone(&self.watch);
        let name = file.name.clone();
        let inspecting = self.inner.inspect(file, admission);
        Box::pin(async move {
            let inner = inspecting.await?;
            watch.described(name, inner.about());
            Ok(Box::new(WatchedCandidate { inner, watch }) as Box<dyn Candidate>)
        })
    }
}

#[derive(Debug)]
struct WatchedCandidate {
    inner: Box<dyn Candidate>,
    watch: Arc<Watch>,
}

impl Candidate for WatchedCandidate {
    fn about(&self) -> &Arc<About> {
        self.inner.about()
    }

    fn load(
        self: Box<Self>,
        settings: Arc<PluginSettings>,
        valves: ValveValues,
    ) -> BoxFuture<'static, Result<Arc<dyn Plugin>, LoadError>> {
        let Self { inner, watch } = *self;
        let loading = inner.load(settings, valves);
        Box::pin(async move {
            let inner = loading.await?;
            let id = inner.about().manifest.id.clone();
            let plugin: Arc<dyn Plugin> = Arc::new(Watched {
                inner,
                watch: Arc::clone(&watch),
            });
            lock(&watch.live).insert(id, Arc::downgrade(&plugin));
            Ok(plugin)
        })
    }
}

/// A plugin as it is, and a note of what it could not tell anybody.
struct Watched {
    inner: Arc<dyn Plugin>,
    watch: Arc<Watch>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

type Answer<T> = BoxFuture<'static, Result<T, StageError>>;

impl Plugin for Watched {
    fn about(&self) -> &Arc<About> {
        self.inner.about()
    }

    fn start(self: Arc<Self>) -> Answer<()> {
        Arc::clone(&self.inner).start()
    }

    fn stop(self: Arc<Self>) -> Answer<()> {
        Arc::clone(&self.inner).stop()
    }

    fn chat(
        self: Arc<Self>,
        request: ChatRequest,
        reply: Box<dyn model::chat::Reply>,
        cause: Cause,
    ) -> Answer<()> {
        Arc::clone(&self.inner).chat(request, reply, cause)
    }

    fn filter(
        self: Arc<Self>,
        direction: Direction,
        message: FilterMessage,
        cause: Cause,
    ) -> Answer<String> {
        Arc::clone(&self.inner).filter(direction, message, cause)
    }

    fn hook(self: Arc<Self>, call: HookCall, cause: Cause) -> Answer<String> {
        Arc::clone(&self.inner).hook(call, cause)
    }

    fn on_event(self: Arc<Self>, event: Arc<Event>) -> Answer<()> {
        let hearing = Arc::clone(&self.inner).on_event(event);
        Box::pin(async move {
            let result = hearing.await;
            self.watch.ended(self.about(), &result);
            result
        })
    }

    fn handle(self: Arc<Self>, request: PeerRequest, cause: Cause) -> Answer<String> {
        let handling = Arc::clone(&self.inner).handle(request, cause);
        Box::pin(async move {
            let result = handling.await;
            self.watch.ended(self.about(), &result);
            result
        })
    }

    fn open_source(self: Arc<Self>, opening: Opening, cause: Cause) -> Answer<Box<dyn Reader>> {
        Arc::clone(&self.inner).open_source(opening, cause)
    }

    fn open_transform(
        self: Arc<Self>,
        config: String,
        cause: Cause,
    ) -> Answer<Box<dyn Transformer>> {
        Arc::clone(&self.inner).open_transform(config, cause)
    }

    fn open_sink(self: Arc<Self>, config: String, cause: Cause) -> Answer<Box<dyn Writer>> {
        Arc::clone(&self.inner).open_sink(config, cause)
    }

    fn models(self: Arc<Self>) -> Answer<Vec<Model>> {
        Arc::clone(&self.inner).models()
    }

    fn set_valves(self: Arc<Self>, json: Arc<str>) -> Answer<()> {
        Arc::clone(&self.inner).set_valves(json)
    }

    fn snapshot(self: Arc<Self>) -> Answer<Vec<u8>> {
        Arc::clone(&self.inner).snapshot()
    }

    fn restore(self: Arc<Self>, from_version: String, snapshot: Vec<u8>) -> Answer<()> {
        Arc::clone(&self.inner).restore(from_version, snapshot)
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }
}
