//! The plugins folder of a kit: component files and their settings in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use model::BoxFuture;
use model::component::{ComponentFile, FileName};
use model::ports::{ComponentStore, StoreError};

use super::lock;

/// Component files by their names, each with its settings.
#[derive(Debug, Default)]
pub(crate) struct Components {
    files: Mutex<BTreeMap<FileName, (Bytes, Option<String>)>>,
}

impl Components {
    /// Puts a file in; false if there is one of that name.
    pub(crate) fn add(&self, name: FileName, bytes: Bytes, settings: Option<String>) -> bool {
        let mut files = lock(&self.files);
        let is_new = !files.contains_key(&name);
        if is_new {
            files.insert(name, (bytes, settings));
        }
        is_new
    }
}

fn ready<T: Send + 'static>(value: T) -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(std::future::ready(Ok(value)))
}

impl ComponentStore for Components {
    fn list(&self) -> BoxFuture<'static, Result<Vec<FileName>, StoreError>> {
        ready(lock(&self.files).keys().cloned().collect())
    }

    fn read(
        &self,
        name: FileName,
        max_bytes: u64,
    ) -> BoxFuture<'static, Result<Option<ComponentFile>, StoreError>> {
        let bytes = lock(&self.files).get(&name).map(|(bytes, _)| bytes.clone());
        if let Some(bytes) = &bytes
            && bytes.len() as u64 > max_bytes
        {
            let source = std::io::Error::other(format!(
                "it has {} bytes; at most {max_bytes} are read",
                bytes.len()
            ));
            let error = StoreError {
                what: name.to_string(),
                source: Arc::new(source),
            };
            return Box::pin(std::future::ready(Err(error)));
        }
        ready(bytes.map(|bytes| ComponentFile { name, bytes }))
    }

    fn read_settings(
        &self,
        name: FileName,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        let settings = lock(&self.files).get(&name).and_then(|(_, s)| s.clone());
        ready(settings)
    }

    fn write(&self, file: ComponentFile) -> BoxFuture<'static, Result<(), StoreError>> {
        let mut files = lock(&self.files);
        let settings = files.get(&file.name).and_then(|(_, s)| s.clone());
        files.insert(file.name, (file.bytes, settings));
        ready(())
    }

    fn remove(&self, name: FileName) -> BoxFuture<'static, Result<bool, StoreError>> {
        ready(lock(&self.files).remove(&name).is_some())
    }
}
