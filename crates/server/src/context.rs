//! What is known of a conversation. Open WebUI tells its metadata (chat_id, task, ..) to a filter's inlet and takes it out of the chat
//! that follows, so it is kept for a short while and found again by user, model and last user message.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use model::ports::Clock;
use serde_json::value::RawValue;

use crate::json::{Fields, push_string};

/// How long metadata is kept.
const KEPT: Duration = Duration::from_secs(300);
/// Conversations kept at once; the oldest go first.
const MAX_ENTRIES: usize = 10_000;
/// Bytes of all metadata kept at once.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Metadata larger than this is kept without its large fields.
const MAX_ONE: usize = 64 * 1024;
/// A field larger than this is large.
const LARGE_FIELD: usize = 1024;

/// Metadata of recent conversations.
#[derive(Debug)]
pub(crate) struct Conversations {
    clock: Arc<dyn Clock>,
    hashers: (RandomState, RandomState),
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Key, (Duration, Arc<str>)>,
    /// Oldest first; an entry that was written again has an older place that no longer counts.
    order: VecDeque<(Duration, Key)>,
    bytes: usize,
}

/// 128 bits of keyed hash: two conversations never meet by chance, nor by design.
type Key = (u64, u64);

/// What tells conversations apart.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct Spoken<'a> {
    /// The user's id; empty where it is not known.
    pub(crate) user: &'a str,
    /// The model the body names.
    pub(crate) model: &'a str,
    /// The last user message, JSON.
    pub(crate) last: &'a str,
}

impl Conversations {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            hashers: (RandomState::new(), RandomState::new()),
            kept: Mutex::default(),
        }
    }

    /// Keeps the metadata of a conversation. Without a user's id nothing is kept: strangers would find each other's.
    pub(crate) fn remember(&self, spoken: Spoken<'_>, metadata: &RawValue) {
        if spoken.user.is_empty() {
            return;
        }
        let Some(text) = bounded(metadata) else {
            return;
        };
        let (now, key) = (self.clock.monotonic(), self.key(spoken));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += text.len();
        kept.order.push_back((now, key));
        if let Some((_, old)) = kept.entries.insert(key, (now, text)) {
            kept.bytes -= old.len();
        }
        kept.trim(now);
    }

    /// The metadata of a conversation, if it was told lately.
    pub(crate) fn recall(&self, spoken: Spoken<'_>) -> Option<Arc<str>> {
        let (now, key) = (self.clock.monotonic(), self.key(spoken));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.trim(now);
        kept.entries.get(&key).map(|(_, text)| text.clone())
    }

    fn key(&self, spoken: Spoken<'_>) -> Key {
        (
            self.hashers.0.hash_one(spoken),
            self.hashers.1.hash_one(spoken),
        )
    }
}

impl Kept {
    /// Drops what is too old or too much.
    fn trim(&mut self, now: Duration) {
        while let Some((at, key)) = self.order.front().copied() {
            let over = self.bytes > MAX_BYTES || self.order.len() > MAX_ENTRIES;
            if !over && now.saturating_sub(at) < KEPT {
                return;
            }
            self.order.pop_front();
            if self
                .entries
                .get(&key)
                .is_some_and(|(written, _)| *written == at)
                && let Some((_, text)) = self.entries.remove(&key)
            {
                self.bytes -= text.len();
            }
        }
    }
}

/// Metadata that is small enough to keep; without its large fields where it is not.
fn bounded(metadata: &RawValue) -> Option<Arc<str>> {
    let fields = Fields::of(metadata).ok()?;
    if metadata.get().len() <= MAX_ONE {
        return Some(metadata.get().into());
    }
    let mut small = Object::default();
    for (key, value) in fields.iter().filter(|(_, v)| v.get().len() <= LARGE_FIELD) {
        small.push(key, value.get());
    }
    Some(small.finish().into()).filter(|text: &Arc<str>| text.len() <= MAX_ONE)
}

/// The metadata of a chat: what its body says; else what was told to an inlet before, and what headers add to it.
pub(crate) fn metadata(
    told: Option<&RawValue>,
    kept: Option<&str>,
    headers: &HeaderMap,
) -> Option<String> {
    if let Some(told) = told {
        return Some(told.get().to_owned());
    }
    if !has_own(headers) {
        return kept.map(str::to_owned);
    }
    let mut all = Object::default();
    let kept = kept.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    let fields = kept.and_then(|raw| Fields::of(raw).ok());
    for (key, value) in fields.iter().flat_map(Fields::iter) {
        all.push(key, value.get());
    }
    let absent = |key| fields.as_ref().is_none_or(|f| f.get(key).is_none());
    for (name, key) in [
        ("x-openwebui-chat-id", "chat_id"),
        ("x-openwebui-message-id", "message_id"),
        ("x-openwebui-session-id", "session_id"),
        ("x-openwebui-user-id", "user_id"),
        ("x-openwebui-task", "task"),
    ] {
        if let Some(value) = text(headers, name).filter(|_| absent(key)) {
            all.push_text(key, value);
        }
    }
    (!all.is_empty()).then(|| all.finish())
}

