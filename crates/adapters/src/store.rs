//! The durable store behind `model::store`, in SQLite or PostgreSQL.
//!
//! `jobs`, `runs`, .. are its operations, written once in what both databases understand; `sqlite` and `postgres` carry them out, a transaction each; `layout` is the tables.

mod checkpoints;
mod jobs;
mod layout;
mod letters;
mod plugins;
mod postgres;
mod runs;
mod schedules;
mod sqlite;
mod tx;
mod versions;

use std::path::Path;
use std::sync::Arc;

use model::BoxFuture;
use model::ports::{StateStore, StoreError};
use model::store::{Answer, Failure};
use tokio::sync::oneshot;

use tx::{Driver, Halt, Operation, Tx};

/// The store. Clones are of the same one.
#[derive(Debug, Clone)]
pub struct Database {
    driver: Arc<dyn Driver>,
}

/// An operation: what it does with its arguments in a transaction. It may be carried out several times before one succeeds.
type Op<A, T> = for<'a> fn(&'a mut dyn Tx, &'a A) -> BoxFuture<'a, Result<T, Halt>>;

impl Database {
    /// Opens a file, making it if it is not there, and starts the threads that own it. They end with the last clone.
    ///
    /// # Errors
    /// [`StoreError`] with the path when the file cannot be used: no rights, damaged, not a database, made by a newer version. It is left as it is.
    pub fn sqlite(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            driver: Arc::new(sqlite::Sqlite::open(path, layout::ALL)?),
        })
    }

    /// The same, for what plugins keep: all else is not to be asked for there.
    ///
    /// # Errors
    /// As [`Database::sqlite`].
    pub fn of_plugins(path: &Path) -> Result<impl StateStore + use<>, StoreError> {
        Ok(Self {
            driver: Arc::new(sqlite::Sqlite::open(path, layout::PLUGINS)?),
        })
    }

    /// Connects to a PostgreSQL database and makes the schema `weir` there. `url` is as the sink `postgres` takes it; a path in it starts in `folder`.
    ///
    /// # Errors
    /// [`StoreError`] with the place, never with the password.
    pub async fn postgres(
        url: &str,
        password: Option<&str>,
        folder: &Path,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            driver: Arc::new(postgres::Postgres::open(url, password, folder).await?),
        })
    }

    /// Reads in a transaction of its own.
    fn reads<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        args: A,
        op: Op<A, T>,
    ) -> Answer<T> {
        self.call(args, op, false)
    }

    /// Reads and writes in a transaction, and answers when it is on disk.
    fn writes<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        args: A,
        op: Op<A, T>,
    ) -> Answer<T> {
        self.call(args, op, true)
    }

    fn call<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        args: A,
        op: Op<A, T>,
        writes: bool,
    ) -> Answer<T> {
        let driver = Arc::clone(&self.driver);
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let work = Call {
                args,
                op,
                done: None,
                reply,
            };
            driver.take(Box::new(work), writes).await?;
            let gone = |_| Failure::Unavailable("it ended in the middle of an operation".into());
            answer.await.map_err(gone)?
        })
    }
}

/// An operation under way, and who waits for it.
struct Call<A, T> {
    args: A,
    op: Op<A, T>,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, Failure>>,
}

impl<A: Send + Sync, T: Send> Operation for Call<A, T> {
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn attempt<'a>(&'a mut self, tx: &'a mut dyn Tx) -> BoxFuture<'a, Result<(), Halt>> {
        Box::pin(async move {
            self.done = Some((self.op)(tx, &self.args).await?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, outcome: Result<(), Failure>) {
        let nothing = || Failure::Unavailable("the operation was not carried out".into());
        let Self { done, reply, .. } = *self;
        // Nobody waits any more: then nobody misses it.
        drop(reply.send(outcome.and_then(|()| done.ok_or_else(nothing))));
    }
}

#[cfg(test)]
mod tests;
