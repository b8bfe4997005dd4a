//! What a server depends on fails under it: the store goes away and comes back, the disk is full and has room again. It stays, says so, and does all it said yes to.

use std::io::Write as _;
use std::time::Duration;

use e2e::http;
use e2e::postgres::Postgres;
use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, Stopwatch, until};
use serde_json::json;

use crate::crashes::{Given, World, check_all, give, hook, store_in};

/// How often the store goes away.
const OUTAGES: usize = 6;
/// For how long there is work before it does.
const LIFE: Duration = Duration::from_millis(300);
/// Room on the disk.
const ROOM: u64 = 24 << 20;

/// Asks for a run that is not to be had; the status, and what it says.
async fn refused(server: &Server) -> (u16, String) {
    let request = server.request("POST", "/api/v1/pipelines/orders/runs");
    let request = request.json(&json!({"parameters": {"n": 1_000_000}}));
    let answer = http::send(server.host, &request).await.unwrap();
    (answer.status, answer.text())
}

/// Other work goes on meanwhile.
async fn check_chat(server: &Server) {
    let answer = server.chat("echo", "still there?").await;
    assert!(answer.text().contains("still there?"), "{}", answer.text());
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_store_goes_away_and_comes_back() {
    let mut postgres = Postgres::start();
    let world = World::new(store_in(&postgres)).await;
    let server = world.start(Setup::new().guest("examples/echo.wasm")).await;
    let mut given = Given::default();
    for outage in 0..OUTAGES {
        world.grow(&mut given.lines);
        let watch = Stopwatch::start();
        let busy = async {
            while watch.elapsed() < LIFE {
                give(&server, &mut given).await;
            }
        };
        let gone = async {
            until("its end", PATIENCE, async || {
                (watch.elapsed() >= LIFE / 2).then_some(())
            })
            .await;
            match outage % 2 {
                0 => postgres.kill(),
                _ => postgres.stop(),
            }
        };
        tokio::join!(busy, gone);
        let (status, said) = refused(&server).await;
        assert_eq!(status, 503, "{said}");
        assert!(said.contains("store_unavailable"), "{said}");
        check_chat(&server).await;
        // A payload is kept without the store.
        let n = 1_000_000 + outage;
        let answer = http::send(server.host, &hook(n)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        given.sent.insert(n);
        world.check_files();
        postgres.start_again();
    }
    assert!(!given.ordered.is_empty() && given.sent.len() > OUTAGES);
    check_all(&world, &server, &given).await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_disk_is_full() {
    let world = World::new(String::new()).await;
    let setup = Setup::new().guest("examples/echo.wasm").disk(ROOM);
    let server = world.setup(setup).start().await;
    let mut given = Given::default();
    for _ in 0..3 {
        world.grow(&mut given.lines);
        give(&server, &mut given).await;
        let filler = server.data().join("filler");
        fill(&filler);
        give(&server, &mut given).await;
        until("payloads are refused", PATIENCE, async || {
            let answer = http::send(server.host, &hook(0)).await.unwrap();
            let refused = answer.status == 503;
            assert!(refused || answer.status == 200, "{}", answer.text());
            given.sent.insert(0);
            refused.then_some(())
        })
        .await;
        until("runs are refused", PATIENCE, async || {
            let (status, said) = refused(&server).await;
            let store = status == 507 && said.contains("store_full");
            assert!(store || [202, 503].contains(&status), "{status} {said}");
            store.then_some(())
        })
        .await;
        check_chat(&server).await;
        std::fs::remove_file(&filler).unwrap();
        until("payloads are taken again", PATIENCE, async || {
            let answer = http::send(server.host, &hook(0)).await.unwrap();
            (answer.status == 200).then_some(())
        })
        .await;
    }
    check_all(&world, &server, &given).await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Fills the disk to the last byte.
fn fill(path: &std::path::Path) {
    let mut file = std::fs::File::create(path).unwrap();
    let mut piece = 1 << 20;
    while piece > 0 {
        if file.write_all(&vec![0; piece]).is_err() {
            piece /= 2;
        }
    }
}
