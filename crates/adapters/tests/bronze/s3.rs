//! A bucket of a real object store, where `tests/object-store/run.sh` has started one; without it there is nothing to do here.

use adapters::bronze::S3;
use adapters::http::HyperEgress;

use super::*;

/// `http://host:port` of a store with a bucket `raw`, the key `k` and the secret `s`.
const ENDPOINT: &str = "WEIR_TEST_S3";

fn bucket(endpoint: &str, secret: &str) -> Archive {
    let options = S3 {
        endpoint: Some(endpoint.to_owned()),
        region: "us-east-1".into(),
        bucket: "raw".into(),
        prefix: "/server 1/".into(),
        access_key: "k".into(),
        secret_key: secret.to_owned(),
    };
    assert!(!format!("{options:?}").contains(secret) || secret == "s");
    Archive::s3(&options, &HyperEgress::new().unwrap()).unwrap()
}

#[tokio::test]
async fn segments_lie_in_a_bucket() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let archive = |secret: &'static str| {
        let endpoint = endpoint.clone();
        move || Some(bucket(&endpoint, secret))
    };
    // One segment of several parts, and three small ones.
    let noise: Vec<u8> = (0..20u64 << 15)
        .flat_map(|n| Sha256::digest(n.to_le_bytes()))
        .collect();
    let log = open_with(dir.path(), Options::default(), archive("wrong")).await;
    put(&log, vec![raw(noise, NOON)]).await;
    for day in 1..5 {
        put(&log, vec![raw(format!("day {day}"), NOON + day * DAY)]).await;
    }
    let before = all(&log).await;
    // A wrong secret is told, and nothing is lost.
    let uploaded = log.upload().await.unwrap();
    assert_eq!((uploaded.segments, uploaded.failed.len()), (0, 1));
    println!("refused: {}", uploaded.failed[0]);
    drop(log);

    let log = open_with(dir.path(), Options::default(), archive("s")).await;
    let uploaded = log.upload().await.unwrap();
    assert_eq!((uploaded.segments, &uploaded.failed), (4, &vec![]));
    let keep = Retention {
        now_ms: NOON + 9 * DAY,
        age_ms: None,
        bytes: None,
        local_ms: Some(0),
        taken: Taken::All,
    };
    assert_eq!(log.sweep(id("p"), keep).await.unwrap().local_files, 4);
    assert_eq!(found(&dir.path().join("p"), "bronze").len(), 0);
    assert!(all(&log).await == before);
    let old = Retention {
        age_ms: Some(8 * DAY),
        ..keep
    };
    assert_eq!(log.sweep(id("p"), old).await.unwrap().segments, 1);
    assert!(all(&log).await == before[1..]);
    println!("{} segments in a bucket", uploaded.segments);
}
