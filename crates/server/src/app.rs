//! What all requests share. Nothing here belongs to one request.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use engine::Engine;
use tokio::sync::{Semaphore, watch};

use crate::body::Budget;
use crate::config::{Compat, ServerConfig};
use crate::context::Conversations;

/// The server's own state, one a process.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) engine: Arc<Engine>,
    pub(crate) config: ServerConfig,
    pub(crate) conversations: Conversations,
    pub(crate) budget: Budget,
    /// The id of the last event before the server began: what is older was another server's.
    pub(crate) first_event: u64,
    /// Turns for clients that follow the events.
    pub(crate) listeners: Arc<Semaphore>,
    /// Turns true when the server ends: streams that have no end of their own end then.
    pub(crate) closing: watch::Sender<bool>,
}

impl App {
    pub(crate) fn new(engine: Arc<Engine>, config: ServerConfig) -> Self {
        Self {
            conversations: Conversations::new(config.clock.clone()),
            budget: Budget::new(config.limits.max_bodies_bytes),
            listeners: Arc::new(Semaphore::new(
                config.limits.max_listeners.min(Semaphore::MAX_PERMITS),
            )),
            closing: watch::Sender::new(false),
            first_event: engine.bus().last(),
            engine,
            config,
        }
    }

    /// Is this the reference's twin?
    pub(crate) fn strict(&self) -> bool {
        self.config.compat == Compat::Strict
    }

    /// Seconds since 1970-01-01 UTC.
    pub(crate) fn unix_now(&self) -> u64 {
        since_epoch(self.config.clock.now()).as_secs()
    }
}

/// Time since 1970-01-01 UTC; zero for what was before.
pub(crate) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn millis(time: SystemTime) -> u64 {
    u64::try_from(since_epoch(time).as_millis()).unwrap_or(u64::MAX)
}
