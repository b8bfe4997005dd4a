//! Parallel clients on connections kept alive, and the latencies they saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::http::{Answer, Connection, Request};
use crate::wait::Stopwatch;

/// What came of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How long each call took, ascending.
    pub latencies: Vec<Duration>,
    /// What the check said of the answers it did not like, and calls that broke.
    pub failures: Vec<String>,
}

impl Outcome {
    /// The latency that this share of the calls stayed within; 0.99 for the 99th percentile.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list of a few thousand"
        )]
        let at = (self.latencies.len().saturating_sub(1) as f64 * share) as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }

    fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failures.extend(other.failures);
    }
}

/// Clients that go on until they are told to stop.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Outcome>,
}

impl Load {
    /// Starts `clients` clients that send the request over and over, each on a connection of its own. `check` judges each answer.
    #[must_use]
    pub fn start(
        host: SocketAddr,
        clients: usize,
        request: &Request,
        check: impl Fn(&Answer) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let check = Arc::new(check);
        let bytes: Arc<[u8]> = request.bytes(host, true).into();
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let (stop, check, bytes) = (Arc::clone(&stop), Arc::clone(&check), Arc::clone(&bytes));
            set.spawn(async move {
                let mut outcome = Outcome::default();
                while !stop.load(Ordering::Relaxed) {
                    if let Err(e) = run(host, &bytes, &stop, &*check, &mut outcome).await {
                        outcome.failures.push(format!("connection: {e}"));
                        return outcome;
                    }
                }
                outcome
            });
        }
        Self { stop, clients: set }
    }

    /// Stops the clients after their calls under way.
    pub async fn stop(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        while let Some(outcome) = self.clients.join_next().await {
            all.merge(outcome.expect("a client"));
        }
        all.latencies.sort_unstable();
        all
    }

    /// Runs for a time.
    pub async fn run(self, time: Duration) -> Outcome {
        tokio::time::sleep(time).await;
        self.stop().await
    }
}

/// Calls on one connection until it is told to stop, or the server asks to close it.
async fn run(
    host: SocketAddr,
    bytes: &[u8],
    stop: &AtomicBool,
    check: &(impl Fn(&Answer) -> Result<(), String> + ?Sized),
    outcome: &mut Outcome,
) -> std::io::Result<()> {
    let mut connection = Connection::open(host).await?;
    while !stop.load(Ordering::Relaxed) {
        let watch = Stopwatch::start();
        let answer = connection.call(bytes, false).await?;
        outcome.latencies.push(watch.elapsed());
        if let Err(e) = check(&answer) {
            outcome.failures.push(e);
        }
        if answer.header("connection") == Some("close") {
            break;
        }
    }
    Ok(())
}
