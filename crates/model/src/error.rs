//! Why a call or a load did not work: one vocabulary for the engine, the sandbox and the server. How an error looks over HTTP is
//! the server's business.

use crate::id::PluginRef;
use crate::limits::Limit;

/// A call of a plugin that did not work: who, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("plugin {plugin}: {fault}")]
pub struct StageError {
    /// The plugin and the version that served the call.
    pub plugin: PluginRef,
    /// What went wrong.
    pub fault: Fault,
}

/// What went wrong in a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The plugin says that the input or configuration is wrong.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The plugin says that something outside failed and may work later.
    #[error("transient: {message}")]
    Transient {
        /// The plugin's own words.
        message: String,
        /// How long to wait before trying again.
        retry_after_ms: Option<u32>,
    },
    /// The plugin says no; its text is for the caller.
    #[error("refused: {0}")]
    Refused(String),
    /// The plugin says that it is at fault.
    #[error("failed: {0}")]
    Internal(String),
    /// The call burnt all its fuel.
    #[error("out of fuel: the limit fuel = {limit} was reached")]
    OutOfFuel {
        /// The limit's value.
        limit: u64,
    },
    /// The call wanted more memory than allowed, and trapped over it.
    #[error("out of memory: the limit memory_bytes = {limit} was reached")]
    OutOfMemory {
        /// The limit's value.
        limit: u64,
    },
    /// The call took too long.
    #[error("deadline exceeded: the limit {name} = {limit} was reached", name = limit_name.name())]
    DeadlineExceeded {
        /// [`Limit::DeadlineMs`] or [`Limit::StartDeadlineMs`].
        limit_name: Limit,
        /// The limit's value in milliseconds.
        limit: u64,
    },
    /// The call went over another limit.
    #[error("the limit {limit} = {value} was reached")]
    LimitReached {
        /// Which one.
        limit: Limit,
        /// Its value.
        value: u64,
    },
    /// The plugin crashed, or broke the contract; the text is for the operator's log.
    #[error("trapped: {0}")]
    Trapped(String),
    /// The plugin used what it was not granted, where that ends the call.
    #[error("denied: {0}")]
    Denied(String),
    /// A hook did not let the step happen, or failed where it must not; the error's plugin is the hook's.
    #[error("hook-error at {point}: {}", fault.said().map_or_else(|| fault.to_string(), str::to_owned))]
    Hook {
        /// The hook point.
        point: String,
        /// What the hook said, or what it ended in.
        fault: Box<Fault>,
    },
    /// The plugin has used up what it may use in a minute.
    #[error("the limit {limit} = {value} was reached")]
    RateLimited {
        /// [`Limit::CallsPerMinute`] or [`Limit::FuelPerMinute`].
        limit: Limit,
        /// Its value.
        value: u64,
        /// How long to wait before trying again.
        retry_after_ms: u32,
    },
    /// The plugin cannot be called now: stopped, quarantined, too many calls waiting.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// For the caller.
        reason: String,
        /// How long to wait before trying again.
        retry_after_ms: Option<u32>,
    },
}

impl Fault {
    /// May the same call work later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transient { .. }
            | Self::DeadlineExceeded { .. }
            | Self::RateLimited { .. }
            | Self::Unavailable { .. } => true,
            Self::Hook { fault, .. } => fault.is_retryable(),
            _ => false,
        }
    }

    /// Does it count against the plugin's health? Ordinary answers and refusals by the host do not.
    #[must_use]
    pub fn is_fault_of_plugin(&self) -> bool {
        matches!(
            self,
            Self::OutOfFuel { .. }
                | Self::OutOfMemory { .. }
                | Self::DeadlineExceeded { .. }
                | Self::LimitReached { .. }
                | Self::Trapped(_)
        )
    }

    /// Is a stage of a run over after it? What it said itself, and being busy, leave it open: the same may be asked again.
    #[must_use]
    pub fn ends_stage(&self) -> bool {
        let busy = matches!(self, Self::RateLimited { .. } | Self::Unavailable { .. });
        self.said().is_none() && !busy
    }

    /// A stable word for metrics, logs and API answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Transient { .. } => "transient",
            Self::Refused(_) => "refused",
            Self::Internal(_) => "plugin_failed",
            Self::OutOfFuel { .. } => "out_of_fuel",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::LimitReached { .. } => "limit_reached",
            Self::Trapped(_) => "trapped",
            Self::Denied(_) => "denied",
            Self::Hook { .. } => "hook_error",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    /// The plugin's own words, where the fault is something the plugin said.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        match self {
            Self::Invalid(text) | Self::Refused(text) | Self::Internal(text) => Some(text),
            Self::Transient { message, .. } => Some(message),
            Self::OutOfFuel { .. }
            | Self::OutOfMemory { .. }
            | Self::DeadlineExceeded { .. }
            | Self::LimitReached { .. }
            | Self::Trapped(_)
            | Self::Denied(_)
            | Self::Hook { .. }
            | Self::RateLimited { .. }
            | Self::Unavailable { .. } => None,
        }
    }
}

