//! Counts the calls one version has under way, and can be shut: for a while (handover) or for good (replaced). Knows no plugins.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// New calls wait until it opens or closes.
const SHUT: u64 = 1 << 63;
/// New calls go elsewhere.
const CLOSED: u64 = 1 << 62;
const FLAGS: u64 = SHUT | CLOSED;

/// One word: flags and the number of calls, so that entering is a single atomic step.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    word: AtomicU64,
    changed: Notify,
}

/// Why a call did not get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Wait for [`Gate::decided`], then try again.
    Shut,
    /// Another version serves.
    Closed,
}

impl Gate {
    /// Lets a call in; [`Gate::leave`] must follow.
    pub(crate) fn enter(&self) -> Result<(), Refused> {
        let before = self.word.fetch_add(1, Ordering::SeqCst);
        if before & FLAGS == 0 {
            return Ok(());
        }
        self.leave();
        Err(if before & CLOSED == 0 {
            Refused::Shut
        } else {
            Refused::Closed
        })
    }

    /// Counts a call of somebody who began before it was closed; [`Gate::leave`] must follow.
    pub(crate) fn join(&self) {
        self.word.fetch_add(1, Ordering::SeqCst);
    }

    /// A call is over.
    pub(crate) fn leave(&self) {
        let before = self.word.fetch_sub(1, Ordering::SeqCst);
        if before & FLAGS != 0 && before & !FLAGS == 1 {
            self.changed.notify_waiters();
        }
    }

    /// Lets nobody in until [`Gate::open`] or [`Gate::close`].
    pub(crate) fn shut(&self) {
        self.word.fetch_or(SHUT, Ordering::SeqCst);
    }

    /// Lets calls in again.
    pub(crate) fn open(&self) {
        self.word.fetch_and(!SHUT, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Lets nobody in any more. Those that wait go elsewhere.
    pub(crate) fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::SeqCst);
        self.word.fetch_and(!SHUT, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Calls under way.
    pub(crate) fn in_flight(&self) -> u64 {
        self.word.load(Ordering::SeqCst) & !FLAGS
    }

    /// Waits until no call is under way. Only meaningful while it is shut or closed.
    pub(crate) async fn emptied(&self) {
        self.wait(|word| word & !FLAGS == 0).await;
    }

    /// Waits until it is not shut any more.
    pub(crate) async fn decided(&self) {
        self.wait(|word| word & SHUT == 0).await;
    }

    async fn wait(&self, done: impl Fn(u64) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Listen first, then look: a change in between is not missed.
            changed.as_mut().enable();
            if done(self.word.load(Ordering::SeqCst)) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_shut_gate_empties_and_opens_again() {
        let gate = Gate::default();
        gate.enter().unwrap();
        gate.shut();
        assert_eq!(gate.enter(), Err(Refused::Shut));
        assert_eq!(gate.in_flight(), 1);
        let mut emptied = std::pin::pin!(gate.emptied());
        let mut decided = std::pin::pin!(gate.decided());
        assert!(emptied.as_mut().now_or_never().is_none());
        assert!(decided.as_mut().now_or_never().is_none());
        gate.leave();
        assert!(emptied.now_or_never().is_some());
        gate.open();
        assert!(decided.now_or_never().is_some());
        gate.enter().unwrap();
    }

    #[test]
    fn a_closed_gate_stays_closed() {
        let gate = Gate::default();
        gate.shut();
        gate.close();
        assert_eq!(gate.enter(), Err(Refused::Closed));
        gate.open();
        assert_eq!(gate.enter(), Err(Refused::Closed));
        assert!(gate.decided().now_or_never().is_some());
    }
}
