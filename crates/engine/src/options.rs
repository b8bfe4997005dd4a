//! What an engine is built with: the ports to the outside world, and its options. Reading them from files is the binary's business.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::events::EventBus;
use model::id::PluginId;
use model::limits::Limits;
use model::plugin::Loader;
use model::ports::{Clock, ComponentStore, HttpClient, ValveStore};
use model::settings::WrittenSettings;

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
