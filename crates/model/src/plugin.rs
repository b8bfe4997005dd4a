//! The ports to a sandbox: how a component becomes a plugin, and how a plugin is called. The engine knows plugins only by these.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::BoxFuture;
use crate::chat::{ChatRequest, Direction, FilterMessage, Model, Reply};
use crate::component::ComponentFile;
use crate::data::{Opening, Reader, Transformer, Writer};
use crate::error::{Fault, LoadError, StageError};
use crate::events::Event;
use crate::exchange::{Cause, PeerRequest};
use crate::grants::Capability;
use crate::hooks::HookCall;
use crate::id::PluginRef;
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::settings::PluginSettings;

/// What a component can do, by the interfaces it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Answers chats.
    Pipe,
    /// Offers several models.
    Manifold,
    /// Changes requests and answers.
    Filter,
    /// Reads records.
    Source,
    /// Turns records into records.
    Transform,
    /// Writes records.
    Sink,
    /// Runs at hook points.
    Hooks,
    /// Hears events.
    Subscriber,
    /// Answers other plugins.
    Peer,
    /// Has values people may change.
    Valves,
    /// Carries its memory across a reload.
    Handover,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Pipe,
        Self::Manifold,
        Self::Filter,
        Self::Source,
        Self::Transform,
        Self::Sink,
        Self::Hooks,
        Self::Subscriber,
        Self::Peer,
        Self::Valves,
        Self::Handover,
    ];

    /// The interface's name in `weir:plugin`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Manifold => "manifold",
            Self::Filter => "filter",
            Self::Source => "source",
            Self::Transform => "transform",
            Self::Sink => "sink",
            Self::Hooks => "hooks",
            Self::Subscriber => "subscriber",
            Self::Peer => "peer",
            Self::Valves => "valves",
            Self::Handover => "handover",
        }
    }

    /// Does it make a component a plugin? `valves` and `handover` only add to one.
    #[must_use]
    pub fn is_main(self) -> bool {
        !matches!(self, Self::Valves | Self::Handover)
    }
}

/// What is known of a loaded component.
#[derive(Debug, Clone)]
pub struct About {
    /// What it says it is.
    pub manifest: Manifest,
    /// What it can do.
    pub roles: BTreeSet<Role>,
    /// The track of the contract it was built for, such as `0.1`.
    pub track: String,
    /// Capabilities it imports, or asks for in its manifest.
    pub asks: BTreeSet<Capability>,
    /// SHA-256 of its bytes, in hex.
    pub digest: Arc<str>,
    /// Size of the component, in bytes.
    pub size: usize,
    /// JSON Schema of its valves, as the plugin gave it.
    pub valves_spec: Option<String>,
    /// What an operator should know: roles that this version does not call, and the like.
    pub notes: Vec<String>,
}

impl About {
    /// The plugin's version, as errors and logs name it.
    #[must_use]
    pub fn plugin_ref(&self) -> PluginRef {
        PluginRef {
            id: self.manifest.id.clone(),
            version: self.manifest.version.clone(),
        }
    }

    /// An error of this plugin.
    #[must_use]
    pub fn error(&self, fault: Fault) -> StageError {
        StageError {
            plugin: self.plugin_ref(),
            fault,
        }
    }

    /// The error of a call of a role that the plugin has not got.
    #[must_use]
    pub fn lacks(&self, role: Role) -> StageError {
        self.error(Fault::Unavailable {
            reason: format!("it has no role {}", role.name()),
            retry_after_ms: None,
        })
    }
}

/// What one call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel burnt since the plugin was loaded.
    pub fuel: u64,
    /// CPU time of its calls, in microseconds.
    pub cpu_us: u64,
    /// Largest memory of an instance, in bytes.
    pub memory_high_water: u64,
    /// Instances alive.
    pub instances: u64,
    /// Of those, idle ones.
    pub idle_instances: u64,
    /// Instances made since the plugin was loaded.
    pub instances_made: u64,
    /// Host functions called.
    pub host_calls: u64,
    /// Outgoing HTTP requests.
    pub http_requests: u64,
    /// Bytes that went in with calls.
    pub bytes_in: u64,
    /// Bytes that came out of calls.
    pub bytes_out: u64,
    /// Lines logged.
    pub log_lines: u64,
    /// Lines dropped over the limit.
    pub log_dropped: u64,
    /// Calls to ungranted things.
    pub denials: u64,
    /// For each capability, in the order of [`Capability::ALL`]: how often it was used, and how often that was denied.
    pub capabilities: [CapabilityUse; Capability::ALL.len()],
}

/// How often a capability was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilityUse {
    /// Uses that were let through.
    pub used: u64,
    /// Uses that were denied.
    pub denied: u64,
}

