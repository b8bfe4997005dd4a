//! The threads that runs work on: of lower priority than all others, so that moving data does not hold up chats. Made with the first run.

use std::fmt;
use std::sync::{Mutex, OnceLock};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::options::RunOptions;
use crate::slot::lock;

pub(crate) struct Lane {
    options: RunOptions,
    /// None: no threads can be had, or they have ended.
    runtime: OnceLock<Mutex<Option<Runtime>>>,
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
        let runtime = self.runtime.get_or_init(|| Mutex::new(start(self.options)));
        match &*lock(runtime) {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        }
    }

    /// Ends what is under way where it waits next, as the end of the process does.
    pub(crate) fn halt(&self) {
        if let Some(runtime) = self.runtime.get()
            && let Some(runtime) = lock(runtime).take()
        {
            // Not waited for: the engine may be let go on one of these threads.
            runtime.shutdown_background();
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
        self.halt();
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}
