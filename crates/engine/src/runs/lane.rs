//! The threads that runs work on: of lower priority than all others, so that moving data does not hold up chats. Made with the first run.

use std::fmt;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::options::RunOptions;

pub(crate) struct Lane {
    options: RunOptions,
    runtime: OnceLock<Option<Runtime>>,
}

impl Lane {
    pub(crate) fn new(options: RunOptions) -> Self {
        Self {
            options,
            runtime: OnceLock::new(),
        }
    }

    /// Runs a task there; where no threads can be had, on the caller's.
    pub(crate) fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        // Its log lines go where the caller's go, also where that is not the same for the whole process.
        let work = tracing::instrument::WithSubscriber::with_current_subscriber(work);
        match self.runtime.get_or_init(|| start(self.options)) {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        }
    }
}

fn start(options: RunOptions) -> Option<Runtime> {
    let nice = i32::from(options.nice.min(19));
    let runtime = Builder::new_multi_thread()
        .worker_threads(options.threads.get())
        .thread_name("weir-runs")
        .on_thread_start(move || {
            let this = rustix::thread::gettid();
            let set = rustix::process::setpriority_process(Some(this), nice);
            if let (true, Err(error)) = (nice > 0, set) {
                tracing::warn!(%error, "runs work at normal priority");
            }
        })
        .enable_all()
        .build();
    runtime
        .inspect_err(|error| tracing::error!(%error, "runs have no threads of their own"))
        .ok()
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Not waited for: the engine may be let go on one of these threads.
        if let Some(Some(runtime)) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}
