//! The same kit for tests that are not `async`: every call waits for its end.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::runtime::Builder;

use crate::error::KitError;
use crate::kit::Kit;
use crate::logs::LogLine;
use crate::outcome::{EventSeen, Outcome, Used};
use crate::upstream::Sent;

/// A running kit, for tests that are not `async`. What the calls do is said at [`crate::Running`].
///
/// Calls panic in `async` code: there, [`Kit::start`] is the one to use.
#[derive(Debug, Clone)]
pub struct Running(crate::Running);

/// Starts a kit and waits until its plugins have started.
pub(crate) fn start(kit: Kit) -> Result<Running, KitError> {
    // Only to wait on: the kit has its own threads.
    let waiting = Builder::new_current_thread().build();
    let waiting = waiting.map_err(|e| KitError::Setup(format!("cannot start threads: {e}")))?;
    waiting.block_on(kit.start()).map(Running)
}

impl Running {
    /// As [`crate::Running::on`].
    ///
    /// # Panics
    /// If the kit has no plugin of this id.
    #[must_use]
    #[track_caller]
    pub fn on(&self, plugin: &str) -> Self {
        Self(self.0.on(plugin))
    }

    /// As [`crate::Running::id`].
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.id()
    }

    /// As [`crate::Running::plugins`].
    #[must_use]
    pub fn plugins(&self) -> Vec<&str> {
        self.0.plugins()
    }

    /// As [`crate::Running::life`].
    #[must_use]
    pub fn life(&self) -> &'static str {
        self.0.life()
    }

    /// As [`crate::Running::used`].
    #[must_use]
    pub fn used(&self) -> Used {
        self.0.used()
    }

    /// As [`crate::Running::advance`].
    pub fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    /// As [`crate::Running::now`].
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.0.now()
    }

    /// As [`crate::Running::state`].
    #[must_use]
    pub fn state(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.state()
    }

    /// As [`crate::Running::set_state`].
    pub fn set_state(&self, key: &str, value: impl AsRef<[u8]>) {
        self.0.set_state(key, value);
    }

    /// As [`crate::Running::log`].
    #[must_use]
    pub fn log(&self) -> Vec<LogLine> {
        self.0.log()
    }

    /// As [`crate::Running::requests`].
    #[must_use]
    pub fn requests(&self) -> Vec<Sent> {
        self.0.requests()
    }

    /// As [`crate::Running::metrics`].
    #[must_use]
    pub fn metrics(&self) -> String {
        self.0.metrics()
    }

    /// As [`crate::Running::hook_with`].
    pub fn hook_with(
        &self,
        point: &str,
        context: &Value,
        step: impl FnOnce(Value) -> Result<Value, String> + Send + 'static,
    ) -> Outcome {
        self.wait(self.0.hook_with(point, context, step))
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.world.handle.block_on(future)
    }
}

macro_rules! waiting {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        impl Running {
            $(
                #[doc = concat!("As [`crate::Running::", stringify!($name), "`].")]
                pub fn $name(&self, $($argument: $kind),*) -> $answer {
                    self.wait(self.0.$name($($argument),*))
                }
            )*
        }
    };
}

waiting! {
    chat(message: &str) -> Outcome;
    chat_with(model: &str, message: &str) -> Outcome;
    chat_body(body: Value) -> Outcome;
    inlet(body: &Value, user: &Value) -> Outcome;
    outlet(body: &Value, user: &Value) -> Outcome;
    models() -> Outcome;
    valves(values: &Value) -> Outcome;
    describe() -> Outcome;
    emit(topic: &str, payload: &Value) -> Outcome;
    emit_as(origin: &str, topic: &str, payload: &Value) -> Outcome;
    peer(caller: &str, method: &str, payload: &Value) -> Outcome;
    cast(caller: &str, method: &str, payload: &Value) -> Outcome;
    hook(point: &str, context: &Value, result: &Value) -> Outcome;
    read(config: &Value, cursor: Option<&Value>) -> Outcome;
    read_window(config: &Value, cursor: Option<&Value>, window: Option<(&str, &str)>) -> Outcome;
    transform(config: &Value, batches: &[Vec<Value>]) -> Outcome;
    write(config: &Value, batches: &[Vec<Value>]) -> Outcome;
    reload() -> Outcome;
    events() -> Vec<EventSeen>;
    settle() -> bool;
    stop() -> ();
}
