//! A look at the folders: what is new or changed is registered, what is gone is removed. By content, not by time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::id::PipelineId;
use model::pipeline::Pipeline;
use model::ports::StoreError;

use super::{Discovery, Entry, SpecError};
use crate::slot::lock;
use crate::spec;

/// The text of a file, as it was read.
type Text = Result<String, StoreError>;

impl Discovery {
    /// Looks at the folders. A spec that does not fit is listed with what is wrong with it, and the last version that did stays registered; it is tried again at each
    /// look, since what it names may be there by then.
    pub async fn look(&self) {
        let _turn = self.turn.lock().await;
        let files = match self.store.list().await {
            Ok(files) => files,
            Err(error) => {
                tracing::error!(%error, "the folders of specs cannot be read");
                return;
            }
        };
        let mut texts = Vec::new();
        for file in files {
            match self.store.read(file.clone()).await {
                Ok(Some(text)) => texts.push((file, Ok(text))),
                Ok(None) => {}
                Err(error) => texts.push((file, Err(error))),
            }
        }
        self.forget(&texts);
        let pending: Vec<_> = texts
            .into_iter()
            .filter(|(file, text)| self.is_new(file, text))
            .collect();
        let ids = self.ids(&pending).await;
        self.give_up(&pending, &ids);
        let beside: BTreeMap<_, _> = ids
            .values()
            .map(|p| (p.id.clone(), Arc::clone(p)))
            .collect();
        for (file, text) in pending {
            self.take(file, text, &beside).await;
        }
    }

    /// Removes what came from files that are gone.
    fn forget(&self, there: &[(PathBuf, Text)]) {
        let mut files = lock(&self.files);
        files.retain(|file, entry| {
            let stays = there.iter().any(|(path, _)| path == file);
            if let (false, Some(id)) = (stays, &entry.provides) {
                self.engine.remove(id);
                tracing::info!(pipeline = %id, file = %file.display(), "a pipeline is removed with its file");
            }
            stays
        });
    }

    /// Is it to be read: new, changed, or failed before?
    fn is_new(&self, file: &Path, text: &Text) -> bool {
        let files = lock(&self.files);
        let known = files.get(file).filter(|entry| entry.failure.is_none());
        known.is_none_or(|entry| entry.text.as_ref() != text.as_ref().ok())
    }

    /// The pipelines that files would be, looked at by themselves.
    async fn ids(&self, pending: &[(PathBuf, Text)]) -> BTreeMap<PathBuf, Arc<Pipeline>> {
        let texts: Vec<_> = pending
            .iter()
            .filter_map(|(file, text)| Some((file.clone(), text.as_ref().ok()?.clone())))
            .collect();
        let engine = Arc::clone(&self.engine);
        let work = move || {
            let natives = engine.natives();
            let read = texts.into_iter().filter_map(|(file, text)| {
                let name = file.to_string_lossy().into_owned();
                let pipeline = spec::read(&text, &name, natives, &spec::Alone).ok()?;
                Some((file, Arc::new(pipeline)))
            });
            read.collect()
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_default()
    }

    /// A file that is another pipeline's now no longer provides the one before, so that another file may.
    fn give_up(&self, pending: &[(PathBuf, Text)], ids: &BTreeMap<PathBuf, Arc<Pipeline>>) {
        let mut files = lock(&self.files);
        for (file, _) in pending {
            let (Some(entry), Some(now)) = (files.get_mut(file), ids.get(file)) else {
                continue;
            };
            if let Some(id) = entry.provides.take_if(|id| *id != now.id) {
                self.engine.remove(&id);
            }
        }
    }

    /// Registers what a file holds.
    async fn take(&self, file: PathBuf, text: Text, beside: &BTreeMap<PipelineId, Arc<Pipeline>>) {
        let before = lock(&self.files).get(&file).cloned().unwrap_or_default();
        let done = match &text {
            Ok(text) => self.apply(&file, text, beside).await,
            Err(error) => Err(error.clone().into()),
        };
        let same = before.text.as_ref() == text.as_ref().ok();
        let (provides, failure) = match done {
            Ok(id) => (Some(id), None),
            Err(error) => {
                // Said once for each text: it is tried again at each look.
                if !same || before.failure.is_none() {
                    tracing::warn!(file = %file.display(), %error, "a spec is no pipeline");
                }
                (before.provides, Some(error))
            }
        };
        let entry = Entry {
            text: text.ok(),
            provides,
            failure,
        };
        lock(&self.files).insert(file, entry);
    }

    async fn apply(
        &self,
        file: &Path,
        text: &str,
        beside: &BTreeMap<PipelineId, Arc<Pipeline>>,
    ) -> Result<PipelineId, SpecError> {
        let name = file.display().to_string();
        let read = self.read(text.to_owned(), name.clone(), beside).await;
        let pipeline = read.map_err(SpecError::Invalid)?;
        let id = pipeline.id.clone();
        if let Some(holder) = self.holder(&id, file) {
            return Err(SpecError::Duplicate { id, file: holder });
        }
        let version = self.register(pipeline, text, &name).await?;
        tracing::info!(pipeline = %id, version, file = %name, "a pipeline is registered");
        self.keep(&id, version, text.to_owned()).await;
        Ok(id)
    }

    /// The other file that provides a pipeline.
    fn holder(&self, id: &PipelineId, but: &Path) -> Option<PathBuf> {
        let files = lock(&self.files);
        let mut others = files.iter().filter(|(file, _)| *file != but);
        others.find_map(|(file, entry)| (entry.provides.as_ref() == Some(id)).then(|| file.clone()))
    }
}
