//! A plain HTTP/1.1 client over sockets: sees reason phrases, chunk boundaries and cut connections as they are. No TLS, no redirects.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a whole call may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// As they are sent; `host`, `connection` and the body's length are added.
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// Sends the body in chunks, without a `content-length`.
    pub chunked: bool,
}

impl Request {
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            headers: vec![],
            body: None,
            chunked: false,
        }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn bearer(self, key: &str) -> Self {
        self.header("Authorization", &format!("Bearer {key}"))
    }

    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json")
            .body(body.to_string().into_bytes())
    }

    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    /// A form with one file, as Open WebUI's admin page sends it: in chunks, of type `application/octet-stream`.
    #[must_use]
    pub fn file(mut self, name: &str, content: &[u8]) -> Self {
        let mut body = format!(
            "--weir-e2e\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        body.extend(content);
        body.extend(b"\r\n--weir-e2e--\r\n");
        self.chunked = true;
        self.header("Content-Type", "multipart/form-data; boundary=weir-e2e")
            .body(body)
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn bytes(&self, host: SocketAddr, keep_alive: bool) -> Vec<u8> {
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let body = self.body.as_deref().unwrap_or_default();
        if self.chunked {
            head += "Transfer-Encoding: chunked\r\n\r\n";
            let mut out = head.into_bytes();
            for piece in body.chunks(64 * 1024) {
                out.extend(format!("{:x}\r\n", piece.len()).bytes());
                out.extend(piece);
                out.extend(b"\r\n");
            }
            out.extend(b"0\r\n\r\n");
            return out;
        }
        if self.body.is_some() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        let mut out = head.into_bytes();
        out.extend(body);
        out
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The chunks of a chunked body.
    pub chunks: Option<Vec<String>>,
    /// Did the body end as it should?
    pub complete: bool,
}

impl Answer {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, v)| v.as_str())
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("no JSON ({e}): {} {}", self.status, self.text()))
    }

    /// The text of a chat completion.
    #[must_use]
    pub fn content(&self) -> String {
        self.json()["choices"][0]["message"]["content"]
            .as_str()
            .unwrap_or_else(|| panic!("no completion: {} {}", self.status, self.text()))
            .to_owned()
    }

    /// The `data:` lines of an event stream.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        self.text()
            .lines()
            .filter_map(|l| l.strip_prefix("data:"))
            .map(|l| l.trim().to_owned())
            .collect()
    }
}

/// Sends a request on a connection of its own.
///
/// # Errors
/// When there is no connection, no answer, or it takes too long. A body that is cut is no error: see [`Answer::complete`].
pub async fn send(host: SocketAddr, request: &Request) -> io::Result<Answer> {
    let mut connection = Connection::open(host).await?;
    let bytes = request.bytes(host, false);
    connection.call(&bytes, request.method == "HEAD").await
}

/// One connection, for several requests.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(host: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Sends bytes and reads one answer.
    ///
    /// # Errors
    /// As [`send`].
    pub async fn call(&mut self, request: &[u8], head_only: bool) -> io::Result<Answer> {
        self.send(request).await?;
        let read = tokio::time::timeout(LIMIT, self.read_answer(head_only));
        read.await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Sends bytes. A server that answers early and closes is no error.
    ///
    /// # Errors
    /// When sending takes too long.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let write = tokio::time::timeout(LIMIT, self.stream.write_all(request));
        match write.await.map_err(|_| io::ErrorKind::TimedOut)? {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Reads the head of an answer; the body is left to be read.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn read_head(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if self.read_more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().splitn(3, ' ').skip(1);
        let status = first.next().and_then(|s| s.parse().ok());
        Ok(Answer {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            reason: first.next().unwrap_or_default().to_owned(),
            headers: lines
                .filter_map(|l| l.split_once(": "))
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            ..Answer::default()
        })
    }

    /// Reads some more bytes and returns all that are there; none at the end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn read_some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.read_more().await?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    async fn read_answer(&mut self, head_only: bool) -> io::Result<Answer> {
        let mut answer = self.read_head().await?;
        let length = answer.header("content-length").and_then(|l| l.parse().ok());
        let is_chunked = answer.header("transfer-encoding") == Some("chunked");
        if head_only || answer.status == 204 {
            answer.complete = true;
        } else if is_chunked {
            self.read_chunks(&mut answer).await?;
        } else {
            let length: usize = length.unwrap_or(usize::MAX);
            while self.buffer.len() < length && self.read_or_end().await? > 0 {}
            let end = self.buffer.len().min(length);
            answer.body = self.buffer.drain(..end).collect();
            answer.complete = length == usize::MAX || end == length;
        }
        Ok(answer)
    }

    async fn read_chunks(&mut self, answer: &mut Answer) -> io::Result<()> {
        let mut chunks = Vec::new();
        loop {
            let line = loop {
                if let Some(at) = find(&self.buffer, b"\r\n") {
                    break Some(at);
                }
                if self.read_or_end().await? == 0 {
                    break None;
                }
            };
            let Some(line) = line else { break };
            let size = String::from_utf8_lossy(&self.buffer[..line]).into_owned();
            let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
                break;
            };
            let end = line + 2 + size + 2;
            while self.buffer.len() < end && self.read_or_end().await? > 0 {}
            let whole = self.buffer.len() >= end;
            let until = (line + 2 + size).min(self.buffer.len());
            let data = self.buffer[line + 2..until].to_vec();
            self.buffer.drain(..end.min(self.buffer.len()));
            if size == 0 {
                answer.complete = whole;
                break;
            }
            answer.body.extend(&data);
            chunks.push(String::from_utf8_lossy(&data).into_owned());
            if !whole {
                break;
            }
        }
        answer.chunks = Some(chunks);
        Ok(())
    }

    /// As `read_more`, where a reset counts as an end: a server may cut a stream that way.
    async fn read_or_end(&mut self) -> io::Result<usize> {
        match self.read_more().await {
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            other => other,
        }
    }

    async fn read_more(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.buffer).await
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}
