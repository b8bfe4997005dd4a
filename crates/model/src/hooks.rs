//! Hook points, modes, and what a manifest says about hooks. Running hooks is the engine's business.
//!
//! Adding a core point is one line in the table below and one file with its schemas in `hooks/`.

use std::fmt;
use std::sync::Arc;

use crate::BoxFuture;
use crate::error::Fault;

/// How a hook stands to the step at its point.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Before the step: may change the context, or refuse.
    Before,
    /// After it: may change the result, or refuse.
    After,
    /// Around it: lets it happen once, or not at all.
    Around,
    /// In its place.
    Replace,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Before, Self::After, Self::Around, Self::Replace];

    /// Its name in manifests, logs and API answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Around => "around",
            Self::Replace => "replace",
        }
    }

    /// What happens where a hook of this mode traps or runs into a limit and its manifest does not say.
    #[must_use]
    pub fn on_failure(self) -> OnFailure {
        match self {
            Self::After => OnFailure::Skip,
            Self::Before | Self::Around | Self::Replace => OnFailure::Fail,
        }
    }
}

/// What happens when a hook traps or runs into a limit. A hook that refuses is always heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The step fails.
    Fail,
    /// As if there were no such hook.
    Skip,
}

/// A hook as a manifest declares it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct HookDeclaration {
    /// Where.
    pub point: PointName,
    /// How.
    pub mode: Mode,
    /// The lowest is outermost and first.
    pub priority: i32,
    /// What happens when it crashes.
    pub on_failure: OnFailure,
}

/// The priority of a hook whose manifest does not say.
pub const DEFAULT_PRIORITY: i32 = 50;

/// The name of a point: a core point's, or `<plugin id>/<name>` of one that a plugin defines.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PointName(Arc<str>);

impl PointName {
    /// Checks a name: a core point's, or one with a `/`, at most 200 bytes.
    ///
    /// # Errors
    /// A sentence with the name given and the core points.
    pub fn new(text: &str) -> Result<Self, String> {
        let of_plugin = text
            .rsplit_once('/')
            .is_some_and(|(id, name)| crate::id::PluginId::new(id).is_ok() && is_own_name(name));
        if of_plugin || Point::by_name(text).is_some() {
            return Ok(Self(text.into()));
        }
        let given: String = text.chars().take(200).collect();
        let core: Vec<_> = Point::ALL.iter().map(|p| p.name()).collect();
        Err(format!(
            "{given:?} is not a hook point; there are {}, and <plugin id>/<name> of points that plugins define",
            core.join(", ")
        ))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The core point of this name.
    #[must_use]
    pub fn core(&self) -> Option<Point> {
        Point::by_name(&self.0)
    }
}

/// Is it a name for a point that a plugin defines: 1 to 64 of `a-z 0-9 _`?
#[must_use]
pub fn is_own_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl std::borrow::Borrow<str> for PointName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl serde::Serialize for PointName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What is to be known of a core point.
#[derive(Debug, Clone, Copy)]
pub struct PointSpec {
    /// Its name.
    pub name: &'static str,
    /// The step, for people.
    pub what: &'static str,
    /// Modes a hook may have here.
    pub modes: &'static [Mode],
    /// Does this version of Weir take the step at all? Hooks at the other points are kept until one does.
    pub fires: bool,
    /// JSON: `{"context": <schema>, "result": <schema>}`.
    pub schemas: &'static str,
}

macro_rules! points {
    ($($point:ident $name:literal $modes:ident $fires:ident $what:literal;)*) => {
        /// A core hook point.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum Point {
            $(#[doc = $what] $point),*
        }

        impl Point {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$point),*];
            const SPECS: &'static [PointSpec] = &[$(PointSpec {
                name: $name,
                what: $what,
                modes: $modes,
                fires: $fires,
                schemas: include_str!(concat!("hooks/", $name, ".json")),
            }),*];
        }
    };
}

const ALL: &[Mode] = &Mode::ALL;
const AROUND: &[Mode] = &[Mode::Before, Mode::After, Mode::Around];
const BESIDE: &[Mode] = &[Mode::Before, Mode::After];
/// The step is taken today.
const NOW: bool = true;

points! {
    PluginLoad "plugin_load" AROUND NOW "A component has described itself and is about to be loaded and started";
    PluginUnload "plugin_unload" BESIDE NOW "An operator stops or deletes a plugin";
    ValidatePipeline "validate_pipeline" ALL NOW "A pipeline spec is checked as a whole";
    ValidateStage "validate_stage" ALL NOW "One stage of a pipeline spec is checked";
    RunStart "run_start" AROUND NOW "A run is about to begin";
    StageExecute "stage_execute" ALL NOW "A stage of a run is about to be opened; after hooks: the stages of a run are over";
    RunComplete "run_complete" BESIDE NOW "A run has ended, one way or the other, and is about to be recorded";
    ChatRequest "chat_request" ALL NOW "A chat is about to be answered by a plugin";
    ChatReply "chat_reply" BESIDE NOW "A chat's answer is complete: about to be sent, or, if it was streamed, sent";
    Inlet "inlet" ALL NOW "A filter is about to change a request";
    Outlet "outlet" ALL NOW "A filter is about to change an answer";
    WebhookReceived "webhook_received" BESIDE NOW "A webhook came in, and its signature is good";
    EventEmitted "event_emitted" BESIDE NOW "A plugin emits an event";
}

impl Point {
    /// What is to be known of it.
    #[must_use]
    pub fn spec(self) -> PointSpec {
        // The tables are made by one macro, in the order of the enum (a test checks it).
        Self::SPECS
            .get(self as usize)
            .copied()
            .unwrap_or(PointSpec {
                name: "?",
                what: "?",
                modes: &[],
                fires: false,
                schemas: "{}",
            })
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// The point of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|p| p.name() == name)
    }
}

/// The rest of what happens at a point, for an `around` hook.
pub trait Next: Send + 'static {
    /// Runs the inner hooks and the step with this context, JSON text; returns the result, JSON text. It can be run once.
    fn run(self: Box<Self>, context: String) -> BoxFuture<'static, Result<String, Fault>>;
}

/// One call of a hook.
pub struct HookCall {
    /// The point's name.
    pub point: PointName,
    /// Which of the plugin's functions.
    pub mode: Mode,
    /// JSON text: the context; for `after` an object with `context` and `result`.
    pub context: String,
    /// For `around`: the rest.
    pub next: Option<Box<dyn Next>>,
}

impl fmt::Debug for HookCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.mode.as_str(), self.point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum_and_every_schema_is_json() {
        for (index, point) in Point::ALL.iter().enumerate() {
            assert_eq!(*point as usize, index);
            let spec = point.spec();
            let schemas: serde_json::Value = serde_json::from_str(spec.schemas).unwrap();
            for half in ["context", "result"] {
                assert_eq!(schemas[half]["type"], "object", "{} {half}", spec.name);
            }
        }
    }

    #[test]
    fn names_of_points() {
        for good in ["chat_request", "bridge/before_send", "org/p/x"] {
            assert_eq!(PointName::new(good).unwrap().as_str(), good);
        }
        for bad in ["chat_requests", "", "/x", "a/", "a/B", "../x"] {
            let e = PointName::new(bad).unwrap_err();
            assert!(e.contains("chat_request"), "{e}");
        }
    }
}
