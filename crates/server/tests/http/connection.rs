//! Connections: limits, time-outs, clients that leave, shutdown.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Request, parse, until, until_closed};
use crate::world::{KEY, World, limited, world};

/// Long enough to see that nothing comes.
const SHORT: Duration = Duration::from_millis(150);
/// A time-out that a busy machine keeps within for what is to pass, and that a test can wait for.
const LIMIT: Duration = Duration::from_millis(700);

fn chat(told: &str, stream: bool) -> Request {
    let body =
        json!({"model": "echo", "stream": stream, "messages": [{"role": "user", "content": told}]});
    Request::new("POST", "/v1/chat/completions")
        .key(KEY)
        .json(body.to_string())
}

async fn open(world: &World) -> TcpStream {
    TcpStream::connect(world.address).await.unwrap()
}

async fn write(socket: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    socket.write_all(bytes.as_ref()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_call() {
    let world = world().await;
    for (told, stream) in [("hang", true), ("hang silently", true), ("hang", false)] {
        let before = world.log.count("dropped");
        let mut socket = open(&world).await;
        write(&mut socket, chat(told, stream).bytes()).await;
        if told == "hang" && stream {
            until(&mut socket, "begun").await;
        }
        world.log.until("hanging").await;
        drop(socket);
        let wait = async {
            while world.log.count("dropped") == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(crate::world::PATIENCE, wait)
            .await
            .expect("the call is dropped");
    }
}

#[tokio::test]
async fn a_client_that_shuts_its_half_is_gone() {
    let world = world().await;
    let mut socket = open(&world).await;
    write(&mut socket, chat("hang silently", true).bytes()).await;
    world.log.until("hanging").await;
    socket.shutdown().await.unwrap();
    world.log.until("dropped").await;
}

#[tokio::test]
async fn a_slow_reader_makes_the_plugin_wait_and_is_cut_off_in_the_end() {
    let world = limited(|l| l.idle_timeout = Duration::from_millis(400)).await;
    let mut socket = open(&world).await;
    write(&mut socket, chat("flood", true).bytes()).await;
    // The client reads nothing at all.
    world.log.until("flooding").await;
    world.log.until("dropped").await;
    assert!(
        !world.log.has("too much"),
        "64 MB were buffered for a client that reads nothing"
    );
}

#[tokio::test]
async fn a_deadline_ends_a_call_whose_client_reads_nothing() {
    for world in [world().await, crate::world::strict().await] {
        let mut socket = open(&world).await;
        write(&mut socket, chat("flood for a second", true).bytes()).await;
        world.log.until("flooding").await;
        // The connection stays open for its idle time, more than a minute; the call does not.
        world.log.until("dropped").await;
        let wait = async {
            loop {
                let plugin = world.get("/api/v1/plugins/echo").await.json();
                if plugin["calls"]["in_flight"] == 0 {
                    return plugin;
                }
            }
        };
        let plugin = tokio::time::timeout(crate::world::PATIENCE, wait)
            .await
            .expect("no call is in flight");
        assert_eq!(plugin["faults"][0]["code"], "deadline_exceeded");
        // What was sent before is still there for the client.
        until(&mut socket, "xxx").await;
    }
}

#[tokio::test]
async fn heads_that_trickle_are_cut_off() {
    let world = limited(|l| l.header_timeout = LIMIT).await;
    for sent in ["", "GET / HTTP/1.1\r\nHost: x\r\nX: "] {
        let mut socket = open(&world).await;
        write(&mut socket, sent).await;
        assert_eq!(until_closed(&mut socket).await, b"", "{sent:?}");
    }
    // A later head on a connection that has served one before.
    let mut socket = open(&world).await;
    write(&mut socket, Request::new("GET", "/").bytes_with("")).await;
    until(&mut socket, "{\"status\":true}").await;
    write(&mut socket, "GET / HTT").await;
    assert_eq!(until_closed(&mut socket).await, b"");
}

#[tokio::test]
async fn idle_connections_live_longer_than_heads_and_then_close() {
    let world = limited(|l| {
        l.header_timeout = LIMIT;
        l.idle_timeout = 4 * LIMIT;
    })
    .await;
    let mut socket = open(&world).await;
    write(&mut socket, Request::new("GET", "/").bytes_with("")).await;
    until(&mut socket, "{\"status\":true}").await;
    let readable = tokio::time::timeout(2 * LIMIT, socket.readable()).await;
    assert!(
        readable.is_err(),
        "the connection is still open after its head's time-out"
    );
    assert_eq!(until_closed(&mut socket).await, b"");
}

#[tokio::test]
async fn bodies_are_bounded_in_time_and_size() {
    let world = limited(|l| {
        l.body_timeout = LIMIT;
        l.max_body_bytes = 1000;
        l.max_upload_bytes = 2000;
    })
    .await;
    let mut socket = open(&world).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n"
    );
    write(&mut socket, format!("{head}Content-Length: 100\r\n\r\n{{")).await;
    let late = parse(&until_closed(&mut socket).await, false);
    late.check(408, "body_timeout", "0.7 s");

    let large = "x".repeat(1001);
    let declared = world.post("/v1/chat/completions", large.clone()).await;
    declared.check(413, "body_too_large", "1000 bytes");
    let mut socket = open(&world).await;
    write(
        &mut socket,
        format!("{head}Transfer-Encoding: chunked\r\n\r\n3e9\r\n{large}\r\n0\r\n\r\n"),
    )
    .await;
    parse(&until_closed(&mut socket).await, false).check(413, "body_too_large", "1000 bytes");

    let upload =
        |size: usize| Request::new("POST", "/pipelines/upload").file("x.wasm", &vec![0; size]);
    world
        .send(upload(2001))
        .await
        .check(413, "body_too_large", "2000 bytes");
    world
        .send(upload(1500))
        .await
        .check(422, "not_a_component", "component");
}

#[tokio::test]
async fn heads_are_bounded_in_size_and_number() {
    let world = limited(|l| {
        l.max_head_bytes = 8192;
        l.max_headers = 20;
    })
    .await;
    let long = Request::new("GET", "/").header("X-Long", &"x".repeat(20_000));
    assert_eq!(world.send_bare(long).await.status, 431);
    let mut many = Request::new("GET", "/");
    for n in 0..40 {
        many = many.header(&format!("x-{n}"), "1");
    }
    assert_eq!(world.send_bare(many).await.status, 431);
    let mut socket = open(&world).await;
    write(&mut socket, "rubbish\r\n\r\n").await;
    assert_eq!(parse(&until_closed(&mut socket).await, false).status, 400);
}

#[tokio::test]
async fn connections_over_the_cap_wait_their_turn() {
    let world = limited(|l| l.max_connections = 2).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut socket = open(&world).await;
        write(&mut socket, Request::new("GET", "/").bytes_with("")).await;
        until(&mut socket, "{\"status\":true}").await;
        held.push(socket);
    }
    let mut third = open(&world).await;
    write(&mut third, Request::new("GET", "/").bytes()).await;
    let readable = tokio::time::timeout(SHORT, third.readable()).await;
    assert!(readable.is_err(), "the third connection waits");
    drop(held.pop());
    until(&mut third, "{\"status\":true}").await;
}

#[tokio::test]
async fn a_connection_serves_many_requests_each_with_an_id() {
    let world = world().await;
    let mut socket = open(&world).await;
    for n in 0..5 {
        let id = format!("my-{n}");
        write(
            &mut socket,
            chat("x", n % 2 == 0)
                .header("X-Request-Id", &id)
                .bytes_with(""),
        )
        .await;
        let end = if n % 2 == 0 { "0\r\n\r\n" } else { "]}" };
        let answer = until(&mut socket, end).await;
        assert!(
            answer.contains(&format!("x-request-id: {id}\r\n")),
            "{answer}"
        );
    }
    let fresh = world
        .send_bare(Request::new("GET", "/").header("X-Request-Id", "in valid"))
        .await;
    assert_eq!(fresh.header("x-request-id").map(str::len), Some(36));
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish_and_takes_no_more() {
    let world = world().await;
    let mut idle = open(&world).await;
    write(&mut idle, Request::new("GET", "/").bytes_with("")).await;
    until(&mut idle, "{\"status\":true}").await;
    let mut part = open(&world).await;
    let bytes = chat("x", false).bytes_with("Connection: close\r\nExpect: 100-continue\r\n");
    let body = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = bytes.split_at(body);
    write(&mut part, head).await;
    until(&mut part, "100 Continue").await;
    let mut other = world;
    let stop = other.stop.take().unwrap();
    let address = other.address;
    stop.send(()).unwrap();
    assert_eq!(
        until_closed(&mut idle).await,
        b"",
        "idle connections close at once"
    );
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
    write(&mut part, body).await;
    assert_eq!(parse(&until_closed(&mut part).await, false).status, 200);
    other.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let world = limited(|l| l.drain = SHORT).await;
    let mut socket = open(&world).await;
    write(&mut socket, chat("hang", true).bytes()).await;
    until(&mut socket, "begun").await;
    let log = world.log.clone();
    world.end().await.unwrap();
    log.until("dropped").await;
}
