//! Stores for single components, for `check` and `invoke`: the engine loads them as it would from a folder, and nothing is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::BoxFuture;
use model::component::{ComponentFile, FileName};
use model::id::PluginId;
use model::ports::{ComponentStore, StoreError, ValveStore};

/// A folder that holds these components and the settings beside them, wherever they lie.
#[derive(Debug)]
pub(crate) struct OneFile {
    paths: BTreeMap<FileName, PathBuf>,
}

impl OneFile {
    /// The component at this path, and those beside it that it works with.
    pub(crate) fn new(path: &Path, with: &[PathBuf]) -> anyhow::Result<Self> {
        let all = std::iter::once(path).chain(with.iter().map(PathBuf::as_path));
        Self::all(all)
    }

    /// The components at these paths.
    pub(crate) fn of(paths: &[PathBuf]) -> anyhow::Result<Self> {
        Self::all(paths.iter().map(PathBuf::as_path))
    }

    fn all<'a>(all: impl Iterator<Item = &'a Path>) -> anyhow::Result<Self> {
        let mut paths = BTreeMap::new();
        for path in all {
            let name = file_name(path)?;
            if paths.insert(name.clone(), path.to_owned()).is_some() {
                anyhow::bail!("two of the components have the file name {name}");
            }
        }
        Ok(Self { paths })
    }

    fn path(&self, name: &FileName) -> Option<PathBuf> {
        self.paths.get(name).cloned()
    }
}

/// The name of a component file, as a folder would have it.
pub(crate) fn file_name(path: &Path) -> anyhow::Result<FileName> {
    let name = path.file_name().and_then(|n| n.to_str());
    Ok(FileName::new(name.unwrap_or_default())?)
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
        let names = self.paths.keys().cloned().collect();
        Box::pin(async { Ok(names) })
    }

    fn read(
        &self,
        name: FileName,
        max_bytes: u64,
    ) -> BoxFuture<'static, Result<Option<ComponentFile>, StoreError>> {
        let path = self.path(&name);
        Box::pin(async move {
            let Some(path) = path else { return Ok(None) };
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
        let path = self.path(&name);
        Box::pin(async move {
            let Some(path) = path else { return Ok(None) };
            let path = path.with_file_name(name.settings_file());
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
