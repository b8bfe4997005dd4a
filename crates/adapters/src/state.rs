//! Plugins' durable key-value state in one SQLite file, with one thread that owns it. Grants and key rules are checked before.

use std::path::Path;

use model::BoxFuture;
use model::id::PluginId;
use model::ports::{Expect, Quota, StateEntry, StateError, StateStore, StoreError};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::files;

mod sql;

/// Calls that may wait for the owner thread; further ones wait for a place.
const QUEUE: usize = 256;
/// The state may hold whatever plugins keep: only the server's own user may read it.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The file `state.sqlite` in the data folder. Each call is one transaction; a finished one survives a crash of the process.
#[derive(Debug, Clone)]
pub struct SqliteState {
    jobs: mpsc::Sender<Job>,
}

impl SqliteState {
    /// Opens the file, making it if it is not there, and starts its thread. The thread ends when the last clone is dropped and
    /// every call is done.
    ///
    /// # Errors
    /// [`StoreError`] with the path, when the file cannot be used: no rights, not a database, made by a newer version.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let path = data.join("state.sqlite");
        let what = || format!("cannot use the state file {}", path.display());
        files::prepare(data, FOLDER_MODE).map_err(|e| files::failed(what(), e))?;
        files::make_private(&path, FILE_MODE).map_err(|e| files::failed(what(), e))?;
        let mut connection = sql::open(&path).map_err(|e| files::failed(what(), e))?;
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        std::thread::Builder::new()
            .name("weir-state".into())
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    job(&mut connection);
                }
            })
            .map_err(|e| files::failed(what(), e))?;
        Ok(Self { jobs })
    }

    /// Hands work to the owner thread and waits for what comes of it.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StateError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StateError>> {
        let jobs = self.jobs.clone();
        Box::pin(async move {
            let gone = || StateError::Unavailable("its thread has ended".into());
            let (reply, answer) = oneshot::channel();
            let job: Job = Box::new(move |connection| {
                // Nobody waits any more: then nothing is done either.
                if !reply.is_closed() {
                    drop(reply.send(work(connection)));
                }
            });
            jobs.send(job).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        })
    }
}

impl StateStore for SqliteState {
    fn get(
        &self,
        plugin: PluginId,
        key: String,
    ) -> BoxFuture<'static, Result<Option<StateEntry>, StateError>> {
        self.run(move |c| sql::get(c, plugin.as_str(), &key))
    }

    fn put(
        &self,
        plugin: PluginId,
        key: String,
        value: Vec<u8>,
        expect: Expect,
        quota: Quota,
    ) -> BoxFuture<'static, Result<u64, StateError>> {
        self.run(move |c| sql::put(c, plugin.as_str(), &key, &value, expect, quota))
    }

    fn delete(
        &self,
        plugin: PluginId,
        key: String,
    ) -> BoxFuture<'static, Result<bool, StateError>> {
        self.run(move |c| sql::delete(c, plugin.as_str(), &key))
    }

    fn add(
        &self,
        plugin: PluginId,
        key: String,
        delta: i64,
        quota: Quota,
    ) -> BoxFuture<'static, Result<i64, StateError>> {
        self.run(move |c| sql::add(c, plugin.as_str(), &key, delta, quota))
    }

    fn keys(
        &self,
        plugin: PluginId,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<String>, StateError>> {
        self.run(move |c| sql::keys(c, plugin.as_str(), &prefix, after.as_deref(), limit))
    }
}

#[cfg(test)]
mod tests;
