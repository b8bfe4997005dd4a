//! A process that is killed, and one whose disk is full.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

const FOLDER: &str = "WEIR_TEST_BRONZE_FOLDER";
const WORK: &str = "WEIR_TEST_BRONZE_WORK";
/// How lines begin that say something to the test.
const SAYS: &str = "says ";

/// This test's own program, as a process that runs one of the workers below.
fn start(folder: &Path, work: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    let name = "processes::works_where_it_is_told_to";
    Command::new("bash")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(program)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(WORK, work)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The other side of `start`; without a folder, that is in an ordinary run of the tests, the worker has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn works_where_it_is_told_to() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = PathBuf::from(folder);
    match std::env::var(WORK).unwrap().as_str() {
        "append" => append_for_ever(&folder).await,
        "fill" => fill_the_disk(&folder).await,
        other => panic!("{other}"),
    }
}

/// Eight callers that say what was acknowledged.
async fn append_for_ever(folder: &Path) {
    let log = reopen(folder).await;
    let base = all(&log).await.len() as u64;
    let callers = (0..8).map(|caller| {
        let log = log.clone();
        tokio::spawn(async move {
            for round in 0.. {
                let number = base + round * 8 + caller;
                let text = vec![b'a' + (number % 26) as u8; (number % 5000) as usize];
                let position = put(&log, vec![raw(text, NOON + number)]).await;
                println!("{SAYS}{position} {number}");
            }
        })
    });
    futures_util::future::join_all(callers).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let dir = TempDir::new().unwrap();
    let mut acknowledged = BTreeMap::new();
    for lines in [1, 37, 200, 333] {
        let mut child = start(dir.path(), "append");
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut said = 0;
        for line in out.lines().map_while(Result::ok) {
            // A line that the kill cut short says nothing.
            let Some((position, number)) = line
                .strip_prefix(SAYS)
                .and_then(|rest| rest.split_once(' '))
                .and_then(|(p, n)| Some((p.parse::<Position>().ok()?, n.parse::<u64>().ok()?)))
            else {
                continue;
            };
            acknowledged.insert(position, number);
            said += 1;
            if said == lines {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(said >= lines);
    }
    let log = reopen(dir.path()).await;
    let kept = all(&log).await;
    records(&kept);
    let found: BTreeMap<Position, &RawRecord> =
        kept.iter().map(|k| (k.position, &k.record)).collect();
    for (position, number) in &acknowledged {
        let record = found[position];
        assert_eq!(record.bytes.len() as u64, number % 5000);
        assert!(
            record
                .bytes
                .iter()
                .all(|b| *b == b'a' + (number % 26) as u8)
        );
    }
    assert!(found.len() >= acknowledged.len());
    assert_eq!(super::found(dir.path(), "quarantined").len(), 0);
}

/// Appends until a limit for files is hit, and on when there is room again.
async fn fill_the_disk(folder: &Path) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = |bytes: Option<u64>| {
        let maximum = getrlimit(Resource::Fsize).maximum;
        let current = bytes.or(maximum);
        setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
    };
    let log = open(folder);
    let noise = |n: u64| -> Vec<u8> {
        let blocks = (0..100u64).flat_map(|b| Sha256::digest((n << 32 | b).to_le_bytes()));
        blocks.collect()
    };
    limit(Some(100_000));
    let mut good = 0;
    let error = loop {
        match Bronze::append(&log, id("p"), vec![raw(noise(good), NOON)]).await {
            Ok(_) => good += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, BronzeError::Full(_)), "{error}");
    assert!(error.is_retryable() && good > 20, "{good}");
    assert!(error.to_string().starts_with("no room on disk"), "{error}");
    // Smaller ones may still fit; what does not is not kept.
    let small = put(&log, vec![raw("small", NOON)]).await;
    let again = Bronze::append(&log, id("p"), vec![raw(noise(good), NOON)]).await;
    assert!(again.is_err());
    limit(None);
    let last = put(&log, vec![raw(noise(good), NOON)]).await;
    assert!(last > small && last.segment() == small.segment());
    let mut want: Vec<Vec<u8>> = (0..good).map(noise).collect();
    want.extend([b"small".to_vec(), noise(good)]);
    let check = |kept: Vec<Kept>| {
        let kept: Vec<Vec<u8>> = kept.into_iter().map(|k| k.record.bytes.into()).collect();
        assert!(kept == want);
    };
    check(all(&log).await);
    drop(log);
    check(all(&reopen(folder).await).await);
    println!("{SAYS}done");
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_passes() {
    let dir = TempDir::new().unwrap();
    let child = start(dir.path(), "fill");
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains(&format!("{SAYS}done")), "{text}");
}
