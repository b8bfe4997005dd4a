//! Which sink of a run writes which file: no two of them the same, as only one of the two would be left.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use model::error::Fault;
use model::run::RunId;
use model::stage::Context;

/// The files of a run, and the sinks that write them.
type Files = Mutex<HashMap<PathBuf, Arc<str>>>;

/// The files of all runs that are under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims(Arc<Mutex<HashMap<RunId, Weak<Files>>>>);

/// One sink of a run. What it has written stays its own until all sinks of the run are gone.
#[derive(Debug)]
pub(super) struct Claimant {
    files: Arc<Files>,
    stage: Arc<str>,
}

impl Claims {
    /// For a stage of a run.
    pub(super) fn of(&self, context: &Context) -> Claimant {
        let mut runs = lock(&self.0);
        runs.retain(|_, files| files.strong_count() > 0);
        let files = runs.get(&context.run).and_then(Weak::upgrade);
        let files = files.unwrap_or_else(|| {
            let files = Arc::new(Files::default());
            runs.insert(context.run.clone(), Arc::downgrade(&files));
            files
        });
        Claimant {
            files,
            stage: Arc::clone(&context.stage),
        }
    }
}

impl Claimant {
    /// The file is written by this sink from now on.
    ///
    /// # Errors
    /// Another one of the run writes it.
    pub(super) fn claim(&self, path: &Path) -> Result<(), Fault> {
        let mut files = lock(&self.files);
        match files.get(path) {
            Some(other) if *other != self.stage => Err(Fault::Invalid(format!(
                "{} is written by the sink {other} of this run, too: only what one of them writes would be left",
                path.display()
            ))),
            Some(_) => Ok(()),
            None => {
                files.insert(path.to_owned(), Arc::clone(&self.stage));
                Ok(())
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
