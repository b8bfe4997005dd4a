//! Stores for a single component, for `check` and `invoke`: the engine loads it as it would from a folder, and nothing is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::BoxFuture;
use model::component::{ComponentFile, FileName};
use model::id::PluginId;
use model::ports::{ComponentStore, StoreError, ValveStore};

/// A folder that holds one component and its settings.
#[derive(Debug)]
pub(crate) struct OneFile {
    path: PathBuf,
    name: FileName,
}

impl OneFile {
    /// The component at this path.
    pub(crate) fn new(path: &Path) -> anyhow::Result<Self> {
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        Ok(Self {
            path: path.to_owned(),
            name: FileName::new(name)?,
        })
    }
}

fn failed(path: &Path, source: std::io::Error) -> StoreError {
    StoreError {
        what: path.display().to_string(),
        source: Arc::new(source),
    }
}

fn read_only<T: Send + 'static>() -> BoxFuture<'static, Result<T, StoreError>> {
    let error = std::io::Error::new(
        std::io::ErrorKind::ReadOnlyFilesystem,
        "nothing is written here",
    );
    Box::pin(async { Err(failed(Path::new("one file"), error)) })
}

impl ComponentStore for OneFile {
    fn list(&self) -> BoxFuture<'static, Result<Vec<FileName>, StoreError>> {
        let names = vec![self.name.clone()];
        Box::pin(async { Ok(names) })
    }

    fn read(
        &self,
        name: FileName,
        max_bytes: u64,
    ) -> BoxFuture<'static, Result<Option<ComponentFile>, StoreError>> {
        let path = self.path.clone();
        Box::pin(async move {
            let size = tokio::fs::metadata(&path)
                .await
                .map_err(|e| failed(&path, e))?
                .len();
            if size > max_bytes {
                let error = std::io::Error::other(format!(
                    "it has {size} bytes; at most {max_bytes} are read"
                ));
                return Err(failed(&path, error));
            }
            let bytes = tokio::fs::read(&path).await.map_err(|e| failed(&path, e))?;
            Ok(Some(ComponentFile {
                name,
                bytes: bytes.into(),
            }))
        })
    }

    fn read_settings(
        &self,
        name: FileName,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        let path = self.path.with_file_name(name.settings_file());
        Box::pin(async move {
            match tokio::fs::read_to_string(&path).await {
                Ok(text) => Ok(Some(text)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(failed(&path, e)),
            }
        })
    }

    fn write(&self, _file: ComponentFile) -> BoxFuture<'static, Result<(), StoreError>> {
        read_only()
    }

    fn remove(&self, _name: FileName) -> BoxFuture<'static, Result<bool, StoreError>> {
        read_only()
    }
}

/// No kept valves; changes last as long as the process.
#[derive(Debug)]
pub(crate) struct NoValves;

impl ValveStore for NoValves {
    fn read(&self, _plugin: PluginId) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    fn write(
        &self,
        _plugin: PluginId,
        _json: String,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}
