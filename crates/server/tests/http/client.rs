//! A plain HTTP/1.1 client that sees chunks, reason phrases and cut connections as they are.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::PATIENCE;

/// A request to be sent on a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// HTTP chunks, where the body came in chunks.
    pub(crate) chunks: Vec<String>,
    /// Did the body end as HTTP wants it?
    pub(crate) complete: bool,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            headers: vec![],
            body: None,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("Authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn json(self, body: impl Into<String>) -> Self {
        self.header("Content-Type", "application/json")
            .body(body.into())
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// A form with one file.
    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        let mut body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n--b--\r\n");
        self.header("Content-Type", "multipart/form-data; boundary=b")
            .body(body)
    }

    /// The bytes on the wire. The connection closes after the answer.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes_with("Connection: close\r\n")
    }

    /// The bytes on the wire, with more header lines.
    pub(crate) fn bytes_with(&self, more: &str) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: test\r\n{more}",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    pub(crate) async fn send(self, to: SocketAddr) -> Reply {
        let mut socket = TcpStream::connect(to).await.unwrap();
        socket.write_all(&self.bytes()).await.unwrap();
        let head_only = self.method == "HEAD";
        parse(&until_closed(&mut socket).await, head_only)
    }
}

/// Reads until the other side closes, one way or the other.
pub(crate) async fn until_closed(socket: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::time::timeout(PATIENCE, socket.read(&mut buffer)).await;
        match read.expect("the server closes the connection") {
            Ok(0) | Err(_) => return all,
            Ok(n) => all.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Reads until `wanted` has come.
pub(crate) async fn until(socket: &mut TcpStream, wanted: &str) -> String {
    let mut all = Vec::new();
    let mut buffer = vec![0; 4096];
    while !String::from_utf8_lossy(&all).contains(wanted) {
        let read = tokio::time::timeout(PATIENCE, socket.read(&mut buffer)).await;
        let n = read
            .unwrap_or_else(|_| panic!("no {wanted:?} came"))
            .unwrap();
        assert!(
            n > 0,
            "closed before {wanted:?}: {}",
            String::from_utf8_lossy(&all)
        );
        all.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

pub(crate) fn parse(bytes: &[u8], head_only: bool) -> Reply {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, rest) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no head in {text:?}"));
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap().splitn(3, ' ').collect();
    let headers: Vec<_> = lines
        .filter_map(|l| l.split_once(": "))
        .map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()))
        .collect();
    let mut reply = Reply {
        status: first[1].parse().unwrap(),
        reason: first.get(2).copied().unwrap_or_default().to_owned(),
        headers,
        body: rest.to_owned(),
        chunks: vec![],
        complete: true,
    };
    if reply.header("transfer-encoding") == Some("chunked") {
        (reply.chunks, reply.complete) = chunks(rest);
        reply.body = reply.chunks.concat();
    } else if let Some(length) = reply.header("content-length") {
        reply.complete = head_only || length == rest.len().to_string();
    }
    reply
}

fn chunks(mut rest: &str) -> (Vec<String>, bool) {
    let mut all = Vec::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else {
            return (all, false);
        };
        if size == 0 {
            return (all, true);
        }
        let Some(chunk) = after.get(..size) else {
            return (all, false);
        };
        all.push(chunk.to_owned());
        rest = after.get(size + 2..).unwrap_or_default();
    }
    (all, false)
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Checks an error three ways: `detail`, `error`, reason phrase.
    pub(crate) fn check(&self, status: u16, code: &str, words: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        assert_eq!(body["error"]["code"], code, "{self:?}");
        assert_eq!(body["error"]["message"], body["detail"]);
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{words:?} in {detail:?}");
        let start: String = detail.chars().take(20).collect();
        assert!(self.reason.starts_with(start.trim()), "{self:?}");
    }
}
