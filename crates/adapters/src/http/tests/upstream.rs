//! A scripted upstream on loopback: reads requests' heads and answers with given bytes, however malformed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What it does with a connection.
enum Plan {
    /// The same answer to each request.
    Answer(Vec<u8>),
    /// The answer, then the connection is closed.
    Close(Vec<u8>),
    /// The answer before anything was asked.
    Greet(Vec<u8>),
    /// The head, then the piece for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// The head, then a byte each so many milliseconds.
    Drip(Vec<u8>, Vec<u8>, u64),
}

/// What has happened so far.
#[derive(Default, Clone, Copy)]
struct Counts {
    opened: usize,
    asked: usize,
    closed: usize,
}

pub(super) struct Upstream {
    pub(super) port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    counts: watch::Receiver<Counts>,
}

impl Upstream {
    pub(super) async fn start(answer: &[u8]) -> Self {
        Self::with(Plan::Answer(answer.to_vec())).await
    }

    pub(super) async fn closing(answer: &[u8]) -> Self {
        Self::with(Plan::Close(answer.to_vec())).await
    }

    pub(super) async fn greeting(answer: &[u8]) -> Self {
        Self::with(Plan::Greet(answer.to_vec())).await
    }

    pub(super) async fn endless(head: &[u8], piece: &[u8]) -> Self {
        Self::with(Plan::Endless(head.to_vec(), piece.to_vec())).await
    }

    pub(super) async fn dripping(head: &[u8], body: &[u8], each_ms: u64) -> Self {
        Self::with(Plan::Drip(head.to_vec(), body.to_vec(), each_ms)).await
    }

    async fn with(plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (tell, counts) = watch::channel(Counts::default());
        let (plan, seen) = (Arc::new(plan), Arc::clone(&heads));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tell.send_modify(|c| c.opened += 1);
                let (plan, seen, tell) = (Arc::clone(&plan), Arc::clone(&seen), tell.clone());
                tokio::spawn(async move {
                    serve(stream, &plan, &seen, &tell).await;
                    tell.send_modify(|c| c.closed += 1);
                });
            }
        });
        Self {
            port,
            heads,
            counts,
        }
    }

    /// Its origin under a name.
    pub(super) fn origin(&self, name: &str) -> String {
        format!("http://{name}:{}", self.port)
    }

    /// The head of a request it got.
    pub(super) fn head(&self, index: usize) -> String {
        self.heads.lock().unwrap()[index].clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.counts.borrow().opened
    }

    /// Waits for a request.
    pub(super) async fn asked(&self) {
        self.wait(|c| c.asked > 0).await;
    }

    /// Waits until the other side has closed a connection.
    pub(super) async fn closed(&self) {
        self.wait(|c| c.closed > 0).await;
    }

    async fn wait(&self, reached: impl FnMut(&Counts) -> bool) {
        let mut counts = self.counts.clone();
        let wait = counts.wait_for(reached);
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, wait).await.unwrap().unwrap();
    }
}

/// Serves until the other side closes, or writing fails.
async fn serve(
    mut stream: TcpStream,
    plan: &Plan,
    heads: &Mutex<Vec<String>>,
    tell: &watch::Sender<Counts>,
) {
    if let Plan::Greet(answer) = plan
        && stream.write_all(answer).await.is_err()
    {
        return;
    }
    let mut buffer = Vec::new();
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        heads
            .lock()
            .unwrap()
            .push(String::from_utf8_lossy(&buffer[..end + 4]).into());
        buffer.clear();
        tell.send_modify(|c| c.asked += 1);
        let written = match plan {
            Plan::Answer(answer) => stream.write_all(answer).await.map(|()| true),
            Plan::Greet(_) => Ok(true),
            Plan::Close(answer) => stream.write_all(answer).await.map(|()| false),
            Plan::Endless(head, piece) => endless(&mut stream, head, piece).await,
            Plan::Drip(head, body, each_ms) => drip(&mut stream, head, body, *each_ms).await,
        };
        if !matches!(written, Ok(true)) {
            return;
        }
    }
}

async fn endless(stream: &mut TcpStream, head: &[u8], piece: &[u8]) -> std::io::Result<bool> {
    stream.write_all(head).await?;
    loop {
        stream.write_all(piece).await?;
    }
}

async fn drip(
    stream: &mut TcpStream,
    head: &[u8],
    body: &[u8],
    each_ms: u64,
) -> std::io::Result<bool> {
    stream.set_nodelay(true)?;
    stream.write_all(head).await?;
    for byte in body {
        tokio::time::sleep(Duration::from_millis(each_ms)).await;
        stream.write_all(&[*byte]).await?;
    }
    Ok(true)
}
