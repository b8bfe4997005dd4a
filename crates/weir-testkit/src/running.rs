//! A running kit as a test holds it: what there is to see, and the frame around every call. The calls themselves are `running/calls.rs`.

mod calls;
mod stages;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::events::Event;
use model::grants::Capability;
use model::id::PluginId;
use model::plugin::Usage;
use model::ports::Clock;
use serde_json::Value;

use crate::fakes::clock::instant;
use crate::logs::LogLine;
use crate::outcome::{EventSeen, Failed, Outcome, Reply, Used};
use crate::upstream::Sent;
use crate::world::World;

/// Most events of one look at the bus.
const MAX_EVENTS: usize = 100_000;
/// How often to look whether everything is delivered.
const LOOK: Duration = Duration::from_millis(1);

/// A running kit. A clone is the same kit. Dropping the last one ends the plugins without their `stop`; [`Running::stop`] is for that.
#[derive(Debug, Clone)]
pub struct Running {
    pub(crate) world: Arc<World>,
    /// The plugin that calls go to.
    pub(crate) target: PluginId,
}

/// How far things were when a call began.
struct Before {
    usage: Usage,
    event: u64,
    lines: usize,
    requests: usize,
}

impl Running {
    pub(crate) fn new(world: World) -> Self {
        Self {
            target: world.first.clone(),
            world: Arc::new(world),
        }
    }

    /// The same kit, with calls going to another of its plugins.
    ///
    /// # Panics
    /// If the kit has no plugin of this id.
    #[must_use]
    #[track_caller]
    #[expect(clippy::panic, reason = "a wrong test")]
    pub fn on(&self, plugin: &str) -> Self {
        let found = self.world.plugins.iter().find(|id| id.as_str() == plugin);
        let Some(target) = found else {
            let there: Vec<_> = self.world.plugins.iter().map(PluginId::as_str).collect();
            panic!(
                "the kit has no plugin {plugin:?}; there are: {}",
                there.join(", ")
            );
        };
        Self {
            world: Arc::clone(&self.world),
            target: target.clone(),
        }
    }

    /// The id of the plugin that calls go to.
    #[must_use]
    pub fn id(&self) -> &str {
        self.target.as_str()
    }

    /// The ids of all plugins, in the order in which they were added.
    #[must_use]
    pub fn plugins(&self) -> Vec<&str> {
        self.world.plugins.iter().map(PluginId::as_str).collect()
    }

