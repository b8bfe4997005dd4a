//! What an engine is built with: the ports to the outside world, and its options. Reading them from files is the binary's business.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::access::{Access, Files};
use model::data::{Batch, Encoding};
use model::error::Fault;
use model::events::EventBus;
use model::id::PluginId;
use model::limits::Limits;
use model::plugin::Loader;
use model::ports::{Clock, ComponentStore, HttpClient, References, Timer, ValveStore};
use model::settings::WrittenSettings;
use model::stage::{Convert, Natives};

use crate::durable::Durability;
use crate::raw::Raw;
use crate::silver::Silver;

/// The outside world, as the engine uses it.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Makes plugins out of components.
    pub loader: Arc<dyn Loader>,
    /// The folder of component files.
    pub components: Arc<dyn ComponentStore>,
    /// Values of valves that people have set.
    pub valves: Arc<dyn ValveStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Events.
    pub bus: Arc<dyn EventBus>,
    /// Fetches components that are added by URL, within the host's own policy.
    pub fetch: Arc<dyn HttpClient>,
    /// What runs of pipelines work with.
    pub stages: Stages,
    /// Where runs are kept that are to outlive the server; none: they are remembered in memory, and triggers start nothing.
    pub durability: Option<Durability>,
    /// Where payloads are kept as they came; none: nowhere, and there are no webhooks.
    pub raw: Option<Raw>,
    /// Where cleaned records are kept; none: nowhere.
    pub silver: Option<Silver>,
}

/// What runs of pipelines work with.
#[derive(Debug, Clone)]
pub struct Stages {
    /// The native stages.
    pub natives: Natives,
    /// What stages may reach.
    pub access: Arc<Access>,
    /// What `${env:NAME}` and `${file:path}` in options stand for.
    pub references: Arc<dyn References>,
    /// Waiting before a step is tried again.
    pub timer: Arc<dyn Timer>,
    /// The folder that holds what runs leave behind: rejected and undelivered records, below `runs/<run>`. Made when it is needed.
    pub work: PathBuf,
}

impl Stages {
    /// No native stages, nothing to reach: for a host whose pipelines are plugins that reach the world by their grants.
    #[must_use]
    pub fn none(work: PathBuf) -> Self {
        let none = Arc::new(Nothing);
        Self {
            natives: Natives {
                sources: Vec::new(),
                transforms: Vec::new(),
                sinks: Vec::new(),
                convert: Arc::<Nothing>::clone(&none),
            },
            access: Arc::new(Access {
                files: Files::Within(Vec::new()),
                http: Some(model::grants::HttpGrant::default()),
                databases: Some(Vec::new()),
            }),
            references: Arc::<Nothing>::clone(&none),
            timer: none,
            work,
        }
    }
}

/// Nothing can be converted or named; time passes as it does.
#[derive(Debug)]
struct Nothing;

impl Convert for Nothing {
    fn convert(&self, batch: Batch, to: Encoding) -> Result<Batch, Fault> {
        if batch.encoding == to {
            return Ok(batch);
        }
        let (from, to) = (batch.encoding, to);
        Err(Fault::Invalid(format!(
            "this host cannot turn {from:?} into {to:?}"
        )))
    }
}

impl Timer for Nothing {
    fn wait(&self, span: Duration) -> model::BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(span))
    }
}

impl References for Nothing {
    fn get(&self, reference: &str) -> Result<String, String> {
        Err(format!(
            "${{{reference}}} is not there: this host gives pipelines no references"
        ))
    }
}

/// How an engine behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Limits of plugins whose settings say nothing.
    pub defaults: Limits,
    /// The highest limits settings may ask for.
    pub ceilings: Limits,
    /// `[plugins.<id>]` of the host configuration. A settings file beside the component takes the place of its entry as a whole.
    pub plugins: BTreeMap<String, WrittenSettings>,
    /// Is a plugin told at load which valves people have set (`valves.updated`)?
    pub announce_valves: bool,
    /// Of plugins that provide the same capability, the ones to prefer, the first first.
    pub preferences: BTreeMap<String, Vec<PluginId>>,
    /// When a plugin has crashed, and for how long it is left alone then.
    pub quarantine: Quarantine,
    /// How often a plugin is started again.
    pub supervision: Supervision,
    /// How many component files are read at once, at least 1. Compiling has its own turns.
    pub load_parallel: usize,
    /// How long a version that is replaced or stopped may take to finish its calls. `None`: as long as its own deadlines allow
    /// (`deadline_ms` plus `start_deadline_ms`).
    pub drain: Option<Duration>,
    /// How runs of pipelines are carried out.
    pub runs: RunOptions,
}

/// How runs of pipelines are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// How many move data at once; the others wait, `queued`.
    pub at_once: NonZeroUsize,
    /// How many may wait; further ones are refused.
    pub queue: usize,
    /// How many that are over are remembered.
    pub history: NonZeroUsize,
    /// How long what runs leave behind on disk is kept; none: for ever.
    pub keep: Option<Keep>,
    /// How many may be part of one: of a composition or a backfill, all levels together.
    pub parts: NonZeroUsize,
    /// How many stages of one plugin may be open at once, in all runs together: each has an instance for itself.
    pub plugin_stages: NonZeroUsize,
    /// Are the newest records of each pipeline kept in memory, and shown to who watches?
    pub live: bool,
    /// Threads that runs work on.
    pub threads: NonZeroUsize,
    /// How much these threads stand back behind all others, 0 to 19 (niceness): 10 gets about a tenth of a core that others want, and all of one that they do not.
    pub nice: u8,
}

/// What is kept of runs that are over: in the store, and of what they leave behind on disk, rejected and undelivered records. Folders of runs that go on are never removed, nor do they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The folders of so many runs, the newest.
    pub runs: NonZeroUsize,
    /// All of it for so long after a run's end (its submission, if it was carried out before the host was started).
    pub age: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            runs: NonZeroUsize::new(1_000).unwrap_or(NonZeroUsize::MIN),
            age: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Default for RunOptions {
    fn default() -> Self {
        let of = |n| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Self {
            at_once: of(4),
            queue: 1_000,
            history: of(1_000),
            keep: None,
            parts: of(10_000),
            plugin_stages: of(64),
            live: false,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            nice: 10,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            defaults: Limits::defaults(),
            ceilings: Limits::ceilings(),
            plugins: BTreeMap::new(),
            preferences: BTreeMap::new(),
            announce_valves: true,
            quarantine: Quarantine::default(),
            supervision: Supervision::default(),
            load_parallel: 2,
            drain: None,
            runs: RunOptions::default(),
        }
    }
}

/// A plugin with `faults` faults within `within` has crashed. It is not called, and started again after `first`; the time doubles with each restart that
/// counts for [`Supervision`], up to `longest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantine {
    /// Faults that are too many; 0: no number is.
    pub faults: u32,
    /// The time they are counted in.
    pub within: Duration,
    /// The first time out.
    pub first: Duration,
    /// The longest time out.
    pub longest: Duration,
}

/// A plugin that would have to be started again more than `restarts` times within `within` stays down until an operator or a new file helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supervision {
    /// Restarts that are allowed; 0: none is.
    pub restarts: u32,
    /// The time they are counted in.
    pub within: Duration,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            restarts: 5,
            within: Duration::from_secs(600),
        }
    }
}

impl Default for Quarantine {
    fn default() -> Self {
        Self {
            faults: 5,
            within: Duration::from_secs(60),
            first: Duration::from_secs(5),
            longest: Duration::from_secs(600),
        }
    }
}
