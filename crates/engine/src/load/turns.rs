//! What bounds loads. None of it is held while a component that compiles long would make another one wait: compilers take turns in the sandbox.

use std::sync::Arc;

use model::error::LoadError;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The unit in which component bytes are counted.
const UNIT: usize = 64 * 1024;
/// Most units of components that are inspected, or wait for the compiler: 2 GiB. Only when they are all taken does a further component wait to be inspected.
const ROOM: u32 = 32 * 1024;
/// Most components that run their `init`. One that hangs is ended by its own deadline.
const INITS: usize = 16;

/// The turns of loads.
#[derive(Debug)]
pub(crate) struct Turns {
    reading: Arc<Semaphore>,
    room: Arc<Semaphore>,
    inits: Arc<Semaphore>,
}

/// A turn; over when dropped.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Turns {
    /// `reading`: how many files are read and digested at once.
    pub(crate) fn new(reading: usize) -> Self {
        let reading = reading.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            reading: Arc::new(Semaphore::new(reading)),
            room: Arc::new(Semaphore::new(ROOM as usize)),
            inits: Arc::new(Semaphore::new(INITS)),
        }
    }

    /// For reading a file.
    pub(super) async fn reading(&self) -> Result<Turn, LoadError> {
        turn(Arc::clone(&self.reading).acquire_owned().await)
    }

    /// Room for a component of so many bytes, for as long as it is inspected.
    pub(super) async fn room(&self, bytes: usize) -> Result<Turn, LoadError> {
        let units = u32::try_from(bytes / UNIT)
            .unwrap_or(ROOM)
            .saturating_add(1);
        turn(
            Arc::clone(&self.room)
                .acquire_many_owned(units.min(ROOM))
                .await,
        )
    }

    /// For running an `init`.
    pub(super) async fn init(&self) -> Result<Turn, LoadError> {
        turn(Arc::clone(&self.inits).acquire_owned().await)
    }
}

fn turn(permit: Result<OwnedSemaphorePermit, AcquireError>) -> Result<Turn, LoadError> {
    let permit = permit.map_err(|_| LoadError::Host("the host is shutting down".into()))?;
    Ok(Turn(permit))
}
