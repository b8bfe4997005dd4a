//! Native stages wait by the time they are given: with a time that passes at once, hours of back-off and a slow pace take none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use adapters::http::HyperEgress;
use adapters::stages::{ArrowConvert, Console, StagePorts, natives};
use model::BoxFuture;
use model::access::{Access, Files};
use model::data::{Most, Opening};
use model::id::PipelineId;
use model::ports::{Clock, Timer};
use model::run::RunId;
use model::stage::{Context, Unheard};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A time that goes on only when somebody waits, at once.
#[derive(Debug, Default)]
struct Time(Mutex<Vec<Duration>>);

impl Clock for Time {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().unwrap().iter().sum()
    }
}

impl Timer for Time {
    fn wait(&self, span: Duration) -> BoxFuture<'static, ()> {
        self.0.lock().unwrap().push(span);
        Box::pin(std::future::ready(()))
    }
}

/// A server that gives these answers in turn, one a connection.
async fn server(answers: Vec<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let _length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    format!("http://{address}/")
}

#[tokio::test]
async fn a_source_waits_by_the_timer_of_its_host() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 3600\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let down =
        "HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let good = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\ncontent-length: 8\r\n\r\n{\"n\":1}\n";
    let url = server(vec![busy, down, good]).await;
    let time = Arc::new(Time::default());
    let ports = StagePorts {
        egress: Arc::new(HyperEgress::new().unwrap()),
        clock: Arc::<Time>::clone(&time),
        timer: Arc::<Time>::clone(&time),
        program: PathBuf::from("weir"),
        console: Console::in_run_log(),
    };
    let all = natives(&ports, Arc::new(ArrowConvert)).sources;
    let http = all.iter().find(|k| k.described().name == "http").unwrap();
    let options = json!({"url": url, "retry": {"max_retries": 3, "max_delay": "2h"}});
    let opening = Opening {
        config: options.to_string(),
        cursor: None,
        window: None,
    };
    let context = Context {
        pipeline: PipelineId::new("p").unwrap(),
        run: RunId::of(1),
        stage: "s".into(),
        access: Arc::new(Access {
            files: Files::Within(Vec::new()),
            http: None,
            databases: None,
        }),
        record_bytes: 1 << 20,
        parsed_next: false,
        secrets: Arc::default(),
        progress: Arc::default(),
        notes: Arc::new(Unheard),
        raw: None,
    };
    let mut reader = http.open(opening, context).await.unwrap();
    let most = Most {
        records: 10,
        bytes: 1 << 20,
    };
    let pulled = reader.pull(most).await.unwrap();
    assert_eq!(&pulled.batch.data[..], b"{\"n\":1}\n");
    let waited = time.monotonic();
    assert!(waited > Duration::from_secs(3600), "{waited:?}");
}
