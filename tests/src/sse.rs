//! A client of `GET /api/v1/events`: sees the stream block by block, as it was sent.

use serde_json::Value;

use crate::http::Connection;
use crate::server::Server;
use crate::wait::PATIENCE;

/// A client that listens.
#[derive(Debug)]
pub struct Listener {
    connection: Connection,
    /// As it came, in chunks.
    raw: Vec<u8>,
    /// What was in the chunks.
    text: Vec<u8>,
}

/// One event as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The field `id`.
    pub id: u64,
    /// The field `event`.
    pub topic: String,
    /// The field `data`.
    pub data: Value,
}

impl Event {
    /// What its topic's emitter said.
    #[must_use]
    pub fn payload(&self) -> &Value {
        &self.data["payload"]
    }
}

impl Server {
    /// Listens. `query` is empty or begins with `?`; `last` is the `Last-Event-ID`.
    ///
    /// # Panics
    /// When the server does not let it.
    pub async fn listen(&self, query: &str, last: Option<u64>) -> Listener {
        self.follow(&format!("/api/v1/events{query}"), last).await
    }

    /// Follows the stream of events at this path.
    ///
    /// # Panics
    /// When the server does not let it.
    pub async fn follow(&self, path: &str, last: Option<u64>) -> Listener {
        let mut request = self.request("GET", path);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", &last.to_string());
        }
        let mut connection = Connection::open(self.host).await.expect("a connection");
        let bytes = request.bytes(self.host, true);
        connection.send(&bytes).await.expect("a connection");
        let head = connection.read_head().await.expect("an answer");
        assert_eq!(head.status, 200, "{path}");
        let kind = head.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Listener {
            connection,
            raw: Vec::new(),
            text: Vec::new(),
        }
    }
}

impl Listener {
    /// The next event.
    ///
    /// # Panics
    /// When none comes in time, or the stream ends.
    pub async fn next(&mut self) -> Event {
        loop {
            let block = self.block().await;
            let field = |name: &str| block.lines().find_map(|l| l.strip_prefix(name));
            let Some(topic) = field("event: ") else {
                continue;
            };
            let id = field("id: ").and_then(|id| id.parse().ok());
            let data = field("data: ").and_then(|data| serde_json::from_str(data).ok());
            return Event {
                id: id.unwrap_or_else(|| panic!("no id: {block}")),
                topic: topic.to_owned(),
                data: data.unwrap_or_else(|| panic!("no data: {block}")),
            };
        }
    }

    /// The next events, so many.
    pub async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await);
        }
        events
    }

    /// The next block: an event, or a comment. Without its empty line.
    ///
    /// # Panics
    /// As [`Listener::next`].
    pub async fn block(&mut self) -> String {
        loop {
            if let Some(at) = self.text.windows(2).position(|w| w == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..at + 2).take(at).collect();
                return String::from_utf8(block).expect("a stream of text");
            }
            let read = tokio::time::timeout(PATIENCE, self.connection.read_some()).await;
            let bytes = read.expect("an event in time").expect("a connection");
            assert!(!bytes.is_empty(), "the stream ended");
            self.raw.extend(bytes);
            self.unchunk();
        }
    }

    fn unchunk(&mut self) {
        while let Some(line) = self.raw.windows(2).position(|w| w == b"\r\n") {
            let size = String::from_utf8_lossy(&self.raw[..line]).into_owned();
            let size = usize::from_str_radix(&size, 16).expect("a chunk's size");
            let end = line + 2 + size + 2;
            if self.raw.len() < end {
                return;
            }
            self.text.extend(&self.raw[line + 2..line + 2 + size]);
            self.raw.drain(..end);
        }
    }
}
