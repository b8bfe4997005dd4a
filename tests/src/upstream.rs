//! Servers on loopback that the server under test talks to: files to add plugins from, and a language model that streams.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What to answer to a path.
#[derive(Debug, Clone)]
pub enum Reply {
    /// This body with status 200.
    Body(Vec<u8>),
    /// These bytes as they are, head included, in pieces; then the connection closes.
    Raw(Vec<Vec<u8>>),
    /// These bytes as they are, then nothing more, and the connection stays.
    Stall(Vec<u8>),
    /// These bytes, then the second ones for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// These bytes, then one more every so many milliseconds.
    Drip(Vec<u8>, u64),
    /// The first ones, the second ones so many times, and the last ones; then the connection closes.
    Repeat(Vec<u8>, Vec<u8>, usize, Vec<u8>),
    /// The first ones, and the second ones once the gate is open; then the connection closes.
    Gated(Vec<u8>, Arc<Semaphore>, Vec<u8>),
    /// To each request the next of these, and the last to all after it.
    InTurn(Vec<Reply>),
}

impl Reply {
    /// A whole answer with a body of this type. `status` is its number and words.
    #[must_use]
    pub fn answer(status: &str, content_type: &str, body: &str) -> Self {
        Self::more(status, content_type, body, 0)
    }

    /// An answer that says it has so many bytes more than come.
    #[must_use]
    pub fn cut(content_type: &str, body: &str, more: usize) -> Self {
        Self::more("200 OK", content_type, body, more)
    }

    fn more(status: &str, content_type: &str, body: &str, more: usize) -> Self {
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len() + more
        );
        Self::Raw(vec![head.into_bytes(), body.as_bytes().to_vec()])
    }
}

/// The head of an answer of 200 whose body ends with the connection.
#[must_use]
pub fn head(content_type: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n")
        .into_bytes()
}

/// A server on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub host: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    /// Serves these paths; any other is a 404.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(replies: Vec<(&str, Reply)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let host = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let replies: Arc<Vec<(String, Reply)>> = Arc::new(
            replies
                .into_iter()
                .map(|(p, r)| (p.to_owned(), r))
                .collect(),
        );
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (replies, log) = (Arc::clone(&replies), Arc::clone(&log));
                tokio::spawn(async move {
                    // The other side may leave at any time.
                    drop(serve(stream, &replies, &log).await);
                });
            }
        });
        Self { host, seen }
    }

    /// The requests so far, head and body.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("a log").clone()
    }
}

/// A chat completion streamed as OpenAI does, one chunk a word.
#[must_use]
pub fn openai_stream(words: &[&str]) -> Reply {
    let mut pieces = vec![
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec(),
    ];
    for word in words {
        let chunk = serde_json::json!({
            "id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "up",
            "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": null}],
        });
        pieces.push(format!("data: {chunk}\n\n").into_bytes());
    }
    pieces.push(b"data: [DONE]\n\n".to_vec());
    Reply::Raw(pieces)
}

async fn serve(
    mut stream: TcpStream,
    replies: &[(String, Reply)],
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let request = read_request(&mut stream).await?;
    let path = path_of(&request).to_owned();
    let before = {
        let mut log = log.lock().expect("a log");
        log.push(request);
        let to_it = log.iter().filter(|r| path_of(r) == path);
        to_it.count() - 1
    };
    let mut reply = replies.iter().find(|(p, _)| *p == path).map(|(_, r)| r);
    if let Some(Reply::InTurn(all)) = reply {
        reply = all.get(before).or(all.last());
    }
    match reply {
        Some(Reply::InTurn(_)) => Ok(()),
        None => {
            let gone = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(gone).await
        }
        Some(Reply::Body(body)) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body).await
        }
        Some(Reply::Raw(pieces)) => {
            stream.set_nodelay(true)?;
            for piece in pieces {
                stream.write_all(piece).await?;
                stream.flush().await?;
            }
            Ok(())
        }
        Some(Reply::Stall(bytes)) => {
            stream.write_all(bytes).await?;
            wait_for_close(&mut stream).await
        }
        Some(Reply::Endless(head, piece)) => {
            stream.write_all(head).await?;
            loop {
                stream.write_all(piece).await?;
            }
        }
        Some(Reply::Repeat(first, piece, times, last)) => {
            stream.write_all(first).await?;
            for _ in 0..*times {
                stream.write_all(piece).await?;
            }
            stream.write_all(last).await
        }
        Some(Reply::Gated(first, gate, second)) => {
            stream.write_all(first).await?;
            if let Ok(turn) = gate.acquire().await {
                turn.forget();
            }
            stream.write_all(second).await
        }
        Some(Reply::Drip(head, each_ms)) => {
            stream.set_nodelay(true)?;
            stream.write_all(head).await?;
            loop {
                tokio::time::sleep(Duration::from_millis(*each_ms)).await;
                stream.write_all(b".").await?;
            }
        }
    }
}

/// The path of a request, without its query.
fn path_of(request: &str) -> &str {
    let path = request.split(' ').nth(1).unwrap_or_default();
    path.split('?').next().unwrap_or_default()
}

async fn wait_for_close(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Reads a head, and a body where a `content-length` says how long it is.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_lowercase();
            let length = lower
                .lines()
                .find_map(|l| l.strip_prefix("content-length: "));
            let length: usize = length.and_then(|l| l.trim().parse().ok()).unwrap_or(0);
            let ended =
                !lower.contains("transfer-encoding: chunked") || body.ends_with("0\r\n\r\n");
            if body.len() >= length && ended {
                return Ok(text.into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
