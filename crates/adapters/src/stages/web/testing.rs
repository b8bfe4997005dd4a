//! For tests of the stages that speak HTTP: a real server on loopback whose answers are scripted byte by byte, and a time that waits for nobody.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use model::BoxFuture;
use model::access::{Access, Files};
use model::data::{Batch, Encoding, Most, Opening, Reject, Unreadable};
use model::error::Fault;
use model::grants::HttpGrant;
use model::id::PipelineId;
use model::ports::{Clock, Timer};
use model::run::RunId;
use model::stage::{Context, Progress, SinkKind, SourceKind};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::caller::Web;
use crate::http::HyperEgress;

/// A request as it came in.
#[derive(Debug, Clone)]
pub(in crate::stages) struct Seen {
    /// `GET /path?query`.
    pub(in crate::stages) line: String,
    head: String,
    pub(in crate::stages) body: String,
}

impl Seen {
    /// The value of a header; all of them are in lower case here.
    pub(in crate::stages) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|l| l.split_once(": "));
        let found = lines.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

/// What is sent back.
#[derive(Debug, Clone)]
pub(in crate::stages) struct Reply {
    bytes: Vec<u8>,
    closes: bool,
}

impl Reply {
    /// With these lines of its head (the first is the status) and this body, whole.
    pub(in crate::stages) fn new(head: &[&str], body: impl AsRef<[u8]>) -> Self {
        let length = format!("content-length: {}", body.as_ref().len());
        let lines: Vec<&str> = head.iter().copied().chain([length.as_str()]).collect();
        Self::raw(&lines, body)
    }

    /// The same, with a length only if it is given.
    pub(in crate::stages) fn raw(head: &[&str], body: impl AsRef<[u8]>) -> Self {
        let mut bytes = format!("HTTP/1.1 {}\r\n\r\n", head.join("\r\n")).into_bytes();
        bytes.extend_from_slice(body.as_ref());
        Self {
            bytes,
            closes: false,
        }
    }

    /// 200 with JSON.
    pub(in crate::stages) fn json(body: impl AsRef<[u8]>) -> Self {
        Self::new(&["200 OK", "content-type: application/json"], body)
    }

    /// The connection is closed after it.
    pub(in crate::stages) fn closing(self) -> Self {
        Self {
            closes: true,
            ..self
        }
    }

    /// None at all.
    pub(in crate::stages) fn silence() -> Self {
        Self {
            bytes: Vec::new(),
            closes: false,
        }
    }
}

type Script = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

/// A server on loopback.
pub(in crate::stages) struct Upstream {
    pub(in crate::stages) origin: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    /// Answers by the number of the request, from 0, and what it is.
    pub(in crate::stages) async fn start(
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, all): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&all)));
            }
        });
        Self { origin, seen }
    }

    /// The answers in turn, the last one over and over.
    pub(in crate::stages) async fn replies(replies: Vec<Reply>) -> Self {
        Self::start(move |n, _| replies[n.min(replies.len() - 1)].clone()).await
    }

    pub(in crate::stages) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The first lines of the requests.
    pub(in crate::stages) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|s| s.line).collect()
    }
}

/// Serves a connection until the other side closes it, or an answer says so.
async fn serve(mut stream: TcpStream, script: Arc<Script>, all: Arc<Mutex<Vec<Seen>>>) {
    let mut buffer = Vec::new();
    while let Some(seen) = request(&mut stream, &mut buffer).await {
        let reply = {
            let mut all = all.lock().unwrap();
            let reply = script(all.len(), &seen);
            all.push(seen);
            reply
        };
        if stream.write_all(&reply.bytes).await.is_err() || reply.closes {
            return;
        }
    }
}

async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let mut seen = Seen {
                line: head.lines().next()?.trim_end_matches(" HTTP/1.1").into(),
                head,
                body: String::new(),
            };
            let length = seen
                .header("content-length")
                .map_or(0, |l| l.parse().unwrap());
            if buffer.len() >= end + 4 + length {
                let body = &buffer[end + 4..end + 4 + length];
                seen.body = String::from_utf8_lossy(body).into_owned();
                buffer.drain(..end + 4 + length);
                return Some(seen);
            }
        }
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// A time that goes on only when somebody waits, at once.
#[derive(Debug, Default)]
pub(in crate::stages) struct Time {
    waits: Mutex<Vec<Duration>>,
}

