//! A good plugin that is called all the while something else goes on.

use std::time::Duration;

use crate::server::Server;
use crate::wait::Stopwatch;

/// How long a call of the neighbour may take beside an attack. It takes less than 1 ms alone, and 340 ms were seen once on two cores that pause for others; `hostile_neighbour` measures closely.
pub const NEIGHBOUR: Duration = Duration::from_millis(500);

/// Does something, and calls the pipe `ok` until it is done: what came of it, how long it took, and the slowest call of `ok`.
///
/// # Panics
/// When `ok` does not answer.
pub async fn beside<T>(
    server: &Server,
    attack: impl Future<Output = T>,
) -> (T, Duration, Duration) {
    let watch = Stopwatch::start();
    let attack = async { (attack.await, watch.elapsed()) };
    tokio::pin!(attack);
    let mut slowest = Duration::ZERO;
    loop {
        let good = async {
            let watch = Stopwatch::start();
            assert_eq!(server.chat("ok", "").await.content(), "ok");
            watch.elapsed()
        };
        tokio::pin!(good);
        tokio::select! {
            (outcome, took) = &mut attack => {
                slowest = slowest.max(good.await);
                return (outcome, took, slowest);
            }
            took = &mut good => slowest = slowest.max(took),
        }
    }
}