    /// What the plugin's life has come to: `started`, `stopped`, `failed`, `quarantined`, ..
    #[must_use]
    pub fn life(&self) -> &'static str {
        let status = self.world.engine.plugin(self.id());
        status.map_or("gone", |s| s.state.as_str())
    }

    /// What the plugin has used since the kit started; `time` is zero.
    #[must_use]
    pub fn used(&self) -> Used {
        self.used_since(&Usage::default(), Duration::ZERO)
    }

    /// Moves the clock forward, for the plugins and for the host around them.
    pub fn advance(&self, by: Duration) {
        self.world.clock.advance(by);
    }

    /// What the clock shows.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.world.clock.now()
    }

    /// What the plugin keeps in its state.
    #[must_use]
    pub fn state(&self) -> BTreeMap<String, Vec<u8>> {
        self.world.watch.state.of(&self.target)
    }

    /// Puts a value into the plugin's state, whatever its quota.
    pub fn set_state(&self, key: &str, value: impl AsRef<[u8]>) {
        let (key, value) = (key.to_owned(), value.as_ref().to_vec());
        self.world.watch.state.seed(&self.target, key, value);
    }

    /// The events since the kit started, the host's own included: at most the last 10,000.
    pub async fn events(&self) -> Vec<EventSeen> {
        self.events_since(self.world.first_event).await
    }

    /// The lines that plugins have logged since the kit started, and the host's warnings; at most 10,000.
    #[must_use]
    pub fn log(&self) -> Vec<LogLine> {
        self.world.log.after(0)
    }

    /// The HTTP requests that plugins have sent since the kit started; at most 10,000.
    #[must_use]
    pub fn requests(&self) -> Vec<Sent> {
        self.world.routes.sent_after(0)
    }

    /// What a server would show at `/api/v1/metrics`, the plugins' own metrics included: OpenMetrics text.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.world.engine.metrics()
    }

    /// Waits until no event and no cast is under way. False if some still are when the kit's patience ends.
    pub async fn settle(&self) -> bool {
        let engine = Arc::clone(&self.world.engine);
        let settled = async move {
            while !engine.is_settled() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let patience = self.world.patience;
        // The timer is the kit's, as its threads are: the caller's runtime may have none.
        let within = async move { tokio::time::timeout(patience, settled).await.is_ok() };
        self.world.run(within).await
    }

    /// Stops all plugins in order, dependants first. The kit can be looked at afterwards, and calls are refused.
    pub async fn stop(&self) {
        let engine = Arc::clone(&self.world.engine);
        let within = self.world.patience;
        self.world
            .run(async move { engine.shutdown(within).await })
            .await;
    }

    fn before(&self) -> Before {
        Before {
            usage: self.usage(),
            event: self.world.bus.last(),
            lines: self.world.log.count(),
            requests: self.world.routes.count(),
        }
    }

    /// Makes a call, waits for what it has set off, and gathers what is known of it.
    async fn observe(
        &self,
        call: &str,
        work: impl Future<Output = Result<Reply, Failed>> + Send + 'static,
    ) -> Outcome {
        let before = self.before();
        let begin = instant();
        let result = self.world.run(work).await;
        let time = begin.elapsed();
        let settled = self.settle().await;
        let mut log = self.world.log.after(before.lines);
        if !settled {
            log.push(LogLine {
                plugin: String::new(),
                level: "warn",
                message: "events or casts were still under way when the kit's patience ended"
                    .into(),
                fields: format!("patience={:?}", self.world.patience),
            });
        }
        Outcome {
            call: format!("{call} of {}", self.target),
            result,
            used: self.used_since(&before.usage, time),
            events: self.events_since(before.event).await,
            log,
            requests: self.world.routes.sent_after(before.requests),
            step: None,
        }
    }

    fn usage(&self) -> Usage {
        let status = self.world.engine.plugin(self.id());
        status.map(|s| s.usage).unwrap_or_default()
    }

    fn used_since(&self, before: &Usage, time: Duration) -> Used {
        let status = self.world.engine.plugin(self.id());
        let (now, settings) = status.map(|s| (s.usage, s.settings)).unwrap_or_default();
        let uses = now.capabilities.iter().zip(&before.capabilities);
        let denied = Capability::ALL
            .iter()
            .zip(uses)
            .map(|(c, (now, then))| (c.name().to_owned(), now.denied.saturating_sub(then.denied)))
            .filter(|(_, times)| *times > 0);
        Used {
            fuel: now.fuel.saturating_sub(before.fuel),
            memory: now.memory_high_water,
            host_calls: now.host_calls.saturating_sub(before.host_calls),
            http_requests: now.http_requests.saturating_sub(before.http_requests),
            time,
            denied: denied.collect(),
            limits: settings.map(|s| s.limits.clone()).unwrap_or_default(),
        }
    }

    async fn events_since(&self, id: u64) -> Vec<EventSeen> {
        let bus = &self.world.bus;
        if bus.last() <= id {
            return Vec::new();
        }
        let heard = bus.after(id, Arc::default(), MAX_EVENTS).await;
        heard.events.iter().map(|e| seen(e)).collect()
    }
}

fn seen(event: &Event) -> EventSeen {
    EventSeen {
        topic: event.topic.to_string(),
        origin: event.origin.to_string(),
        payload: serde_json::from_str(&event.payload)
            .unwrap_or_else(|_| Value::String(event.payload.to_string())),
    }
}