impl Time {
    /// What was waited, each time.
    pub(in crate::stages) fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap().clone()
    }
}

impl Clock for Time {
    fn now(&self) -> SystemTime {
        // Sun, 06 Nov 1994 08:49:37 GMT.
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.waits().iter().sum()
    }
}

impl Timer for Time {
    fn wait(&self, span: Duration) -> BoxFuture<'static, ()> {
        self.waits.lock().unwrap().push(span);
        Box::pin(std::future::ready(()))
    }
}

/// The real client, and a time for tests.
pub(in crate::stages) fn web() -> (Web, Arc<Time>) {
    let time = Arc::new(Time::default());
    let web = Web {
        egress: Arc::new(HyperEgress::new().unwrap()),
        clock: Arc::clone(&time) as Arc<dyn Clock>,
        timer: Arc::clone(&time) as Arc<dyn Timer>,
    };
    (web, time)
}

/// A context that may reach what the grant says; none: all.
pub(in crate::stages) fn context(http: Option<HttpGrant>) -> Context {
    Context {
        pipeline: PipelineId::new("p").unwrap(),
        run: RunId::of(1),
        stage: "s".into(),
        access: Arc::new(Access {
            files: Files::Anywhere(PathBuf::from("/nowhere")),
            http,
            databases: None,
        }),
        record_bytes: 1000,
        parsed_next: false,
        secrets: Arc::default(),
        progress: Arc::new(Progress::default()),
        notes: Arc::new(model::stage::Unheard),
        raw: None,
    }
}

/// What a source gave until it was done or failed.
#[derive(Debug, Default)]
pub(in crate::stages) struct Got {
    pub(in crate::stages) records: Vec<String>,
    pub(in crate::stages) rejects: Vec<Unreadable>,
    /// The cursor after each pull.
    pub(in crate::stages) cursors: Vec<String>,
    pub(in crate::stages) fault: Option<Fault>,
}

impl Got {
    /// The records, where nothing went wrong.
    pub(in crate::stages) fn whole(self) -> Vec<String> {
        assert_eq!((&self.fault, self.rejects.as_slice()), (&None, &[][..]));
        self.records
    }

    /// What went wrong, in words.
    pub(in crate::stages) fn failed(&self) -> String {
        self.fault.as_ref().unwrap().to_string()
    }
}

/// Opens a source and pulls until it is done or fails, `records` at a time.
pub(in crate::stages) async fn read(
    kind: &dyn SourceKind,
    options: &Value,
    cursor: Option<String>,
    context: Context,
    records: u32,
) -> Got {
    let opening = Opening {
        config: options.to_string(),
        cursor,
        window: None,
    };
    let mut got = Got::default();
    let mut reader = match kind.open(opening, context).await {
        Ok(reader) => reader,
        Err(fault) => {
            got.fault = Some(fault);
            return got;
        }
    };
    let bytes = 1 << 20;
    loop {
        match reader.pull(Most { records, bytes }).await {
            Ok(pulled) => {
                let text = String::from_utf8(pulled.batch.data.to_vec()).unwrap();
                let lines: Vec<_> = text.lines().map(str::to_owned).collect();
                assert_eq!(lines.len(), pulled.batch.count as usize);
                assert!(pulled.batch.count <= records);
                got.records.extend(lines);
                got.rejects.extend(pulled.rejects);
                got.cursors.extend(pulled.cursor);
                if pulled.done {
                    return got;
                }
            }
            Err(fault) => {
                got.fault = Some(fault);
                return got;
            }
        }
    }
}

/// Opens a sink and pushes batches with their keys; stops at the first that fails.
pub(in crate::stages) async fn push(
    kind: &dyn SinkKind,
    options: &Value,
    context: Context,
    batches: &[(&str, &str)],
) -> Vec<Result<Vec<Reject>, Fault>> {
    let mut writer = match kind.open(options.to_string(), context).await {
        Ok(writer) => writer,
        Err(fault) => return vec![Err(fault)],
    };
    let mut all = Vec::new();
    for (key, lines) in batches {
        let batch = Batch {
            encoding: Encoding::Ndjson,
            count: u32::try_from(lines.lines().count()).unwrap(),
            data: lines.as_bytes().to_vec().into(),
        };
        all.push(writer.push(batch, (*key).into()).await);
    }
    if all.iter().all(Result::is_ok) {
        writer.finish().await.unwrap();
    }
    all
}
