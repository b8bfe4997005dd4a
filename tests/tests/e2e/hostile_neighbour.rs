//! A good plugin beside an attacker: its latency and the host's memory stay in bounds. Measured in one run, in turns, since the
//! machine is never quiet: the best of the rounds counts.

use std::time::Duration;

use e2e::load::Load;
use e2e::server::{Server, Setup};

const CLIENTS: usize = 64;
const ROUNDS: usize = 6;
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

/// The 99th percentile of good calls beside the attack, over that without it; the best of some rounds.
async fn slowdown(server: &Server, attack: &str) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let alone = good(server).await;
        let request = server.chat_request(&format!("hostile.{attack}"), "x");
        let attackers = Load::start(server.host, 2, &request, |_| Ok(()));
        let beside = good(server).await;
        attackers.stop().await;
        best = best.min(beside.as_secs_f64() / alone.as_secs_f64());
        println!("{attack}: p99 {alone:?} alone, {beside:?} beside");
        if best <= 2.0 {
            break;
        }
    }
    best
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
        let slowdown = slowdown(&server, attack).await;
        if slowdown > 2.0 {
            wrong.push(format!("{attack}: {slowdown:.1} times slower"));
        }
        let grown = server.footprint().rss.saturating_sub(before.rss);
        // Two attackers with 64 MiB each, and as much again for what is on its way.
        if grown > 256 << 20 {
            wrong.push(format!("{attack}: {} MiB more", grown >> 20));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
