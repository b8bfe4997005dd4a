//! The way of batches from task to task, in order: an outlet deals parcels out to its receivers in turn, and an inlet takes them back from its senders in the same
//! turn, one parcel for each. All channels are bounded.

use bytes::Bytes;
use model::data::Batch;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// What became of one batch that a source gave, so far.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    /// Which of the source's batches it came from, from 1; 0: none, as what was held back.
    pub(super) pull: u64,
    /// From where the source goes on after it, where it has said so.
    pub(super) point: Option<Box<Point>>,
    /// The records to go on with, in order.
    pub(super) batches: Vec<Batch>,
    /// How many records came to each stage since the parcel was last settled, with the stage's place in the flow.
    pub(super) came: Vec<(usize, u64)>,
    /// What was rejected since then.
    pub(super) rejects: Vec<Rejected>,
    /// Is it the last of its sender?
    pub(super) tail: bool,
}

/// A place in its input that the source can go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    /// Which of its batches came before.
    pub(super) pull: u64,
    /// The place, in its own words.
    pub(super) cursor: Option<String>,
    /// Records it gave so far.
    pub(super) read: u64,
}

/// A record that a stage rejected.
#[derive(Debug)]
pub(super) struct Rejected {
    /// The stage's place in the flow.
    pub(super) stage: usize,
    /// Its place among the records of this parcel that came to the stage, from 0.
    pub(super) place: u64,
    pub(super) reason: String,
    pub(super) record: Bytes,
}

/// Deals parcels out.
#[derive(Debug)]
pub(super) struct Outlet {
    to: Vec<Sender<Parcel>>,
    next: usize,
}

/// Takes parcels back in order.
#[derive(Debug)]
pub(super) struct Inlet {
    from: Vec<Receiver<Parcel>>,
    next: usize,
}

/// So many channels side by side.
pub(super) fn channels(number: usize, room: usize) -> (Outlet, Inlet) {
    let (to, from) = (0..number.max(1)).map(|_| channel(room)).unzip();
    let outlet = Outlet { to, next: 0 };
    let inlet = Inlet { from, next: 0 };
    (outlet, inlet)
}

impl Outlet {
    /// Sends a parcel; false: nobody takes it any more.
    pub(super) async fn send(&mut self, parcel: Parcel) -> bool {
        let Some(to) = self.to.get(self.next) else {
            return false;
        };
        let taken = to.send(parcel).await.is_ok();
        self.next = (self.next + 1) % self.to.len();
        taken
    }

    /// Sends the last parcel, and says to all that there are no more. Who goes without saying so has failed, and nobody takes that for an end.
    pub(super) async fn end(mut self, last: Parcel) {
        let tail = |parcel| Parcel {
            tail: true,
            ..parcel
        };
        if let [to] = self.to.as_slice() {
            // Who is gone has failed, too.
            let _gone = to.send(tail(last)).await;
            return;
        }
        self.send(last).await;
        for to in &self.to {
            let _gone = to.send(tail(Parcel::default())).await;
        }
    }

    /// One outlet for each of its receivers.
    pub(super) fn split(self) -> Vec<Self> {
        let to = self.to.into_iter();
        to.map(|to| Self {
            to: vec![to],
            next: 0,
        })
        .collect()
    }
}

impl Inlet {
    /// The next parcel; none: that was all. It waits for ever where a sender failed: the run is about to end then. Nothing is lost if it is not awaited to its end.
    pub(super) async fn next(&mut self) -> Option<Parcel> {
        let from = self.from.get_mut(self.next)?;
        let Some(parcel) = from.recv().await else {
            return std::future::pending().await;
        };
        if parcel.tail {
            // Whoever comes after it in the turn has nothing left but its own tail.
            self.from.remove(self.next);
        } else {
            self.next += 1;
        }
        if self.next >= self.from.len() {
            self.next = 0;
        }
        Some(parcel)
    }

    /// One inlet for each of its senders.
    pub(super) fn split(self) -> Vec<Self> {
        let from = self.from.into_iter();
        from.map(|from| Self {
            from: vec![from],
            next: 0,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(place: u64) -> Parcel {
        Parcel {
            came: vec![(0, place)],
            ..Parcel::default()
        }
    }

    #[tokio::test]
    async fn parcels_keep_their_order_over_workers_of_any_speed() {
        for (workers, parcels) in [(1, 5), (3, 0), (3, 1), (3, 7), (4, 8)] {
            let (mut outlet, inlet) = channels(workers, 2);
            let (back, mut all) = channels(workers, 2);
            let pairs = inlet.split().into_iter().zip(back.split()).enumerate();
            for (worker, (mut from, mut to)) in pairs {
                tokio::spawn(async move {
                    while let Some(parcel) = from.next().await {
                        for _ in 0..(workers - worker) * 3 {
                            tokio::task::yield_now().await;
                        }
                        to.send(Parcel {
                            tail: false,
                            ..parcel
                        })
                        .await;
                    }
                    to.end(parcel(100 + worker as u64)).await;
                });
            }
            tokio::spawn(async move {
                for place in 0..parcels {
                    outlet.send(parcel(place)).await;
                }
                outlet.end(parcel(parcels)).await;
            });
            let mut got = Vec::new();
            while let Some(parcel) = all.next().await {
                got.extend(parcel.came.first().map(|c| c.1));
            }
            let regular = got.iter().copied().filter(|n| *n < 100);
            assert!(regular.eq(0..=parcels), "{got:?}");
            let tails = got.iter().rev().take(workers).all(|n| *n >= 100);
            assert!(tails, "{got:?}");
        }
    }

    #[tokio::test]
    async fn a_sender_that_fails_is_no_end() {
        use futures_util::FutureExt as _;
        let (mut outlet, mut inlet) = channels(2, 2);
        outlet.send(parcel(0)).await;
        drop(outlet);
        assert!(inlet.next().now_or_never().is_some());
        assert!(inlet.next().now_or_never().is_none());
    }
}
