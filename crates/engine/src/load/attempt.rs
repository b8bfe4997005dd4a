//! What there is to load: the file, its settings, and whether either has changed since it was tried last. Loading it is the parent's business.

use model::component::{ComponentFile, FileName, Origin};
use model::error::LoadError;
use model::limits::Limit;
use sha2::Digest as _;

use super::{Attempt, Source};
use crate::Engine;
use crate::catalog::{Digest, Entry, EntryState, Tried};
use crate::status::{PluginState, state_of};

impl Engine {
    /// What there is to load; none if nothing has changed.
    pub(super) async fn attempt(&self, source: Source) -> Result<Option<Attempt>, LoadError> {
        let by_itself = matches!(source, Source::Crashed(_));
        let (file, origin, store, force) = match source {
            Source::Client(file, origin) => (file, origin, true, true),
            Source::Folder { name, force } => {
                let Some(file) = self.read(name).await? else {
                    return Ok(None);
                };
                (file, Origin::Folder, false, force)
            }
            Source::Crashed(name) => {
                let Some(file) = self.read(name).await? else {
                    return Ok(None);
                };
                (file, Origin::Folder, false, true)
            }
            Source::Stopped(name) => {
                let catalog = self.catalog.load_full();
                let entry = catalog.entries.get(&name);
                if entry.is_some_and(|e| state_of(e) == PluginState::Started) {
                    return Ok(None);
                }
                let file = self.read(name).await?;
                let file = file.ok_or_else(|| LoadError::Host("its file is gone".into()))?;
                (file, Origin::Folder, false, true)
            }
        };
        let settings = self.ports.components.read_settings(file.name.clone()).await;
        let settings = settings.map_err(|e| LoadError::Host(e.to_string()))?;
        let tried = Tried {
            digest: digest(&file).await?,
            settings: settings.map(Into::into),
        };
        let catalog = self.catalog.load();
        let entry = catalog.entries.get(&file.name);
        if !force && entry.is_some_and(|e| self.is_as_it_was(e, &tried)) {
            return Ok(None);
        }
        let has_changed = entry.is_none_or(|e| e.tried.as_ref() != Some(&tried));
        let origin = match (store, entry) {
            // What was uploaded stays so while its content does.
            (false, Some(e)) if e.tried.as_ref().is_some_and(|t| t.digest == tried.digest) => {
                e.origin.clone()
            }
            _ => origin,
        };
        Ok(Some(Attempt {
            file,
            origin,
            store,
            tried,
            anew: (force && !by_itself) || has_changed,
        }))
    }

    async fn read(&self, name: FileName) -> Result<Option<ComponentFile>, LoadError> {
        let most = self.options.ceilings.get(Limit::ComponentBytes);
        let file = self.ports.components.read(name, most).await;
        file.map_err(|e| LoadError::Host(e.to_string()))
    }

    /// Would loading it again come to the same?
    fn is_as_it_was(&self, entry: &Entry, tried: &Tried) -> bool {
        if matches!(entry.state, EntryState::Stopped) {
            return true;
        }
        let failure = entry.failure().or(entry.last_error.as_ref());
        let may_work_now = match failure.and_then(|f| f.error.as_ref()) {
            Some(LoadError::Host(_) | LoadError::Dependency { .. }) => true,
            Some(LoadError::DuplicateId { id, file }) => {
                self.holder(id).is_none_or(|f| f.as_str() != file)
            }
            _ => false,
        };
        entry.tried.as_ref() == Some(tried) && !may_work_now
    }
}

async fn digest(file: &ComponentFile) -> Result<Digest, LoadError> {
    let bytes = file.bytes.clone();
    // A component may have tens of megabytes: not on a thread that serves calls.
    let hashing = tokio::task::spawn_blocking(move || sha2::Sha256::digest(&bytes).into());
    hashing
        .await
        .map_err(|e| LoadError::Host(format!("hashing broke off: {e}")))
}
