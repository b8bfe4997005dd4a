//! The recorded calls of the Open WebUI Pipelines server, sent again in strict mode to guests that behave like its pipelines.
//! Every difference is listed, with its reason, in `openwebui/differences.toml`: one that is not fails the test, and so does
//! one that is listed and not there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::guests;
use e2e::http::{Answer, Request};
use e2e::server::{Server, Setup};
use e2e::upstream::{Reply, Upstream};
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

/// A recorded call.
#[derive(Deserialize)]
struct Call {
    name: String,
    needs: Vec<String>,
    request: Sent,
    response: Got,
}

#[derive(Deserialize)]
struct Sent {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_b64: Option<String>,
}

#[derive(Deserialize)]
struct Got {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
    complete: bool,
}

/// The list of differences.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Differences {
    #[serde(default)]
    difference: Vec<Difference>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// The call's name, such as `manage/upload-traversal`.
    call: String,
    /// Any of `status`, `body`, `content-type`, `complete`.
    differs: Vec<String>,
    /// Why it is right that it differs.
    reason: String,
}

fn folder() -> PathBuf {
    guests::root().join("tests/openwebui")
}

fn calls(group: &str) -> Vec<Call> {
    let mut paths: Vec<_> = std::fs::read_dir(folder().join("calls").join(group))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no calls in {group}");
    let read = |p: PathBuf| serde_json::from_slice(&std::fs::read(p).unwrap()).unwrap();
    paths.into_iter().map(read).collect()
}

/// What differs of each call.
type Found = BTreeMap<String, BTreeMap<&'static str, String>>;

async fn replay(group: &str) {
    let calls = calls(group);
    let files = Upstream::start(vec![(
        "/added.py",
        Reply::Body(guests::bytes("corpus/upload/added.wasm")),
    )])
    .await;
    // Weir adds nothing by URL until the operator allows an origin; the reference adds from everywhere.
    let config = format!(
        "[add]\nallow = [\"http://{}\", \"http://127.0.0.1:1\"]\nprivate = [\"127.0.0.0/8\"]\n",
        files.host
    );
    let mut setup = Setup::new().strict().config(&config);
    for need in &calls[0].needs {
        setup = setup.guest(&format!("corpus/{need}.wasm"));
    }
    let server = setup.start().await;
    let mut found = Found::new();
    for call in &calls {
        let answer = server.send(&request(call, &files)).await;
        let differs = compare(&call.response, &answer, &server);
        if !differs.is_empty() {
            found.insert(call.name.clone(), differs);
        }
    }
    judge(group, &found);
}

/// The recorded request, with a component where the recording has Python source, and the port of our own file server.
fn request(call: &Call, files: &Upstream) -> Request {
    const SOURCE: &[u8] = b"class Pipeline:\n    def pipe(self, user_message, model_id, messages, body):\n        return \"uploaded\"\n";
    let sent = &call.request;
    let body = match (&sent.body_b64, &sent.body) {
        (Some(text), _) => Some(BASE64_STANDARD.decode(text).unwrap()),
        (None, Some(text)) => {
            let port = format!("127.0.0.1:{}", files.host.port());
            Some(text.replace("127.0.0.1:9199", &port).into_bytes())
        }
        (None, None) => None,
    };
    let body = body.map(
        |b| match b.windows(SOURCE.len()).position(|w| w == SOURCE) {
            Some(at) => {
                let component = guests::bytes("corpus/upload/upped.wasm");
                [&b[..at], &component, &b[at + SOURCE.len()..]].concat()
            }
            None => b,
        },
    );
    Request {
        method: sent.method.clone(),
        path: sent.path.clone(),
        headers: sent.headers.clone().into_iter().collect(),
        body,
        chunked: false,
    }
}

