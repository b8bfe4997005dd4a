//! Follows the plugins folders: a change is live within a second of the write's end. A file that is being written is read only when
//! its writer has closed it, so that half of one is never loaded; it holds up no other file.

pub(crate) mod specs;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::Engine;
use model::BoxFuture;
use model::component::{ComponentFile, FileName};
use model::ports::{ComponentStore, StoreError};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use crate::config::Folders;

/// Quiet time after the last event: several files written together become one look.
const SETTLE: Duration = Duration::from_millis(100);
/// Events that go on and on are looked at all the same, this many quiet times later.
const MAX_SETTLES: u32 = 4;
/// How long a file may be open before it is read all the same. Only Linux says when a writer closes a file.
const GIVE_UP_ON_OPEN: Duration = Duration::from_millis(if cfg!(target_os = "linux") {
    5_000
} else {
    300
});
/// How often to look where the system tells nothing.
const POLL: Duration = Duration::from_secs(2);
/// Looks under way at once: each lasts as long as the slowest file it found.
const MAX_LOOKS: usize = 64;
/// Names of changed files that may wait; a folder that changes faster is looked at anyway.
const MAX_EVENTS: usize = 4_096;

/// Files that are being written.
#[derive(Debug, Default)]
struct Writers {
    open: Mutex<HashSet<PathBuf>>,
    closed: Notify,
}

impl Writers {
    /// Is a file of this name being written, in whatever folder?
    fn is_open(&self, name: &str) -> bool {
        self.open
            .lock()
            .is_ok_and(|open| open.iter().any(|path| is_called(path, name)))
    }

    fn set(&self, path: &Path, is_open: bool) {
        if let Ok(mut open) = self.open.lock() {
            if is_open {
                open.insert(path.to_owned());
            } else if open.remove(path) {
                self.closed.notify_waiters();
            }
        }
    }

    /// Takes all files of this name for closed.
    fn forget(&self, name: &str) {
        if let Ok(mut open) = self.open.lock() {
            open.retain(|path| !is_called(path, name));
            self.closed.notify_waiters();
        }
    }

    /// Waits until nobody writes the file, or for too long.
    async fn wait(&self, name: &str) {
        let closed = async {
            loop {
                let notified = self.closed.notified();
                if !self.is_open(name) {
                    return;
                }
                notified.await;
            }
        };
        if tokio::time::timeout(GIVE_UP_ON_OPEN, closed).await.is_err() {
            // Its writer may be gone without a word; a later change is noticed again.
            self.forget(name);
        }
    }
}

fn is_called(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|n| n == name)
}

/// Folders whose files are read when nobody writes them.
#[derive(Debug)]
pub(crate) struct Watched {
    folders: Arc<dyn ComponentStore>,
    writers: Arc<Writers>,
}

impl Watched {
    pub(crate) fn new(folders: Arc<dyn ComponentStore>) -> Self {
        Self {
            folders,
            writers: Arc::default(),
        }
    }

    /// Starts following these folders; ends when the task is aborted.
    pub(crate) fn follow(&self, engine: &Arc<Engine>, paths: &Folders) -> JoinHandle<()> {
        let (changed, changes) = mpsc::channel(MAX_EVENTS);
        let engine = Arc::clone(engine);
        match watcher(paths.all(), Arc::clone(&self.writers), is_ours, changed) {
            Ok(watcher) => tokio::spawn(async move {
                // Dropping the watcher would end the events.
                let _watcher = watcher;
                follow(engine, changes).await;
            }),
            Err(error) => {
                tracing::warn!(%error, folders = %paths, "the system does not tell of changes, looking every 2 s");
                tokio::spawn(poll(engine))
            }
        }
    }
}

