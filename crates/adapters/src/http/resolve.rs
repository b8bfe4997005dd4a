//! Names to addresses. Which addresses may be used is not decided here.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use model::BoxFuture;
use tokio::sync::Semaphore;

/// Look-ups under way at once, over all clients: each holds a thread until the system's resolver gives up.
const MAX_LOOKUPS: usize = 32;

/// Finds a name's addresses.
pub(super) trait Resolve: Send + Sync + fmt::Debug {
    /// All addresses of a host name.
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver, on the blocking pool.
#[derive(Debug)]
pub(super) struct SystemResolver {
    turns: Arc<Semaphore>,
}

impl SystemResolver {
    pub(super) fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let turns = Arc::clone(&self.turns);
        Box::pin(async move {
            let turn = turns.acquire_owned().await.map_err(io::Error::other)?;
            let lookup = tokio::task::spawn_blocking(move || {
                // Held by the thread, not by the caller, who may have given up.
                let _turn = turn;
                let found = (host.as_str(), 0).to_socket_addrs()?;
                Ok(found.map(|a| a.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}
