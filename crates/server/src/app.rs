//! What all requests share. Nothing here belongs to one request.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use engine::Engine;

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
}

impl App {
    pub(crate) fn new(engine: Arc<Engine>, config: ServerConfig) -> Self {
        Self {
            conversations: Conversations::new(config.clock.clone()),
            budget: Budget::new(config.limits.max_bodies_bytes),
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
