//! A good plugin beside an attacker: its latency and the host's memory stay in bounds. Measured in one run, in turns, since the
//! machine is never quiet: the median of the rounds counts.

use std::time::Duration;

use e2e::load::Load;
use e2e::server::{Server, Setup};

const CLIENTS: usize = 64;
const ATTACKERS: usize = 4;
const ROUNDS: usize = 3;
/// What two slices of the kernel's scheduler cost. Server, clients and attackers share the cores of one machine, so that a
/// difference below it says nothing of the server.
const SLICES: Duration = Duration::from_millis(6);
const SPAN: Duration = Duration::from_millis(700);

async fn good(server: &Server) -> Duration {
    let request = server.chat_request("ok", "hi");
    let check = |answer: &e2e::http::Answer| match answer.status {
        200 => Ok(()),
        other => Err(format!("{other} {}", answer.text())),
    };
    let outcome = Load::start(server.host, CLIENTS, &request, check)
        .run(SPAN)
        .await;
    assert!(
        outcome.failures.is_empty(),
        "{:?}",
        outcome.failures.first()
    );
    outcome.percentile(0.99)
}

/// The 99th percentile of good calls, alone and beside the attack: the median of some rounds each.
async fn measured(server: &Server, attack: &str) -> (Duration, Duration) {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(good(server).await);
        let request = server.chat_request(&format!("hostile.{attack}"), "x");
        let attackers = Load::start(server.host, ATTACKERS, &request, |_| Ok(()));
        beside.push(good(server).await);
        attackers.stop().await;
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    (median(alone), median(beside))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_calls_are_not_slowed_by_attackers() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("hostile/hostile.wasm")
        .file(
            "hostile.toml",
            b"limits = { deadline_ms = 300, memory_bytes = 67108864 }",
        )
        .config("[quarantine]\nfaults = 1000000\n")
        .start()
        .await;
    good(&server).await;
    let before = server.footprint();
    let mut wrong = Vec::new();
    for attack in [
        "spin",
        "grow",
        "fill",
        "host-calls",
        "log",
        "reply-items",
        "sleep",
        "trap",
    ] {
        let (alone, beside) = measured(&server, attack).await;
        println!("{attack}: p99 {alone:?} alone, {beside:?} beside");
        if beside > (alone * 2).max(alone + SLICES) {
            wrong.push(format!("{attack}: p99 {alone:?} alone, {beside:?} beside"));
        }
        let grown = server.footprint().rss.saturating_sub(before.rss);
        // Four attackers with 64 MiB each, and half as much again for what is on its way.
        if grown > 384 << 20 {
            wrong.push(format!("{attack}: {} MiB more", grown >> 20));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
