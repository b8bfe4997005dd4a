//! Follows the folders of pipeline specs, as the plugins folders are followed, and looks again when a plugin has started, since a spec may wait for it.

use std::path::PathBuf;
use std::sync::Arc;

use engine::{Discovery, Engine};
use model::BoxFuture;
use model::events::TopicPattern;
use model::id::PipelineId;
use model::ports::{PipelineStore, StoreError, is_spec_file};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{MAX_EVENTS, POLL, Writers, settle, watcher};
use crate::config::Folders;

/// Events looked at together.
const AT_ONCE: usize = 64;

/// Folders whose specs are read when nobody writes them.
#[derive(Debug)]
pub(crate) struct WatchedSpecs {
    folders: Arc<dyn PipelineStore>,
    writers: Arc<Writers>,
}

impl WatchedSpecs {
    pub(crate) fn new(folders: Arc<dyn PipelineStore>) -> Self {
        Self {
            folders,
            writers: Arc::default(),
        }
    }

    /// Starts following these folders; ends when the task is aborted.
    pub(crate) fn follow(
        &self,
        engine: &Arc<Engine>,
        specs: &Arc<Discovery>,
        paths: &Folders,
    ) -> JoinHandle<()> {
        let (changed, changes) = mpsc::channel(MAX_EVENTS);
        let (engine, specs) = (Arc::clone(engine), Arc::clone(specs));
        let again = changed.clone();
        match watcher(
            paths.all(),
            Arc::clone(&self.writers),
            is_spec_file,
            changed,
        ) {
            Ok(watcher) => tokio::spawn(async move {
                // Dropping the watcher would end the events.
                let _watcher = watcher;
                tokio::join!(look(&specs, changes), plugins_started(&engine, &again));
            }),
            Err(error) => {
                tracing::warn!(%error, folders = %paths, "the system does not tell of changes, looking every 2 s");
                tokio::spawn(async move {
                    let mut ticks = tokio::time::interval(POLL);
                    loop {
                        ticks.tick().await;
                        specs.look().await;
                    }
                })
            }
        }
    }
}

async fn look(specs: &Discovery, mut changes: mpsc::Receiver<()>) {
    while changes.recv().await.is_some() {
        settle(&mut changes).await;
        specs.look().await;
    }
}

/// Tells of plugins that have started.
async fn plugins_started(engine: &Engine, again: &mpsc::Sender<()>) {
    let Ok(topic) = TopicPattern::new("weir.plugin.started") else {
        return;
    };
    let topics: Arc<[TopicPattern]> = [topic].into();
    let mut last = engine.bus().last();
    loop {
        let heard = engine.bus().after(last, Arc::clone(&topics), AT_ONCE).await;
        last = heard.last;
        // A full queue is fine: what waits in it leads to a look at everything.
        let _full = again.try_send(());
    }
}

impl PipelineStore for WatchedSpecs {
    fn list(&self) -> BoxFuture<'static, Result<Vec<PathBuf>, StoreError>> {
        self.folders.list()
    }

    fn read(&self, file: PathBuf) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        let (folders, writers) = (Arc::clone(&self.folders), Arc::clone(&self.writers));
        Box::pin(async move {
            if let Some(name) = file.file_name().and_then(|n| n.to_str()) {
                writers.wait(name).await;
            }
            folders.read(file).await
        })
    }

    fn place(&self, id: &PipelineId) -> PathBuf {
        self.folders.place(id)
    }

    fn write(&self, file: PathBuf, text: String) -> BoxFuture<'static, Result<(), StoreError>> {
        self.folders.write(file, text)
    }

    fn remove(&self, file: PathBuf) -> BoxFuture<'static, Result<bool, StoreError>> {
        self.folders.remove(file)
    }

    fn versions(&self, id: PipelineId) -> BoxFuture<'static, Result<Vec<u64>, StoreError>> {
        self.folders.versions(id)
    }

    fn version(
        &self,
        id: PipelineId,
        number: u64,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        self.folders.version(id, number)
    }

    fn keep(
        &self,
        id: PipelineId,
        number: u64,
        text: String,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.folders.keep(id, number, text)
    }
}
