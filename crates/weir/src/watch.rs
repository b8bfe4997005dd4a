//! Follows the plugins folder: a change is live within a second of the write's end. A file that is being written is left alone
//! until its writer closes it, so that half of one is never loaded.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// Quiet time after the last event: several files written together become one change.
const SETTLE: Duration = Duration::from_millis(100);
/// How long a silent open file holds back a look at the folder. Not every file system says when a writer closes a file.
const GIVE_UP_ON_OPEN: Duration = Duration::from_secs(5);
/// How often to look where the system tells nothing.
const POLL: Duration = Duration::from_secs(2);
/// Looks under way at once: one slow compile must not hold back the next change.
const MAX_LOOKS: usize = 4;
/// Events that may wait; a folder that changes faster is looked at anyway.
const MAX_EVENTS: usize = 4_096;

/// Starts following; ends when the task is aborted.
pub(crate) fn start(engine: Arc<Engine>, folder: &Path) -> JoinHandle<()> {
    let (events, changes) = mpsc::channel(MAX_EVENTS);
    match watcher(folder, events) {
        Ok(watcher) => tokio::spawn(async move {
            // Dropping the watcher would end the events.
            let _watcher = watcher;
            follow(engine, changes).await;
        }),
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "the system does not tell of changes, looking every 2 s");
            tokio::spawn(poll(engine))
        }
    }
}

fn watcher(
    folder: &Path,
    events: mpsc::Sender<Event>,
) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher =
        notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            // A full queue is fine: what waits in it leads to a look at the whole folder.
            Ok(event) => drop(events.try_send(event)),
            Err(error) => tracing::warn!(%error, "watching the plugins folder"),
        })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

async fn poll(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(POLL);
    loop {
        ticks.tick().await;
        engine.sync().await;
    }
}

async fn follow(engine: Arc<Engine>, mut events: mpsc::Receiver<Event>) {
    let mut looks = JoinSet::new();
    while let Some(first) = events.recv().await {
        if !settled(first, &mut events).await {
            continue;
        }
        if looks.len() >= MAX_LOOKS {
            looks.join_next().await;
        }
        let engine = Arc::clone(&engine);
        looks.spawn(async move {
            engine.sync().await;
        });
    }
}

/// Waits until nothing is being written and nothing has happened for a moment. False if nothing had changed at all.
async fn settled(first: Event, events: &mut mpsc::Receiver<Event>) -> bool {
    let mut open = HashSet::new();
    let mut changed = note(&first, &mut open);
    loop {
        let wait = if open.is_empty() {
            SETTLE
        } else {
            GIVE_UP_ON_OPEN
        };
        match tokio::time::timeout(wait, events.recv()).await {
            Ok(Some(event)) => changed |= note(&event, &mut open),
            Ok(None) | Err(_) => return changed,
        }
    }
}

/// Notes which files are being written. True if the event may mean a change.
fn note(event: &Event, open: &mut HashSet<PathBuf>) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
            for path in &event.paths {
                open.remove(path);
            }
            true
        }
        EventKind::Modify(ModifyKind::Data(_)) => {
            open.extend(event.paths.iter().cloned());
            true
        }
        EventKind::Create(_)
        | EventKind::Remove(_)
        | EventKind::Modify(_)
        | EventKind::Any
        | EventKind::Other => {
            for path in &event.paths {
                open.remove(path);
            }
            true
        }
        EventKind::Access(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    /// Are all events of `act` over only once its writers have closed?
    #[tokio::test]
    async fn a_file_that_is_open_holds_back_the_look() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, mut events) = mpsc::channel(64);
        let _watcher = watcher(folder.path(), sender).unwrap();
        let path = folder.path().join("a.wasm");
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        let first = events.recv().await.unwrap();
        let look = settled(first, &mut events);
        tokio::pin!(look);
        let early = tokio::time::timeout(SETTLE * 5, &mut look).await;
        assert!(early.is_err(), "it must not look while the file is open");
        file.write_all(b"whole").unwrap();
        drop(file);
        assert!(
            tokio::time::timeout(Duration::from_secs(1), look)
                .await
                .unwrap()
        );
    }
}
