//! What taking webhooks is measured against: a small server that does only that. It verifies the same signature over the same bytes, and answers when the body is in a SQLite table,
//! committed to disk for all who wait at once. `webhook-baseline PORT FILE`.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use tokio::sync::{mpsc, oneshot};

const SECRET: &[u8] = b"topsecret";
/// Bodies in one transaction.
const MOST: usize = 512;

type Waiting = (Bytes, oneshot::Sender<()>);

fn is_signed(signature: Option<&[u8]>, body: &[u8]) -> bool {
    let Some(digits) = signature.filter(|s| s.len() == 64) else {
        return false;
    };
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut raw = [0_u8; 32];
    for (byte, pair) in raw.iter_mut().zip(digits.chunks(2)) {
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => *byte = high << 4 | low,
            _ => return false,
        }
    }
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(body);
    mac.verify_slice(&raw).is_ok()
}

fn keep(file: &Path, mut queue: mpsc::Receiver<Waiting>) {
    let mut connection = rusqlite::Connection::open(file).unwrap();
    let tables = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE b(id INTEGER PRIMARY KEY, body BLOB)";
    connection.execute_batch(tables).unwrap();
    while let Some(first) = queue.blocking_recv() {
        let mut waiting = vec![first];
        while waiting.len() < MOST {
            match queue.try_recv() {
                Ok(next) => waiting.push(next),
                Err(_) => break,
            }
        }
        let transaction = connection.transaction().unwrap();
        {
            let insert = "INSERT INTO b(body) VALUES(?1)";
            let mut insert = transaction.prepare_cached(insert).unwrap();
            for (body, _) in &waiting {
                insert.execute([&body[..]]).unwrap();
            }
        }
        transaction.commit().unwrap();
        for (_, done) in waiting {
            done.send(()).ok();
        }
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let port: u16 = arguments[1].parse().unwrap();
    let file = std::path::PathBuf::from(&arguments[2]);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    let (to, queue) = mpsc::channel::<Waiting>(4096);
    std::thread::spawn(move || keep(&file, queue));
    let to = Arc::new(to);
    let take = move |headers: HeaderMap, body: Bytes| {
        let to = Arc::clone(&to);
        async move {
            let signature = headers.get("x-webhook-signature").map(|v| v.as_bytes());
            if !is_signed(signature, &body) {
                let said = r#"{"error":"Invalid signature"}"#;
                return (StatusCode::UNAUTHORIZED, said);
            }
            let (done, kept) = oneshot::channel();
            to.send((body, done)).await.unwrap();
            kept.await.unwrap();
            (StatusCode::OK, r#"{"status":"received"}"#)
        }
    };
    let app = Router::new().route("/webhooks/{id}", post(take));
    axum::serve(listener, app).await.unwrap();
}
