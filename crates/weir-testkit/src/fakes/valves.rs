//! Valves that people have set, in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use model::BoxFuture;
use model::id::PluginId;
use model::ports::{StoreError, ValveStore};

use super::lock;

/// Values by plugin, as JSON text.
#[derive(Debug, Default)]
pub(crate) struct Valves(pub(crate) Mutex<BTreeMap<PluginId, String>>);

impl ValveStore for Valves {
    fn read(&self, plugin: PluginId) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        let values = lock(&self.0).get(&plugin).cloned();
        Box::pin(std::future::ready(Ok(values)))
    }

    fn write(&self, plugin: PluginId, json: String) -> BoxFuture<'static, Result<(), StoreError>> {
        lock(&self.0).insert(plugin, json);
        Box::pin(std::future::ready(Ok(())))
    }
}
