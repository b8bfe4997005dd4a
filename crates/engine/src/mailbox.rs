//! A bounded queue of what waits for one plugin: events, casts. Who puts in and who takes out is `exchange`'s business.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::slot::lock;

/// Most bytes that wait in one mailbox.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What waits, in order.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Notify,
    taken: Notify,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Waiting<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    closed: bool,
    /// Does the taker work on what it took last?
    busy: bool,
    /// Items that ever came in.
    pushed: u64,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                items: VecDeque::new(),
                bytes: 0,
                closed: false,
                busy: false,
                pushed: 0,
            }),
            arrived: Notify::new(),
            taken: Notify::new(),
            dropped: AtomicU64::new(0),
        }
    }
}

impl<T> Waiting<T> {
    fn has_room(&self, bytes: usize, most: usize) -> bool {
        self.items.is_empty()
            || (self.items.len() < most && self.bytes.saturating_add(bytes) <= MAX_BYTES)
    }

    fn push(&mut self, bytes: usize, item: T) {
        self.bytes += bytes;
        self.pushed += 1;
        self.items.push_back((bytes, item));
    }

    fn pop(&mut self) -> Option<T> {
        let (bytes, item) = self.items.pop_front()?;
        self.bytes -= bytes;
        Some(item)
    }
}

impl<T> Mailbox<T> {
    /// Is there room for an item of so many bytes, where at most `most` items may wait?
    pub(crate) fn has_room(&self, bytes: usize, most: usize) -> bool {
        lock(&self.waiting).has_room(bytes, most)
    }

    /// Puts an item in if there is room; did it?
    pub(crate) fn try_push(&self, bytes: usize, most: usize, item: T) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.closed || !waiting.has_room(bytes, most) {
            return false;
        }
        waiting.push(bytes, item);
        drop(waiting);
        self.arrived.notify_one();
        true
    }

    /// Puts an item in; the oldest ones make room where there is none, and are counted.
    pub(crate) fn push(&self, bytes: usize, most: usize, item: T) {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return;
        }
        while !waiting.has_room(bytes, most) {
            waiting.pop();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        waiting.push(bytes, item);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The oldest item, when there is one; none once the mailbox is closed. For one taker, which has done with the item before.
    pub(crate) async fn next(&self) -> Option<T> {
        loop {
            {
                let mut waiting = lock(&self.waiting);
                waiting.busy = false;
                if waiting.closed {
                    return None;
                }
                if let Some(item) = waiting.pop() {
                    waiting.busy = true;
                    drop(waiting);
                    self.taken.notify_waiters();
                    return Some(item);
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Waits until an item was taken out after this call began; look for room again then.
    pub(crate) fn taken(&self) -> tokio::sync::futures::Notified<'_> {
        self.taken.notified()
    }

    /// Lets everything go; nothing comes in any more.
    pub(crate) fn close(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.closed = true;
        waiting.items = VecDeque::new();
        waiting.bytes = 0;
        drop(waiting);
        self.arrived.notify_one();
        self.taken.notify_waiters();
    }

    /// Items that wait.
    pub(crate) fn len(&self) -> usize {
        lock(&self.waiting).items.len()
    }

    /// How many items ever came in, if nothing waits and nothing is being worked on.
    pub(crate) fn idle(&self) -> Option<u64> {
        let waiting = lock(&self.waiting);
        (waiting.items.is_empty() && !waiting.busy).then_some(waiting.pushed)
    }

    /// Items dropped for want of room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn the_oldest_goes_and_is_counted() {
        let mailbox = Mailbox::default();
        for n in 0..5 {
            mailbox.push(1, 3, n);
        }
        assert_eq!((mailbox.len(), mailbox.dropped()), (3, 2));
        assert!(!mailbox.try_push(1, 3, 9));
        let taken: Vec<_> =
            std::iter::from_fn(|| mailbox.next().now_or_never().flatten()).collect();
        assert_eq!(taken, [2, 3, 4]);
        assert!(mailbox.try_push(1, 3, 9));
        mailbox.close();
        assert_eq!(mailbox.next().now_or_never(), Some(None));
        mailbox.push(1, 3, 9);
        assert_eq!(mailbox.len(), 0);
    }

    #[test]
    fn it_is_idle_when_the_taker_comes_back() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.idle(), Some(0));
        mailbox.push(1, 3, 'a');
        assert_eq!(mailbox.idle(), None, "it waits");
        assert_eq!(mailbox.next().now_or_never(), Some(Some('a')));
        assert_eq!(mailbox.idle(), None, "it is being worked on");
        assert_eq!(mailbox.next().now_or_never(), None);
        assert_eq!(mailbox.idle(), Some(1));
    }

    #[test]
    fn bytes_are_bounded() {
        let mailbox = Mailbox::default();
        for n in 0..3 {
            mailbox.push(MAX_BYTES / 2, 100, n);
        }
        assert_eq!((mailbox.len(), mailbox.dropped()), (2, 1));
        mailbox.push(MAX_BYTES * 2, 100, 3);
        assert_eq!(mailbox.len(), 1, "one is let in whatever its size");
    }
}
