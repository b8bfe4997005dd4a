//! Following the events: what is sent, from where on, to how many, and how it ends.

use std::time::Duration;

use model::events::EventBus;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Request, parse, until, until_closed};
use crate::world::{KEY, PATIENCE, World, limited, world};

fn listen(query: &str) -> Request {
    Request::new("GET", &format!("/api/v1/events{query}")).key(KEY)
}

/// A client that follows, and has got the first line.
async fn open(world: &World, request: Request) -> TcpStream {
    let mut socket = TcpStream::connect(world.address).await.unwrap();
    socket.write_all(&request.bytes()).await.unwrap();
    until(&mut socket, "\n\n").await;
    socket
}

/// What comes until these words have, without the HTTP chunks around it.
async fn hear(socket: &mut TcpStream, words: &str) -> String {
    let raw = until(socket, words).await;
    raw.lines().map(|l| format!("{l}\n")).collect()
}

/// The data of the event of this name.
fn data(heard: &str, name: &str) -> Value {
    let (_, rest) = heard
        .split_once(&format!("event: {name}\n"))
        .unwrap_or_else(|| panic!("no {name} in {heard}"));
    let line = rest.lines().next().unwrap();
    serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()
}

#[tokio::test]
async fn events_are_sent_as_they_happen_with_their_payload_as_it_is() {
    let world = world().await;
    let mut socket = open(&world, listen("?topic=orders.*&topic=x")).await;
    world.event("other", "1");
    let event = world.event("orders.new", "{\"b\":1.50,\n \"a\":1E5,\"t\":\"ü\"}");
    let heard = hear(&mut socket, "}\n\n").await;
    let id = event.id;
    let line = format!(
        "id: {id}\nevent: orders.new\ndata: {{\"id\":{id},\"topic\":\"orders.new\",\"origin\":\"p\",\"time_ms\":1700000000000,\"payload\":{{\"b\":1.50,  \"a\":1E5,\"t\":\"ü\"}}}}\n\n"
    );
    assert!(
        heard.contains(&line.replace("\n ", " ")),
        "{line}\nin\n{heard}"
    );
    assert!(!heard.contains("other"));
    world.event("x", "[]");
    assert_eq!(
        data(&hear(&mut socket, "]}\n\n").await, "x")["payload"],
        json!([])
    );
}

#[tokio::test]
async fn the_head_asks_proxies_to_pass_events_on() {
    let world = world().await;
    let mut socket = TcpStream::connect(world.address).await.unwrap();
    socket.write_all(&listen("").bytes()).await.unwrap();
    let begun = until(&mut socket, ": listening").await;
    let answer = parse(begun.as_bytes(), true);
    assert_eq!(answer.status, 200);
    let kind = Some("text/event-stream; charset=utf-8");
    assert_eq!(answer.header("content-type"), kind);
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert!(
        begun.contains(&format!("id: {}\n", world.bus.last())),
        "{begun}"
    );
}

#[tokio::test]
async fn a_client_goes_on_where_it_was() {
    let world = world().await;
    // The server has begun once it answers; what was before is not its own.
    assert_eq!(world.get("/healthz").await.status, 200);
    let first = world.event("a", "1").id;
    world.event("a", "2");
    let header = listen("").header("Last-Event-ID", &first.to_string());
    // The header is newer: a browser sends it with the address it began with.
    let both = listen("?last_event_id=1").header("Last-Event-ID", &first.to_string());
    let query = listen(&format!("?last_event_id={first}"));
    for request in [header, both, query] {
        let mut socket = TcpStream::connect(world.address).await.unwrap();
        socket.write_all(&request.bytes()).await.unwrap();
        let heard = hear(&mut socket, "}\n\n").await;
        assert_eq!(data(&heard, "a")["payload"], 2);
        assert!(!heard.contains("weir.gap"), "{heard}");
    }
}

#[tokio::test]
async fn lost_events_are_a_gap() {
    let world = world().await;
    let before = world.bus.last();
    for elsewhere in [1, before - 1, before + 1_000] {
        let mut socket = TcpStream::connect(world.address).await.unwrap();
        let request = listen(&format!("?last_event_id={elsewhere}"));
        socket.write_all(&request.bytes()).await.unwrap();
        let heard = hear(&mut socket, "}\n\n").await;
        assert_eq!(data(&heard, "weir.gap"), json!({"missed": null}));
        assert!(heard.contains(&format!("id: {before}\n")), "{heard}");
    }
    for _ in 0..10_005 {
        world.event("a", "1");
    }
    let mut socket = TcpStream::connect(world.address).await.unwrap();
    let since = listen(&format!("?last_event_id={before}"));
    socket.write_all(&since.bytes()).await.unwrap();
    let heard = hear(&mut socket, "event: a").await;
    assert_eq!(data(&heard, "weir.gap"), json!({"missed": 5}));
    assert!(
        heard.contains(&format!("id: {}\nevent: weir.gap", before + 5)),
        "{heard}"
    );
    assert!(
        heard.contains(&format!("id: {}\nevent: a", before + 6)),
        "{heard}"
    );
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused() {
    let world = world().await;
    let many = "?topic=a".to_owned() + &"&topic=a".repeat(100);
    for (query, words) in [
        ("?topic=a%20b", "\"a b\" is not a topic"),
        ("?topic=a*b", "topic"),
        ("?topic", "topic"),
        (many.as_str(), "at most 100"),
        ("?last_event_id=-1", "last_event_id"),
        ("?last_event_id=", "last_event_id"),
    ] {
        let answer = world.send_bare(listen(query)).await;
        answer.check(400, "bad_request", words);
    }
    let header = listen("").header("Last-Event-ID", "x");
    let answer = world.send_bare(header).await;
    answer.check(400, "bad_request", "Last-Event-ID");
    let bare = Request::new("GET", "/api/v1/events");
    assert_eq!(world.send_bare(bare).await.status, 403);
}

#[tokio::test]
async fn listeners_are_bounded_and_leave_their_place() {
    let world = limited(|l| l.max_listeners = 1).await;
    let socket = open(&world, listen("")).await;
    let answer = world.send_bare(listen("")).await;
    answer.check(503, "too_many_listeners", "max_listeners");
    assert_eq!(answer.header("retry-after"), Some("5"));
    drop(socket);
    until_free(&world).await;
}

/// Waits until another client may listen.
async fn until_free(world: &World) {
    let free = async {
        loop {
            let mut socket = TcpStream::connect(world.address).await.unwrap();
            socket.write_all(&listen("").bytes()).await.unwrap();
            if until(&mut socket, "\r\n").await.contains(" 200 ") {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("a place is free");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    let world = limited(|l| {
        l.max_listeners = 1;
        l.idle_timeout = Duration::from_millis(400);
    })
    .await;
    let socket = open(&world, listen("")).await;
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    for _ in 0..32 {
        world.event("a", &large);
    }
    until_free(&world).await;
    drop(socket);
}

#[tokio::test]
async fn streams_end_when_the_server_does() {
    let mut world = world().await;
    let mut socket = open(&world, listen("")).await;
    world.stop.take().unwrap().send(()).unwrap();
    let rest = until_closed(&mut socket).await;
    assert!(rest.ends_with(b"0\r\n\r\n"), "a whole body: {rest:?}");
    world.end().await.unwrap();
}
