//! The newest records of pipelines: what was last, and what comes now.

use e2e::server::Server;
use e2e::sse::Event;
use e2e::wait::PATIENCE;
use futures_util::{SinkExt, StreamExt};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderName;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::pipelines::{Place, copy, run};

fn told(event: &Event) -> (u64, Vec<Value>) {
    let payload = event.payload();
    let records = payload["records"].as_array().unwrap().clone();
    (payload["count"].as_u64().unwrap(), records)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_records_are_kept_and_told_as_they_come() {
    let place = Place::new().await;
    place.spec("a", &copy("a", "a.ndjson"));
    place.spec(
        "many",
        &copy("many", "many.ndjson").replace("in.ndjson", "many.ndjson"),
    );
    let lines: String = (0..5_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    std::fs::write(place.data("many.ndjson"), lines).unwrap();
    let server = place.serve().await;
    let none = server.get("/api/v1/pipelines/a/recent").await;
    assert_eq!(none.json(), json!({"records": []}));

    let mut live = server.follow("/api/v1/pipelines/a/live", None).await;
    let first = run(&server, "a", &json!({})).await;
    let event = live.next().await;
    assert_eq!(event.topic, "weir.pipeline.a.records");
    assert_eq!(event.payload()["run_id"], first["id"]);
    let all = [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})];
    assert_eq!(told(&event), (3, all.to_vec()));
    drop(live);

    // Who comes back hears what came meanwhile, and nothing of other pipelines.
    let second = run(&server, "a", &json!({"limit": 1})).await;
    run(&server, "many", &json!({})).await;
    let path = "/api/v1/pipelines/a/live";
    let mut live = server.follow(path, Some(event.id)).await;
    let event = live.next().await;
    assert_eq!(told(&event), (1, vec![json!({"n": 1})]));

    let recent = server
        .get("/api/v1/pipelines/a/recent?limit=3")
        .await
        .json();
    let records = recent["records"].as_array().unwrap();
    let shown: Vec<_> = records
        .iter()
        .map(|r| (&r["run_id"], &r["record"]["n"]))
        .collect();
    let (one, two) = (&first["id"], &second["id"]);
    assert_eq!(
        shown,
        [(two, &json!(1)), (one, &json!(3)), (one, &json!(2))]
    );
    assert!(records[0]["time_ms"].as_u64() >= records[1]["time_ms"].as_u64());

    // Of many the newest are shown, and all are counted.
    let mut live = server.follow("/api/v1/pipelines/many/live", Some(1)).await;
    assert_eq!(live.next().await.topic, "weir.gap");
    let mut count = 0;
    let mut last = Value::Null;
    while count < 5_000 {
        let (number, records) = told(&live.next().await);
        assert!(!records.is_empty() && records.len() <= 100, "{number}");
        count += number;
        last = records[records.len() - 1].clone();
    }
    assert_eq!((count, last), (5_000, json!({"n": 4_999})));
    // A dry run gives sinks nothing.
    run(&server, "a", &json!({"dry_run": true})).await;
    let recent = server.get("/api/v1/pipelines/a/recent").await.json();
    assert_eq!(recent["records"].as_array().unwrap().len(), 4);
}

/// A WebSocket to this path.
async fn open(server: &Server, path: &str) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let mut asked = format!("ws://{}{path}", server.host)
        .into_client_request()
        .unwrap();
    for (name, value) in server.request("GET", path).headers {
        let name: HeaderName = name.parse().unwrap();
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    connect_async(asked).await.unwrap().0
}

/// The next message with text; none: the server said goodbye.
async fn heard(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Option<Value> {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_tells_the_same_and_ends_with_the_server() {
    let place = Place::new().await;
    place.spec("a", &copy("a", "a.ndjson"));
    let mut server = place.serve().await;
    let path = "/api/v1/pipelines/a/live";
    let mut socket = open(&server, path).await;
    run(&server, "a", &json!({})).await;
    let first = heard(&mut socket).await.unwrap();
    assert_eq!(first["topic"], "weir.pipeline.a.records");
    assert_eq!(
        first["payload"]["records"],
        json!([{"n": 1}, {"n": 2}, {"n": 3}])
    );
    // What it says is passed over, and time-outs of requests do not end it.
    socket.send(Message::text("hello")).await.unwrap();
    run(&server, "a", &json!({"limit": 1})).await;
    let second = heard(&mut socket).await.unwrap();
    assert_eq!(second["payload"]["records"], json!([{"n": 1}]));
    drop(socket);
    let again = format!("{path}?last_event_id={}", first["id"]);
    let mut socket = open(&server, &again).await;
    assert_eq!(heard(&mut socket).await.unwrap(), second);
    let mut lost = open(&server, &format!("{path}?last_event_id=1")).await;
    assert_eq!(heard(&mut lost).await.unwrap()["topic"], "weir.gap");
    drop(lost);
    server.signal(Signal::TERM);
    assert_eq!(heard(&mut socket).await, None, "it says goodbye");
    server.ended(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_told() {
    let place = Place::new().await;
    place.spec("a", &copy("a", "a.ndjson"));
    let server = place.serve().await;
    for (path, status) in [
        ("nobody/recent", 404),
        ("nobody/live", 404),
        ("a/recent?limit=0", 400),
        ("a/recent?limit=1001", 400),
        ("a/live?last_event_id=x", 400),
    ] {
        let answer = server.get(&format!("/api/v1/pipelines/{path}")).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
}
