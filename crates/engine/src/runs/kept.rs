//! What runs leave behind on disk, each in a folder of its own, and how long it is kept. The folder is one process's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::run::RunId;

use crate::Engine;
use crate::options::Keep;
use crate::runs::book::Book;
use crate::slot::lock;

/// The shortest time between two looks at all folders.
const PAUSE: Duration = Duration::from_secs(60);

/// Where a run leaves things behind.
pub(crate) fn folder(work: &Path, id: &RunId) -> PathBuf {
    all(work).join(id.as_str())
}

fn all(work: &Path) -> PathBuf {
    work.join("runs")
}

/// The folders of runs, the newest first.
fn listed(work: &Path) -> Vec<(RunId, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(all(work)) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let id: RunId = entry.file_name().to_str()?.parse().ok()?;
            Some((id, entry.path()))
        })
        .collect();
    found.sort_by(|(one, _), (other, _)| other.cmp(one));
    found
}

/// Removes the folders of runs that are more or older than are kept, but of none that goes on. A run is as old as its end, or its submission where that is not known.
fn sweep(work: &Path, keep: Keep, now: SystemTime, book: &Book) {
    let mut kept = 0;
    for (id, folder) in listed(work) {
        let Some(at) = book.ended(&id) else { continue };
        let age = now.duration_since(at).unwrap_or_default();
        if kept < keep.runs.get() && age <= keep.age {
            kept += 1;
            continue;
        }
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "what a run left behind cannot be removed");
        }
    }
}

impl Engine {
    /// Removes of what runs left behind all that is not kept ([`crate::RunOptions::keep`]): for the start.
    pub async fn tidy_runs(&self) {
        self.sweep_runs(true).await;
    }

    /// The same; `now`, or only if it is some time since the last look.
    pub(crate) async fn sweep_runs(&self, now: bool) {
        let Some(keep) = self.runs.keep else { return };
        let time = self.ports.clock.monotonic();
        {
            let mut last = lock(&self.runs.swept);
            let due = last.is_none_or(|last| time.saturating_sub(last) >= PAUSE);
            if !now && !due {
                return;
            }
            *last = Some(time);
        }
        let (work, book) = (self.ports.stages.work.clone(), Arc::clone(&self.runs.book));
        let at = self.ports.clock.now();
        let sweeping = tokio::task::spawn_blocking(move || sweep(&work, keep, at, &book));
        if let Err(error) = sweeping.await {
            tracing::error!(%error, "looking for what runs left behind broke off");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn id(days: u64, n: u128) -> RunId {
        let ms = u128::from(days * 86_400_000);
        RunId::of((ms << 80) + n)
    }

    #[test]
    fn folders_are_kept_by_number_and_age() {
        let check = |runs: usize, days: u64, left: &[u64]| {
            let work = tempfile::tempdir().unwrap();
            for day in [1, 5, 8, 9, 10] {
                let folder = folder(work.path(), &id(day, 1));
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join("rejects.ndjson"), "{}\n").unwrap();
            }
            std::fs::create_dir(all(work.path()).join("not a run")).unwrap();
            let keep = Keep {
                runs: NonZeroUsize::new(runs).unwrap(),
                age: Duration::from_secs(days * 86_400),
            };
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10 * 86_400);
            sweep(work.path(), keep, now, &Book::new(10, 10));
            let found: Vec<_> = listed(work.path()).into_iter().map(|(id, _)| id).collect();
            let expected: Vec<_> = left.iter().map(|day| id(*day, 1)).collect();
            assert_eq!(found, expected, "{runs} runs, {days} days");
            assert!(all(work.path()).join("not a run").exists());
        };
        check(10, 100, &[10, 9, 8, 5, 1]);
        check(2, 100, &[10, 9]);
        check(10, 5, &[10, 9, 8, 5]);
        check(1, 0, &[10]);
    }
}
