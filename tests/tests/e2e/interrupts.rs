//! ctrl-c and `weir run`: the first one cancels in order, the second ends the process at once.

use std::io::Write as _;
use std::os::fd::AsFd as _;

use e2e::bench::Bench;
use e2e::upstream::{Reply, Upstream, head};
use e2e::wait::{PATIENCE, until};
use rustix::fs::{OFlags, fcntl_setfl};
use serde_json::Value;

const SAID: &str = "once more ends it at once";

/// A run that is at work: it has some records, and waits for more.
async fn endless(bench: &Bench) -> Upstream {
    let begun = [head("application/x-ndjson"), b"{\"n\":1}\n".repeat(5000)].concat();
    let up = Upstream::start(vec![("/data", Reply::Stall(begun))]).await;
    bench.spec(&format!(
        "source: {{type: http, url: 'http://{}/data', timeout: 10m}}\nsinks: [{{type: file, path: out.ndjson}}]\n",
        up.host
    ));
    up
}

async fn until_at_work(up: &Upstream, bench: &Bench) {
    until("a request", PATIENCE, async || up.seen().pop()).await;
    until("a file", PATIENCE, async || bench.leftovers().pop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_cancels_the_run_in_order() {
    let bench = Bench::new();
    let up = endless(&bench).await;
    let run = bench.start(&["run", "p.pipeline.yaml", "--json"], |_| ());
    until_at_work(&up, &bench).await;
    run.interrupt();
    let ended = run.wait();
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(ended.error.contains(SAID), "{}", ended.error);
    let record: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(record["state"], "cancelled");
    assert!(!bench.path("out.ndjson").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_ends_the_process_whatever_it_does() {
    let bench = Bench::new();
    let up = endless(&bench).await;
    // Nobody reads what the run prints at its end, and there is no room for it: in order it would never end.
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl_setfl(writer.as_fd(), OFlags::NONBLOCK).unwrap();
    while writer.write(&[b' '; 4096]).is_ok() {}
    while writer.write(b" ").is_ok() {}
    fcntl_setfl(writer.as_fd(), OFlags::empty()).unwrap();
    let run = bench.start(&["run", "p.pipeline.yaml", "--json"], |weir| {
        weir.stdout(writer);
    });
    until_at_work(&up, &bench).await;
    run.interrupt();
    run.until_said(SAID);
    run.interrupt();
    let ended = run.wait();
    assert_eq!(ended.code, 130, "{ended:?}");
    drop(reader);
}