impl ComponentStore for Watched {
    fn list(&self) -> BoxFuture<'static, Result<Vec<FileName>, StoreError>> {
        self.folders.list()
    }

    fn read(
        &self,
        name: FileName,
        max_bytes: u64,
    ) -> BoxFuture<'static, Result<Option<ComponentFile>, StoreError>> {
        let (folders, writers) = (Arc::clone(&self.folders), Arc::clone(&self.writers));
        Box::pin(async move {
            writers.wait(name.as_str()).await;
            folders.read(name, max_bytes).await
        })
    }

    fn read_settings(
        &self,
        name: FileName,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        let (folders, writers) = (Arc::clone(&self.folders), Arc::clone(&self.writers));
        Box::pin(async move {
            writers.wait(&name.settings_file()).await;
            folders.read_settings(name).await
        })
    }

    fn write(&self, file: ComponentFile) -> BoxFuture<'static, Result<(), StoreError>> {
        self.folders.write(file)
    }

    fn remove(&self, name: FileName) -> BoxFuture<'static, Result<bool, StoreError>> {
        self.folders.remove(name)
    }
}

/// Watches folders: notes which files of ours are being written, and tells of their changes.
fn watcher<'a>(
    folders: impl Iterator<Item = &'a Path>,
    writers: Arc<Writers>,
    is_ours: fn(&Path) -> bool,
    changed: mpsc::Sender<()>,
) -> notify::Result<RecommendedWatcher> {
    let mut watcher =
        notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            Ok(event) if note(&event, &writers, is_ours) => {
                // A full queue is fine: what waits in it leads to a look at everything.
                let _full = changed.try_send(());
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "watching folders"),
        })?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Notes which files are being written. True if the event may mean a change of one of ours.
fn note(event: &Event, writers: &Writers, is_ours: fn(&Path) -> bool) -> bool {
    let is_open = match event.kind {
        EventKind::Modify(ModifyKind::Data(_)) => true,
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => return false,
        EventKind::Create(_)
        | EventKind::Remove(_)
        | EventKind::Modify(_)
        | EventKind::Any
        | EventKind::Other => false,
    };
    let mut concerns_us = false;
    for path in event.paths.iter().filter(|p| is_ours(p)) {
        writers.set(path, is_open);
        concerns_us = true;
    }
    concerns_us
}

/// Is it a component, or settings, by its name?
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str());
    name.is_some_and(|n| FileName::new(n).is_ok() || n.ends_with(".toml"))
}

async fn poll(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(POLL);
    loop {
        ticks.tick().await;
        engine.sync().await;
    }
}

async fn follow(engine: Arc<Engine>, mut changes: mpsc::Receiver<()>) {
    let mut looks = JoinSet::new();
    while changes.recv().await.is_some() {
        settle(&mut changes).await;
        while looks.try_join_next().is_some() {}
        if looks.len() >= MAX_LOOKS {
            looks.join_next().await;
        }
        let engine = Arc::clone(&engine);
        looks.spawn(async move {
            engine.sync().await;
        });
    }
}

/// Waits for a quiet moment, but not for ever.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    let quiet = async {
        while tokio::time::timeout(SETTLE, changes.recv())
            .await
            .is_ok_and(|c| c.is_some())
        {}
    };
    let _quiet_or_enough = tokio::time::timeout(SETTLE * MAX_SETTLES, quiet).await;
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use adapters::folder::FolderStore;

    use super::*;

    #[tokio::test]
    async fn a_file_is_read_when_its_writer_has_closed_it() {
        let (first, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let other = folder.path().to_owned();
        let folders = FolderStore::open(first.path(), &[other]).unwrap();
        let store = Watched::new(Arc::new(folders));
        let (sender, mut changes) = mpsc::channel(64);
        let paths = [first.path(), folder.path()].into_iter();
        let _watcher = watcher(paths, Arc::clone(&store.writers), is_ours, sender).unwrap();
        fs::write(folder.path().join("notes.txt"), "no plugin").unwrap();
        let name = FileName::new("a.wasm").unwrap();
        let mut file = fs::File::create(folder.path().join("a.wasm")).unwrap();
        file.write_all(b"half").unwrap();
        while !store.writers.is_open("a.wasm") {
            changes.recv().await.unwrap();
        }
        let read = store.read(name, 1_000);
        tokio::pin!(read);
        assert!(
            tokio::time::timeout(SETTLE, &mut read).await.is_err(),
            "it is still being written"
        );
        file.write_all(b" whole").unwrap();
        drop(file);
        let read = tokio::time::timeout(Duration::from_secs(1), read)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(&read.bytes[..], b"half whole");
        assert!(!store.writers.is_open("notes.txt"));
    }
}