/// Why a component did not become a plugin. The text is for the one who installs it; it names what was found and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are no WebAssembly component.
    #[error("not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// A component that is over a limit of admission.
    #[error("{what} is {found}, above the limit {limit} = {value}")]
    TooBig {
        /// What was counted.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// The limit.
        limit: Limit,
        /// Its value.
        value: u64,
    },
    /// It imports what this host does not have.
    #[error("imports {interface}, {reason}")]
    UnknownImport {
        /// The interface.
        interface: String,
        /// Why it is not there.
        reason: String,
    },
    /// It imports, or its manifest asks for, what the operator has not granted.
    #[error("asks for {interface}, which needs a grant; to grant it, write in {file}: {line}")]
    MissingGrant {
        /// The interface, or `the hook at ..`, `the topic ..`.
        interface: String,
        /// The file the line belongs in.
        file: String,
        /// The line that would grant it.
        line: String,
    },
    /// It lacks `lifecycle` or any role.
    #[error("exports no {0}")]
    MissingExport(String),
    /// The compiler gave up on it.
    #[error("did not compile: {0}")]
    Compile(String),
    /// Its manifest does not fit.
    #[error("its manifest does not fit: {0}")]
    Manifest(String),
    /// Its valves, or values given for them, do not fit.
    #[error("its valves do not fit: {0}")]
    Valves(String),
    /// The operator's settings for it do not fit.
    #[error("its settings do not fit: {0}")]
    Settings(String),
    /// Another file already provides a plugin of this id.
    #[error("its id {id} is already provided by {file}")]
    DuplicateId {
        /// The id.
        id: String,
        /// The file that has it.
        file: String,
    },
    /// What it depends on is missing, does not fit, depends on it in turn, or did not start.
    #[error("{reason}{}", chain_of(.chain))]
    Dependency {
        /// A sentence.
        reason: String,
        /// From this plugin to the one that is at fault, by their ids.
        chain: Vec<String>,
    },
    /// A hook at `plugin_load` did not let it in.
    #[error("plugin {hook} refused it: {fault}")]
    Refused {
        /// The hook's plugin.
        hook: String,
        /// What it said, or what it ended in.
        fault: Fault,
    },
    /// One of the calls a start consists of failed.
    #[error("{call} did not succeed: {fault}")]
    Start {
        /// `describe`, `spec`, `init`, `start`, `snapshot` or `restore`.
        call: &'static str,
        /// What happened.
        fault: Fault,
    },
    /// Our own fault: disk, processes.
    #[error("the host could not load it: {0}")]
    Host(String),
}

/// The chain for a message; the middle of a long one is left out.
fn chain_of(chain: &[String]) -> String {
    const SHOWN: usize = 10;
    let parts: Vec<&str> = chain.iter().map(String::as_str).collect();
    if parts.len() < 2 {
        return String::new();
    }
    let (first, rest) = parts.split_at(SHOWN.min(parts.len()));
    let joined = match rest {
        [] => first.join(" -> "),
        [last] => format!("{} -> {last}", first.join(" -> ")),
        [between @ .., last] => {
            format!(
                "{} -> ({} more) -> {last}",
                first.join(" -> "),
                between.len()
            )
        }
    };
    format!(" (the chain: {joined})")
}

impl LoadError {
    /// A stable word for API answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAComponent(_) => "not_a_component",
            Self::TooBig { .. } => "too_big",
            Self::UnknownImport { .. } => "unknown_import",
            Self::MissingGrant { .. } => "missing_grant",
            Self::MissingExport(_) => "missing_export",
            Self::Compile(_) => "compile_failed",
            Self::Manifest(_) => "bad_manifest",
            Self::Valves(_) => "bad_valves",
            Self::Settings(_) => "bad_settings",
            Self::DuplicateId { .. } => "duplicate_id",
            Self::Dependency { .. } => "dependency",
            Self::Refused { .. } => "hook_error",
            Self::Start {
                call: "init",
                fault: Fault::Invalid(_),
            } => "refused_config",
            Self::Start { .. } => "start_failed",
            Self::Host(_) => "host",
        }
    }
}