/// What an operator might grant, known before a component is compiled.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Limits on the component itself.
    pub limits: Limits,
    /// Capabilities that some settings could grant to this file.
    pub grantable: BTreeSet<Capability>,
    /// The settings file to name in errors.
    pub settings_file: String,
}

/// Values of the valves, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValveValues {
    /// An object that fits the spec.
    pub json: Arc<str>,
    /// Have people set them, so that `updated` is due after `init`?
    pub announce: bool,
}

/// Makes plugins out of components.
pub trait Loader: Send + Sync + fmt::Debug {
    /// Checks, compiles (or takes from the cache) and describes a component, in an instance that is granted nothing.
    fn inspect(
        &self,
        file: ComponentFile,
        admission: Admission,
    ) -> BoxFuture<'static, Result<Box<dyn Candidate>, LoadError>>;
}

/// A component that compiled and described itself.
pub trait Candidate: Send + fmt::Debug {
    /// What it is.
    fn about(&self) -> &Arc<About>;

    /// Checks its imports against the grants, links it and initialises a first instance. `valves` are the values in force.
    fn load(
        self: Box<Self>,
        settings: Arc<PluginSettings>,
        valves: ValveValues,
    ) -> BoxFuture<'static, Result<Arc<dyn Plugin>, LoadError>>;
}

/// One loaded version of a plugin. Dropping the last reference lets its instances go. Dropping a call's future ends the call and
/// throws its instance away. A role the plugin lacks answers `Unavailable`.
pub trait Plugin: Send + Sync + fmt::Debug {
    /// What it is.
    fn about(&self) -> &Arc<About>;

    /// `lifecycle.start`.
    fn start(self: Arc<Self>) -> BoxFuture<'static, Result<(), StageError>>;

    /// `lifecycle.stop`, after the last call.
    fn stop(self: Arc<Self>) -> BoxFuture<'static, Result<(), StageError>>;

    /// `pipe.run`.
    fn chat(
        self: Arc<Self>,
        request: ChatRequest,
        reply: Box<dyn Reply>,
        cause: Cause,
    ) -> BoxFuture<'static, Result<(), StageError>>;

    /// `filter.inlet` or `filter.outlet`: the new body, JSON text (checked to be JSON).
    fn filter(
        self: Arc<Self>,
        direction: Direction,
        message: FilterMessage,
        cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>>;

    /// `hooks.before`, `.after`, `.around` or `.replace`: what it returned, JSON text (checked to be JSON).
    fn hook(
        self: Arc<Self>,
        call: HookCall,
        cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>>;

    /// `subscriber.on-event`; the event says why.
    fn on_event(self: Arc<Self>, event: Arc<Event>) -> BoxFuture<'static, Result<(), StageError>>;

    /// `peer.handle`: the answer, JSON text (checked to be JSON). `cause` names the caller last, unless it is a cast.
    fn handle(
        self: Arc<Self>,
        request: PeerRequest,
        cause: Cause,
    ) -> BoxFuture<'static, Result<String, StageError>>;

    /// `source.reader.open`: a reader with an instance of its own. Unavailable where the plugin has no such role, as the two after it.
    fn open_source(
        self: Arc<Self>,
        opening: Opening,
        cause: Cause,
    ) -> BoxFuture<'static, Result<Box<dyn Reader>, StageError>> {
        let _ = (opening, cause);
        let lacks = self.about().lacks(Role::Source);
        Box::pin(std::future::ready(Err(lacks)))
    }

    /// `transform.transformer.open`: a transformer with an instance of its own. `config` is the stage's settings, JSON text.
    fn open_transform(
        self: Arc<Self>,
        config: String,
        cause: Cause,
    ) -> BoxFuture<'static, Result<Box<dyn Transformer>, StageError>> {
        let _ = (config, cause);
        let lacks = self.about().lacks(Role::Transform);
        Box::pin(std::future::ready(Err(lacks)))
    }

    /// `sink.writer.open`: a writer with an instance of its own. `config` is the stage's settings, JSON text.
    fn open_sink(
        self: Arc<Self>,
        config: String,
        cause: Cause,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, StageError>> {
        let _ = (config, cause);
        let lacks = self.about().lacks(Role::Sink);
        Box::pin(std::future::ready(Err(lacks)))
    }

    /// `manifold.models`.
    fn models(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<Model>, StageError>>;

    /// New values of the valves: every instance is told before its next call, one at once; the answer is that one's.
    fn set_valves(self: Arc<Self>, json: Arc<str>) -> BoxFuture<'static, Result<(), StageError>>;

    /// `handover.snapshot`.
    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<u8>, StageError>>;

    /// `handover.restore`.
    fn restore(
        self: Arc<Self>,
        from_version: String,
        snapshot: Vec<u8>,
    ) -> BoxFuture<'static, Result<(), StageError>>;

    /// What it used so far.
    fn usage(&self) -> Usage;
}