/// Did Open WebUI send headers of its own? Looked up once, since most requests have none.
fn has_own(headers: &HeaderMap) -> bool {
    headers
        .keys()
        .any(|name| name.as_str().starts_with("x-openwebui-"))
}

/// The user's id, by those headers.
pub(crate) fn user_id(headers: &HeaderMap) -> Option<&str> {
    if has_own(headers) {
        text(headers, "x-openwebui-user-id")
    } else {
        None
    }
}

/// Who asks, by the headers Open WebUI sends when it is told to.
pub(crate) fn user(headers: &HeaderMap) -> Option<String> {
    if !has_own(headers) {
        return None;
    }
    let mut user = Object::default();
    for (name, key) in [
        ("x-openwebui-user-id", "id"),
        ("x-openwebui-user-name", "name"),
        ("x-openwebui-user-email", "email"),
        ("x-openwebui-user-role", "role"),
    ] {
        if let Some(value) = text(headers, name) {
            user.push_text(key, value);
        }
    }
    (!user.is_empty()).then(|| user.finish())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().filter(|v| !v.is_empty())
}

/// A JSON object under construction.
#[derive(Debug, Default)]
pub(crate) struct Object(String);

impl Object {
    /// Adds a field whose value is JSON.
    pub(crate) fn push(&mut self, key: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        push_string(&mut self.0, key);
        self.0.push(':');
        self.0.push_str(json);
    }

    /// Adds a field whose value is a text.
    pub(crate) fn push_text(&mut self, key: &str, text: &str) {
        let mut json = String::new();
        push_string(&mut json, text);
        self.push(key, &json);
    }

    /// Has it no fields?
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole object.
    pub(crate) fn finish(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::time::SystemTime;

    #[derive(Debug, Default)]
    struct Hand(Mutex<Duration>);

    impl Clock for Hand {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }
        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    const SPOKEN: Spoken<'static> = Spoken {
        user: "u1",
        model: "m",
        last: "\"hi\"",
    };

    #[test]
    fn metadata_is_found_again_for_a_while_by_its_own_conversation() {
        let clock = Arc::new(Hand::default());
        let all = Conversations::new(clock.clone());
        all.remember(SPOKEN, &raw(r#"{"chat_id":"c1"}"#));
        assert_eq!(all.recall(SPOKEN).as_deref(), Some(r#"{"chat_id":"c1"}"#));
        for other in [
            Spoken {
                user: "u2",
                ..SPOKEN
            },
            Spoken {
                model: "n",
                ..SPOKEN
            },
            Spoken {
                last: "\"ho\"",
                ..SPOKEN
            },
        ] {
            assert_eq!(all.recall(other), None);
        }
        *clock.0.lock().unwrap() = Duration::from_secs(299);
        assert!(all.recall(SPOKEN).is_some());
        *clock.0.lock().unwrap() = Duration::from_secs(300);
        assert_eq!(all.recall(SPOKEN), None);
    }

    #[test]
    fn nothing_is_kept_of_a_user_without_an_id() {
        let all = Conversations::new(Arc::new(Hand::default()));
        let nobody = Spoken { user: "", ..SPOKEN };
        all.remember(nobody, &raw(r#"{"chat_id":"c1"}"#));
        assert_eq!(all.recall(nobody), None);
        assert!(all.kept.lock().unwrap().order.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let all = Conversations::new(Arc::new(Hand::default()));
        let large = format!(r#"{{"a":"{}","chat_id":"c"}}"#, "x".repeat(MAX_ONE));
        all.remember(SPOKEN, &raw(&large));
        assert_eq!(all.recall(SPOKEN).as_deref(), Some(r#"{"chat_id":"c"}"#));
        for n in 0..MAX_ENTRIES + 5 {
            let last = n.to_string();
            all.remember(
                Spoken {
                    last: &last,
                    ..SPOKEN
                },
                &raw("{}"),
            );
        }
        let kept = all.kept.lock().unwrap();
        assert!(kept.order.len() <= MAX_ENTRIES && kept.entries.len() <= MAX_ENTRIES);
        let sum: usize = kept.entries.values().map(|(_, t)| t.len()).sum();
        assert_eq!(sum, kept.bytes);
    }

    #[test]
    fn the_body_comes_first_then_what_was_kept_then_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("x-openwebui-chat-id", HeaderValue::from_static("h"));
        headers.insert("x-openwebui-message-id", HeaderValue::from_static("m\"1"));
        let body = raw(r#"{"chat_id":"b"}"#);
        let check = |told, kept, headers: &HeaderMap, want: Option<&str>| {
            assert_eq!(metadata(told, kept, headers).as_deref(), want);
        };
        check(
            Some(&*body),
            Some("{}"),
            &headers,
            Some(r#"{"chat_id":"b"}"#),
        );
        check(
            None,
            Some(r#"{"chat_id":"k"}"#),
            &headers,
            Some(r#"{"chat_id":"k","message_id":"m\"1"}"#),
        );
        check(None, None, &HeaderMap::new(), None);
        assert_eq!(user(&headers), None);
    }
}
