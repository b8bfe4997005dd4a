//! Spec files and versions in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use model::BoxFuture;
use model::id::PipelineId;
use model::ports::{PipelineStore, StoreError};

#[derive(Debug, Default, Clone)]
pub(crate) struct Shelf {
    files: Arc<Mutex<BTreeMap<PathBuf, String>>>,
    kept: Arc<Mutex<BTreeMap<(PipelineId, u64), String>>>,
}

fn done<T: Send + 'static>(value: T) -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(std::future::ready(Ok(value)))
}

impl PipelineStore for Shelf {
    fn list(&self) -> BoxFuture<'static, Result<Vec<PathBuf>, StoreError>> {
        done(self.files.lock().unwrap().keys().cloned().collect())
    }

    fn read(&self, file: PathBuf) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        done(self.files.lock().unwrap().get(&file).cloned())
    }

    fn place(&self, id: &PipelineId) -> PathBuf {
        format!("/srv/specs/{id}.pipeline.yaml").into()
    }

    fn write(&self, file: PathBuf, text: String) -> BoxFuture<'static, Result<(), StoreError>> {
        self.files.lock().unwrap().insert(file, text);
        done(())
    }

    fn remove(&self, file: PathBuf) -> BoxFuture<'static, Result<bool, StoreError>> {
        done(self.files.lock().unwrap().remove(&file).is_some())
    }

    fn versions(&self, id: PipelineId) -> BoxFuture<'static, Result<Vec<u64>, StoreError>> {
        let kept = self.kept.lock().unwrap();
        let numbers = kept.keys().filter(|(i, _)| *i == id).map(|(_, n)| *n);
        done(numbers.collect())
    }

    fn version(
        &self,
        id: PipelineId,
        number: u64,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        done(self.kept.lock().unwrap().get(&(id, number)).cloned())
    }

    fn keep(
        &self,
        id: PipelineId,
        number: u64,
        text: String,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.kept.lock().unwrap().insert((id, number), text);
        done(())
    }
}
