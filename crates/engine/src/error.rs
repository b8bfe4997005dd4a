//! Why a change of the catalog or of valves did not work. Faults of calls are `model::error::StageError`.

use model::error::{LoadError, StageError};
use model::id::PluginId;
use model::ports::{EgressError, StoreError};
use model::valves::ValveError;

/// Why a plugin could not be reloaded, deleted, stopped or started.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ManageError {
    /// No plugin has this id, and no failed file this stem.
    #[error("there is no plugin {0:?}")]
    NotFound(String),
    /// It did not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Others at work cannot do without it.
    #[error("it is needed by {}; with force they are taken down first", list(.by))]
    Needed {
        /// Who they are, directly or not: those first that need the others.
        by: Vec<PluginId>,
    },
    /// A hook at `plugin_unload` did not let it go.
    #[error("{0}; with force it goes all the same")]
    Refused(StageError),
    /// The folder of components did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host is shutting down.
    #[error("the host is shutting down")]
    ShuttingDown,
}

/// Why a plugin could not be added by URL.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AddError {
    /// The text is no absolute http or https URL.
    #[error("{given:?} is not an absolute http or https URL: {reason}")]
    Url {
        /// The text.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The request was not allowed, or failed.
    #[error("cannot fetch the component: {0}")]
    Fetch(#[from] EgressError),
    /// The server did not answer 200.
    #[error("the server answered {0}; 200 is needed")]
    Status(u16),
    /// The component is larger than a component may be.
    #[error("the component has more than {limit} bytes (component_bytes)")]
    TooBig {
        /// The limit.
        limit: u64,
    },
    /// Fetching took too long.
    #[error("fetching the component took longer than {0} s")]
    Timeout(u64),
    /// It came, but did not load.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Why valves could not be shown or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ValvesError {
    /// No loaded plugin has this id.
    #[error("there is no plugin {0:?}")]
    NotFound(String),
    /// The plugin has no valves.
    #[error("plugin {0:?} has no valves")]
    NoValves(String),
    /// Values do not fit the spec; nothing was changed.
    #[error("{}", join(.0))]
    Invalid(Vec<ValveError>),
    /// The plugin's `valves.updated` failed. The new values are kept all the same.
    #[error(transparent)]
    Hook(StageError),
    /// The values could not be stored; nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn join(errors: &[ValveError]) -> String {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn list(ids: &[PluginId]) -> String {
    let texts: Vec<_> = ids.iter().map(PluginId::as_str).collect();
    texts.join(", ")
}
