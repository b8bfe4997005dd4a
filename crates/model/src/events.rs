//! Events: topics, patterns of topics, and the port to a bus. Who may emit what, and delivery to plugins, are other crates' business.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::exchange::Cause;

/// What an event is about: 1 to 200 bytes of `A-Z a-z 0-9 _ - . : /`, the first a letter or digit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// Why a text is no topic or pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a topic{}: 1 to 200 bytes of A-Z a-z 0-9 _ - . : / are allowed, the first a letter or digit{}",
    if *.pattern { " or a pattern of topics" } else { "" },
    if *.pattern { ", and of a pattern a `*` at the end" } else { "" },
)]
pub struct TopicError {
    /// The text, cut after 200 characters.
    pub given: String,
    /// Would a pattern have done?
    pub pattern: bool,
}

impl Topic {
    /// Longest topic, in bytes.
    pub const MAX: usize = 200;
    /// What the topics of the host's own events start with.
    pub const OF_HOST: &'static str = "weir.";

    /// Checks and wraps a topic.
    ///
    /// # Errors
    /// [`TopicError`] when the text does not follow the rules above.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        if is_topic(text) {
            Ok(Self(text.into()))
        } else {
            Err(error(text, false))
        }
    }

    /// The topic as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is it one of the host's own?
    #[must_use]
    pub fn is_of_host(&self) -> bool {
        self.0.starts_with(Self::OF_HOST)
    }
}

fn is_topic(text: &str) -> bool {
    (1..=Topic::MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.:/".contains(c))
}

fn error(text: &str, pattern: bool) -> TopicError {
    TopicError {
        given: text.chars().take(Topic::MAX).collect(),
        pattern,
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// One topic, or all that start with a prefix: `orders.new`, `orders.*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPattern {
    text: Arc<str>,
    is_prefix: bool,
}

impl TopicPattern {
    /// Checks and wraps a pattern.
    ///
    /// # Errors
    /// [`TopicError`] for a text that is neither a topic nor a prefix and `*`.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        let (body, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if is_topic(body) || (is_prefix && body.is_empty()) {
            Ok(Self {
                text: body.into(),
                is_prefix,
            })
        } else {
            Err(error(text, true))
        }
    }

    /// Does it match this topic?
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        if self.is_prefix {
            topic.as_str().starts_with(&*self.text)
        } else {
            topic.as_str() == &*self.text
        }
    }

    /// Does it match every topic that `other` matches?
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if self.is_prefix {
            other.text.starts_with(&*self.text)
        } else {
            self == other
        }
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str(if self.is_prefix { "*" } else { "" })
    }
}

impl serde::Serialize for TopicPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One event as it was queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Grows by one with each event; starts at the boot time in microseconds, so that it grows across restarts, too.
    pub id: u64,
    /// What it is about.
    pub topic: Topic,
    /// The id of the plugin that emitted it, or `weir`.
    pub origin: Arc<str>,
    /// When.
    pub at: SystemTime,
    /// JSON text.
    pub payload: Arc<str>,
    /// Why whoever hears it runs.
    pub cause: Cause,
}

impl Event {
    /// The origin of the host's own events.
    pub const HOST: &'static str = "weir";
}

/// An event was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emitted {
    /// Its id.
    pub id: u64,
}

/// What a listener asks the bus for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Events in order, and where to go on: pass it to the next look.
    pub events: Vec<Arc<Event>>,
    /// The id of the newest event looked at.
    pub last: u64,
    /// Events, of whatever topic, that were dropped before this listener saw them; none: nothing was.
    pub missed: Option<u64>,
}

/// A bus: keeps the last events in order and lets listeners follow. The one in memory is the engine's; a broker may stand behind another.
pub trait EventBus: Send + Sync + fmt::Debug {
    /// Gives an event its id and time and keeps it.
    fn publish(
        &self,
        topic: Topic,
        origin: Arc<str>,
        payload: Arc<str>,
        cause: Cause,
    ) -> Arc<Event>;

    /// The events after this id that match one of the patterns (none given: all). Waits until there is at least one, or some were missed. At most `most` events.
    fn after(
        &self,
        id: u64,
        patterns: Arc<[TopicPattern]>,
        most: usize,
    ) -> crate::BoxFuture<'static, Heard>;

    /// The id of the last event so far.
    fn last(&self) -> u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_patterns() {
        for good in ["a", "orders.new", "org/p:x.y-1_2"] {
            assert_eq!(Topic::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".a", "a b", "a*", "ü", &"a".repeat(201)] {
            assert!(Topic::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "**", "a*b", ".*", "a b*"] {
            assert!(TopicPattern::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn matching_and_covering() {
        let pattern = |t: &str| TopicPattern::new(t).unwrap();
        let topic = |t: &str| Topic::new(t).unwrap();
        assert!(pattern("orders.*").matches(&topic("orders.new")));
        assert!(!pattern("orders.*").matches(&topic("orders")));
        assert!(pattern("orders").matches(&topic("orders")));
        assert!(!pattern("orders").matches(&topic("orders.new")));
        assert!(pattern("*").matches(&topic("a")));
        assert!(pattern("a.*").covers(&pattern("a.b")));
        assert!(pattern("a.*").covers(&pattern("a.b*")));
        assert!(!pattern("a.b*").covers(&pattern("a.*")));
        assert!(!pattern("a.b").covers(&pattern("a.b*")));
        assert!(pattern("*").covers(&pattern("*")));
        assert_eq!(pattern("a.*").to_string(), "a.*");
    }
}
