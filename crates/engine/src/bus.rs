//! The bus in memory: the last events in a bounded ring, and listeners that follow it. Delivery to plugins is `exchange`'s business.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use model::BoxFuture;
use model::events::{Event, EventBus, Heard, Topic, TopicPattern};
use model::exchange::Cause;
use model::ports::Clock;
use tokio::sync::watch;

use crate::slot::lock;

/// Most events that are kept for listeners that come back.
const KEPT: usize = 10_000;
/// Most bytes of their payloads.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Keeps the last events in memory, bounded by their number and the bytes of their payloads.
#[derive(Debug)]
pub struct LocalBus {
    first: u64,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    ring: Mutex<Ring>,
    last: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    most: usize,
    most_bytes: usize,
    /// In order, without gaps in their ids.
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    last: u64,
}

impl LocalBus {
    /// An empty bus that keeps the last 10,000 events, and at most 16 MiB of payloads. Ids start at the time it is made, in microseconds: they are exact in a JSON number until
    /// the year 2255.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::bounded(clock, KEPT, KEPT_BYTES)
    }

    /// One that keeps so many events, and so many bytes of payloads, but always the last event.
    pub(crate) fn bounded(clock: Arc<dyn Clock>, most: usize, most_bytes: usize) -> Self {
        let since = clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let last = u64::try_from(since.as_micros()).unwrap_or(0);
        Self {
            first: last,
            shared: Arc::new(Shared {
                clock,
                ring: Mutex::new(Ring {
                    most,
                    most_bytes,
                    events: VecDeque::new(),
                    bytes: 0,
                    last,
                }),
                last: watch::Sender::new(last),
            }),
        }
    }

    /// Ids of its events come after this one: what is before is from another bus.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The events that are kept, the newest first.
    pub(crate) fn kept(&self) -> Vec<Arc<Event>> {
        let ring = lock(&self.shared.ring);
        ring.events.iter().rev().cloned().collect()
    }
}

impl Ring {
    fn push(&mut self, event: &Arc<Event>) {
        self.bytes += event.payload.len();
        self.events.push_back(Arc::clone(event));
        while self.events.len() > self.most
            || (self.bytes > self.most_bytes && self.events.len() > 1)
        {
            if let Some(old) = self.events.pop_front() {
                self.bytes -= old.payload.len();
            }
        }
    }

    /// What there is after this id; none: nothing to tell yet. `id` becomes the last event looked at.
    fn after(&self, id: &mut u64, patterns: &[TopicPattern], most: usize) -> Option<Heard> {
        if *id > self.last {
            // From another clock: what it missed cannot be known.
            *id = self.last;
        }
        let first = self.events.front().map_or(self.last + 1, |e| e.id);
        let missed = first.saturating_sub(*id + 1);
        let skip = usize::try_from((*id + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let mut events = Vec::new();
        for event in self.events.iter().skip(skip) {
            if events.len() == most {
                break;
            }
            *id = event.id;
            if patterns.is_empty() || patterns.iter().any(|p| p.matches(&event.topic)) {
                events.push(Arc::clone(event));
            }
        }
        let missed = (missed > 0).then_some(missed);
        (missed.is_some() || !events.is_empty()).then_some(Heard {
            events,
            last: *id,
            missed,
        })
    }
}

impl EventBus for LocalBus {
    fn publish(
        &self,
        topic: Topic,
        origin: Arc<str>,
        payload: Arc<str>,
        cause: Cause,
    ) -> Arc<Event> {
        let at = self.shared.clock.now();
        let mut ring = lock(&self.shared.ring);
        ring.last += 1;
        let event = Arc::new(Event {
            id: ring.last,
            topic,
            origin,
            at,
            payload,
            cause,
        });
        ring.push(&event);
        drop(ring);
        self.shared.last.send_replace(event.id);
        event
    }

    fn after(
        &self,
        mut id: u64,
        patterns: Arc<[TopicPattern]>,
        most: usize,
    ) -> BoxFuture<'static, Heard> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let mut last = shared.last.subscribe();
            loop {
                last.mark_unchanged();
                if let Some(heard) = lock(&shared.ring).after(&mut id, &patterns, most.max(1)) {
                    return heard;
                }
                // The sender lives in `shared`, so this cannot fail.
                if last.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        })
    }

    fn last(&self) -> u64 {
        lock(&self.shared.ring).last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::time::{Duration, SystemTime};

    #[derive(Debug)]
    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_micros(100)
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn bus() -> LocalBus {
        LocalBus::new(Arc::new(Stopped))
    }

    fn publish(bus: &LocalBus, topic: &str) -> u64 {
        let topic = Topic::new(topic).unwrap();
        bus.publish(topic, "p".into(), "1".into(), Cause::default())
            .id
    }

    fn look(bus: &LocalBus, id: u64, pattern: &str) -> Option<(Vec<u64>, u64, Option<u64>)> {
        let patterns = [TopicPattern::new(pattern).unwrap()].into();
        let heard = bus.after(id, patterns, 1_000_000).now_or_never()?;
        let ids = heard.events.iter().map(|e| e.id).collect();
        Some((ids, heard.last, heard.missed))
    }

    #[test]
    fn listeners_see_their_topics_in_order() {
        let bus = bus();
        assert_eq!(bus.last(), 100);
        assert_eq!(look(&bus, 100, "*"), None);
        assert_eq!(publish(&bus, "a.x"), 101);
        publish(&bus, "b");
        publish(&bus, "a.y");
        assert_eq!(look(&bus, 100, "a.*"), Some((vec![101, 103], 103, None)));
        assert_eq!(look(&bus, 101, "a.*"), Some((vec![103], 103, None)));
        assert_eq!(look(&bus, 103, "*"), None);
        assert_eq!(look(&bus, 100, "c"), None);
        assert_eq!(look(&bus, 5_000, "*"), None, "an id of the future");
    }

    #[test]
    fn the_ring_is_bounded_and_says_what_was_missed() {
        let bus = bus();
        for _ in 0..KEPT + 5 {
            publish(&bus, "a");
        }
        let (ids, last, missed) = look(&bus, 100, "*").unwrap();
        assert_eq!((ids.len(), missed), (KEPT, Some(5)));
        assert_eq!(last, bus.last());
        let big = "x".repeat(KEPT_BYTES / 2 + 1);
        for _ in 0..3 {
            let topic = Topic::new("big").unwrap();
            bus.publish(topic, "p".into(), big.as_str().into(), Cause::default());
        }
        assert_eq!(lock(&bus.shared.ring).events.len(), 1);
    }

    #[tokio::test]
    async fn a_listener_wakes_up() {
        let bus = Arc::new(bus());
        let waiting = tokio::spawn(bus.after(100, Arc::default(), 10));
        tokio::task::yield_now().await;
        publish(&bus, "a");
        assert_eq!(waiting.await.unwrap().events.len(), 1);
    }
}