fn compare(want: &Got, got: &Answer, server: &Server) -> BTreeMap<&'static str, String> {
    let mut differs = BTreeMap::new();
    let mut note = |what: &'static str, want: &str, got: &str| {
        if want != got {
            differs.insert(what, format!("\n    want {want}\n    got  {got}"));
        }
    };
    let wanted_type = want.headers.iter();
    let wanted_type = wanted_type.filter(|(n, _)| n.eq_ignore_ascii_case("content-type"));
    let wanted_type = wanted_type.map(|(_, v)| v.as_str()).next();
    note("status", &want.status.to_string(), &got.status.to_string());
    note(
        "content-type",
        wanted_type.unwrap_or("none"),
        got.header("content-type").unwrap_or("none"),
    );
    note(
        "complete",
        &want.complete.to_string(),
        &got.complete.to_string(),
    );
    let folder = server.plugins().display().to_string();
    let body = got.text().replace(&folder, "/srv/pipelines");
    note("body", &masked(&want.body), &masked(&body));
    differs
}

/// Without what changes from run to run: times, random ids, ports, the order of lists.
fn masked(text: &str) -> String {
    let time = Regex::new(r#"("created": ?)\d+"#).unwrap();
    let id = Regex::new(
        r#"("id": ?"[^"]*-)[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}""#,
    )
    .unwrap();
    let host = Regex::new(r"127\.0\.0\.1:\d+").unwrap();
    let text = time.replace_all(text, "${1}<T>");
    let text = id.replace_all(&text, "${1}<UUID>\"");
    let text = host.replace_all(&text, "<HOST>");
    sorted(&text).unwrap_or_else(|| text.into_owned())
}

fn sorted(text: &str) -> Option<String> {
    // A masked time is no JSON: it stands for a number.
    let mut json: Value = serde_json::from_str(&text.replace("<T>", "0")).ok()?;
    let data = json.as_object_mut()?.get_mut("data")?.as_array_mut()?;
    data.sort_by_key(|m| m["id"].to_string());
    Some(json.to_string())
}

/// Compares what was found with what is listed, both ways.
fn judge(group: &str, found: &Found) {
    let text = std::fs::read_to_string(folder().join("differences.toml")).unwrap();
    let listed: Differences = toml::from_str(&text).unwrap();
    let mut wrong = Vec::new();
    for (call, differs) in found {
        let entry = listed.difference.iter().find(|d| d.call == *call);
        for (what, how) in differs {
            if !entry.is_some_and(|d| d.differs.iter().any(|w| w == what)) {
                wrong.push(format!("{call}: {what} differs and is not listed:{how}"));
            }
        }
    }
    let of_group = |d: &&Difference| d.call.starts_with(&format!("{group}/"));
    for entry in listed.difference.iter().filter(of_group) {
        assert!(!entry.reason.trim().is_empty(), "{}: no reason", entry.call);
        for what in &entry.differs {
            let is_there = found
                .get(&entry.call)
                .is_some_and(|d| d.contains_key(what.as_str()));
            if !is_there {
                wrong.push(format!(
                    "{}: {what} is listed and no longer differs",
                    entry.call
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn auth() {
    replay("auth").await;
}

#[tokio::test]
async fn chat() {
    replay("chat").await;
}

#[tokio::test]
async fn filters() {
    replay("filters").await;
}

#[tokio::test]
async fn manage() {
    replay("manage").await;
}

#[tokio::test]
async fn models() {
    replay("models").await;
}

#[tokio::test]
async fn status() {
    replay("status").await;
}

#[tokio::test]
async fn valves() {
    replay("valves").await;
}

#[test]
fn every_listed_difference_is_of_a_recorded_call() {
    let text = std::fs::read_to_string(folder().join("differences.toml")).unwrap();
    let listed: Differences = toml::from_str(&text).unwrap();
    let groups = [
        "auth", "chat", "filters", "manage", "models", "status", "valves",
    ];
    let names: Vec<_> = groups
        .iter()
        .flat_map(|g| calls(g))
        .map(|c| c.name)
        .collect();
    for entry in &listed.difference {
        assert!(names.contains(&entry.call), "no call {}", entry.call);
    }
}
