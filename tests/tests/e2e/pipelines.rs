//! Data pipelines on a server: specs in folders and over the API, versions, runs, what they may reach. Real files, and a database that never answers.

use std::path::PathBuf;

use e2e::http::{Answer, Request};
use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, until};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Folders of specs and data, and a database that takes connections and says nothing: a run that writes there lasts.
pub(crate) struct Place {
    home: TempDir,
    silent: TcpListener,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["specs", "data"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        let records = "{\"n\":1}\n{\"n\":2}\nno json\n{\"n\":3}\n";
        std::fs::write(home.path().join("data/in.ndjson"), records).unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { home, silent }
    }

    pub(crate) fn specs(&self) -> PathBuf {
        self.home.path().join("specs")
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.home.path().join("data").join(name)
    }

    pub(crate) fn spec(&self, name: &str, text: &str) {
        let path = self.specs().join(format!("{name}.pipeline.yaml"));
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn config(&self) -> String {
        let silent = self.silent.local_addr().unwrap();
        format!(
            "[pipelines]\nfolders = [{:?}]\nfiles = [{:?}]\ndatabases = [\"{silent}\"]\nhttp = {{ allow = [\"http://{silent}\"], private = [\"127.0.0.0/8\"] }}\nreferences = {{ env = [\"WEIR_TEST_*\"] }}\n",
            self.specs(),
            self.data("")
        )
    }

    pub(crate) fn setup(&self, setup: Setup) -> Setup {
        setup
            .config(&self.config())
            .env("WEIR_TEST_PASSWORD", "s3cret-value")
    }

    pub(crate) async fn serve(&self) -> Server {
        self.setup(Setup::new()).start().await
    }

    /// A pipeline that reads all, writes it to a file and to a sink that never gets an answer.
    pub(crate) fn stuck(&self, id: &str, to: &str) -> String {
        let silent = self.silent.local_addr().unwrap();
        format!(
            "id: {id}\nsource: {{type: file, path: in.ndjson}}\nsinks:\n  - {{type: file, path: {to}}}\n  - {{type: http_api, url: 'http://{silent}/', timeout: 10m}}\n"
        )
    }

    /// A pipeline whose sink never gets an answer.
    pub(crate) fn endless(&self, id: &str) -> String {
        let port = self.silent.local_addr().unwrap().port();
        format!(
            "id: {id}\nsource: {{type: file, path: in.ndjson}}\nsink: {{type: postgres, url: 'postgres://u@127.0.0.1:{port}/d', password: '${{env:WEIR_TEST_PASSWORD}}', table: t, timeout: 10m}}\n"
        )
    }
}

/// A pipeline of file to file.
pub(crate) fn copy(id: &str, to: &str) -> String {
    format!(
        "id: {id}\ntags: [test]\nsource: {{type: file, path: in.ndjson, validate: true}}\nsink: {{type: file, path: {to}}}\n"
    )
}

async fn listed(server: &Server) -> Vec<Value> {
    let json = server.get("/api/v1/pipelines").await.json();
    json["pipelines"].as_array().unwrap().clone()
}

/// Waits until a pipeline is listed as wanted.
async fn until_listed(server: &Server, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(&format!("pipeline {id}"), PATIENCE, async || {
        let all = listed(server).await;
        all.into_iter().find(|p| p["id"] == id && wanted(p))
    })
    .await
}

pub(crate) async fn send_spec(server: &Server, method: &str, path: &str, text: &str) -> Answer {
    let request = server.request(method, path).body(text.as_bytes().to_vec());
    server
        .send(&request.header("content-type", "application/yaml"))
        .await
}

/// Runs a pipeline to its end.
pub(crate) async fn run(server: &Server, id: &str, body: &Value) -> Value {
    let mut body = body.clone();
    body["wait"] = true.into();
    let answer = server
        .post(&format!("/api/v1/pipelines/{id}/runs"), &body)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Starts a run and waits until it is at work.
pub(crate) async fn start(server: &Server, id: &str) -> String {
    let answer = server
        .post(&format!("/api/v1/pipelines/{id}/runs"), &json!({}))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        answer.header("location").unwrap(),
        format!("/api/v1/runs/{run}")
    );
    until("the run is at work", PATIENCE, async || {
        let json = server.get(&format!("/api/v1/runs/{run}")).await.json();
        (json["state"] == "running").then_some(())
    })
    .await;
    run
}

/// The events of a stream that ends: names and data.
pub(crate) fn events(answer: &Answer) -> Vec<(String, Value)> {
    let text = answer.text();
    let all = text.split("\n\n").filter_map(|event| {
        let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
        Some((name.to_owned(), serde_json::from_str(data).unwrap()))
    });
    all.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn specs_in_a_folder_are_registered_followed_and_run() {
    let place = Place::new().await;
    place.spec("copy", &copy("copy", "out.ndjson"));
    place.spec(
        "bad",
        "source: {type: fiel}\nsink: {type: console}\nfoo: 1\n",
    );
    let server = place.serve().await;
    let all = listed(&server).await;
    let states: Vec<_> = all.iter().map(|p| (&p["id"], &p["state"])).collect();
    assert_eq!(
        states,
        [
            (&json!("bad"), &json!("failed")),
            (&json!("copy"), &json!("registered"))
        ]
    );
    let bad = server.get("/api/v1/pipelines/bad").await.json();
    let problems = bad["reason"]["problems"].as_array().unwrap();
    assert!(
        problems.len() >= 2 && problems.iter().any(|p| p["line"] == 3),
        "{bad}"
    );
    assert!(bad.to_string().contains("file"), "the nearest name: {bad}");

    let done = run(&server, "copy", &json!({})).await;
    assert_eq!(done["state"], "partial", "{done}");
    assert_eq!(
        (&done["version"], &done["stages"][0]["records_out"]),
        (&json!(1), &json!(3))
    );
    let out = std::fs::read_to_string(place.data("out.ndjson")).unwrap();
    assert_eq!(out, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    let id = done["id"].as_str().unwrap();
    let rejects = server
        .get(&format!("/api/v1/runs/{id}/rejects"))
        .await
        .json();
    assert_eq!(
        (&rejects["total"], &rejects["rejects"][0]["record"]),
        (&json!(1), &json!("no json"))
    );
    let lines = server
        .request("GET", &format!("/api/v1/runs/{id}/rejects"))
        .header("accept", "application/x-ndjson");
    let lines = server.send(&lines).await;
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(lines.text().lines().count(), 1);
    let last = until_listed(&server, "copy", |p| !p["last_run"].is_null()).await;
    assert_eq!(last["last_run"]["id"], id);

    place.spec("bad", &copy("bad", "other.ndjson"));
    until_listed(&server, "bad", |p| p["state"] == "registered").await;
    place.spec("copy", &copy("copy", "second.ndjson"));
    until_listed(&server, "copy", |p| p["version"] == 2).await;
    place.spec("copy", "source: [\n");
    let outdated = until_listed(&server, "copy", |p| p["state"] == "outdated").await;
    assert_eq!(outdated["version"], 2, "the last good one stays");
    place.spec("twin", &copy("bad", "twin.ndjson"));
    let twin = until_listed(&server, "twin", |p| p["state"] == "failed").await;
    let why = twin["reason"]["message"].as_str().unwrap();
    assert!(why.contains("bad.pipeline.yaml"), "{why}");
    std::fs::remove_file(place.specs().join("bad.pipeline.yaml")).unwrap();
    until("the twin takes the id over", PATIENCE, async || {
        let all = listed(&server).await;
        let mut found = all.iter().filter(|p| p["id"] == "bad");
        let one = found.next()?;
        let file = one["file"].as_str()?;
        (file.ends_with("twin.pipeline.yaml") && one["state"] == "registered").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_are_registered_and_replaced_over_the_api() {
    let place = Place::new().await;
    let server = place.serve().await;
    let made = send_spec(&server, "POST", "/api/v1/pipelines", &copy("a", "a.ndjson")).await;
    assert_eq!(
        (made.status, made.header("location")),
        (201, Some("/api/v1/pipelines/a")),
        "{}",
        made.text()
    );
    let file = place.specs().join("a.pipeline.yaml");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        copy("a", "a.ndjson")
    );
    let again = send_spec(&server, "POST", "/api/v1/pipelines", &copy("a", "b.ndjson")).await;
    assert_eq!(
        (again.status, &again.json()["error"]["code"]),
        (409, &json!("duplicate_id"))
    );
    let other = send_spec(
        &server,
        "PUT",
        "/api/v1/pipelines/b",
        &copy("a", "b.ndjson"),
    )
    .await;
    assert_eq!(
        (other.status, &other.json()["error"]["code"]),
        (400, &json!("other_id"))
    );
    let second = send_spec(
        &server,
        "PUT",
        "/api/v1/pipelines/a",
        &copy("a", "b.ndjson"),
    )
    .await;
    assert_eq!(
        (second.status, &second.json()["version"]),
        (200, &json!(2)),
        "{}",
        second.text()
    );
    let same = send_spec(
        &server,
        "PUT",
        "/api/v1/pipelines/a",
        &copy("a", "b.ndjson"),
    )
    .await;
    assert_eq!(same.json()["version"], 2, "the same text is no new version");
    let json_spec = json!({"source": {"type": "file", "path": "in.ndjson"}, "sinks": [{"type": "file", "path": "c.ndjson"}]});
    let third = server
        .send(
            &server
                .request("PUT", "/api/v1/pipelines/c")
                .json(&json_spec),
        )
        .await;
    assert_eq!(
        (third.status, &third.json()["id"]),
        (201, &json!("c")),
        "{}",
        third.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_stay_over_restarts_and_removals() {
    let place = Place::new().await;
    let server = place.serve().await;
    send_spec(&server, "POST", "/api/v1/pipelines", &copy("a", "a.ndjson")).await;
    let second = send_spec(
        &server,
        "PUT",
        "/api/v1/pipelines/a",
        &copy("a", "b.ndjson"),
    )
    .await;
    assert_eq!(second.json()["version"], 2, "{}", second.text());
    let file = place.specs().join("a.pipeline.yaml");

    let server = place.setup(server.into_setup().await).start().await;
    let kept = server.get("/api/v1/pipelines/a/versions").await.json();
    let numbers: Vec<_> = kept["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (&v["version"], &v["current"]))
        .collect();
    assert_eq!(
        numbers,
        [(&json!(1), &json!(false)), (&json!(2), &json!(true))]
    );
    let first = server.get("/api/v1/pipelines/a/versions/1").await;
    assert_eq!(first.text(), copy("a", "a.ndjson"));
    for path in [
        "a/versions/9",
        "a/versions/x",
        "nobody/versions",
        "nobody",
        "nobody/versions/1",
    ] {
        let answer = server.get(&format!("/api/v1/pipelines/{path}")).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    let whole = "id: whole\nsequential: {pipelines: [a]}\n";
    let made = send_spec(&server, "POST", "/api/v1/pipelines", whole).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let needed = server.call("DELETE", "/api/v1/pipelines/a").await;
    assert_eq!(needed.status, 409, "{}", needed.text());
    assert!(
        needed.text().contains("named by whole"),
        "{}",
        needed.text()
    );
    assert!(file.exists());
    for id in ["whole", "a"] {
        let path = format!("/api/v1/pipelines/{id}");
        let gone = server.call("DELETE", &path).await;
        assert_eq!(gone.status, 200, "{}", gone.text());
    }
    assert!(!file.exists());
    assert_eq!(
        server.call("DELETE", "/api/v1/pipelines/a").await.status,
        404
    );
    let back = send_spec(&server, "POST", "/api/v1/pipelines", &copy("a", "d.ndjson")).await;
    assert_eq!(back.json()["version"], 3, "numbers go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_its_version_is_followed_and_cancelled() {
    let place = Place::new().await;
    place.spec("slow", &place.endless("slow"));
    let server = place.serve().await;
    let run = start(&server, "slow").await;
    let changed = format!("{}name: another\n", place.endless("slow"));
    let put = send_spec(&server, "PUT", "/api/v1/pipelines/slow", &changed).await;
    assert_eq!(put.json()["version"], 2, "{}", put.text());
    let under_way = server.get(&format!("/api/v1/runs/{run}")).await.json();
    assert_eq!(
        (&under_way["version"], &under_way["state"]),
        (&json!(1), &json!("running"))
    );
    let gone = server.call("DELETE", "/api/v1/pipelines/slow").await;
    assert_eq!(gone.status, 200);

    let path = format!("/api/v1/runs/{run}/events");
    let (told, cancelled) = tokio::join!(server.get(&path), async {
        until("somebody listens", PATIENCE, async || {
            let answer = server
                .call("POST", &format!("/api/v1/runs/{run}/cancel"))
                .await;
            (answer.status == 202).then_some(answer)
        })
        .await
    });
    assert_eq!(cancelled.json()["id"], run);
    let told = events(&told);
    let (name, last) = told.last().unwrap();
    assert_eq!(
        (name.as_str(), &last["state"]),
        ("over", &json!("cancelled")),
        "{told:?}"
    );
    assert!(
        told.iter()
            .rev()
            .skip(1)
            .all(|(name, _)| name == "progress")
    );
    let over = server
        .call("POST", &format!("/api/v1/runs/{run}/cancel"))
        .await;
    assert_eq!(
        (over.status, &over.json()["error"]["code"]),
        (409, &json!("run_over"))
    );
    let page = server
        .get("/api/v1/runs?state=cancelled&pipeline=slow")
        .await
        .json();
    assert_eq!(
        (&page["runs"][0]["id"], &page["next"]),
        (&json!(run), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_in_pages_with_parameters_limits_and_previews() {
    let place = Place::new().await;
    let text = format!(
        "{}parameters: {{to: {{type: string}}}}\n",
        copy("p", "'{{params.to}}.ndjson'")
    );
    place.spec("p", &text);
    let server = place.serve().await;
    let form = json!({"parameters": {"to": "x"}, "limit": 2, "preview": 1});
    let one = run(&server, "p", &form).await;
    assert_eq!(one["parameters"], json!({"to": "x"}), "{one}");
    let out = std::fs::read_to_string(place.data("x.ndjson")).unwrap();
    assert_eq!(out.lines().count(), 2);
    let id = one["id"].as_str().unwrap();
    let preview = server
        .get(&format!("/api/v1/runs/{id}/preview"))
        .await
        .json();
    assert_eq!(preview["stages"][0]["rows"], json!([{"n": 1}]), "{preview}");
    let dry = run(
        &server,
        "p",
        &json!({"parameters": {"to": "y"}, "dry_run": true}),
    )
    .await;
    assert_eq!(dry["dry_run"], true);
    assert!(!place.data("y.ndjson").exists());
    let first = server.get("/api/v1/runs?limit=1").await.json();
    assert_eq!(first["runs"][0]["id"], dry["id"]);
    let cursor = first["next"].as_str().unwrap();
    let next = server
        .get(&format!("/api/v1/runs?limit=1&cursor={cursor}"))
        .await
        .json();
    assert_eq!(
        (&next["runs"][0]["id"], &next["next"]),
        (&one["id"], &Value::Null)
    );
    let metrics = server.get("/metrics").await.text();
    for part in ["weir_run", "pipeline=\"p\""] {
        assert!(metrics.contains(part), "{part} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_denied_and_secrets_are_never_shown() {
    let place = Place::new().await;
    let outside = place.specs().join("stolen.ndjson");
    place.spec("out", &copy("out", &outside.display().to_string()));
    place.spec("up", &copy("up", "../specs/stolen.ndjson"));
    let other = "source: {type: file, path: in.ndjson}\nsink: {type: postgres, url: 'postgres://u@127.0.0.1:1/d', password: '${env:WEIR_TEST_PASSWORD}', table: t}\nerrors: {retry: {max_retries: 0}}\n";
    place.spec("elsewhere", other);
    let unnamed = other.replace("WEIR_TEST_PASSWORD", "HOME");
    place.spec("unnamed", &unnamed);
    let server = place.serve().await;
    let mut shown = String::new();
    for (id, words) in [
        ("out", "`[pipelines] files`"),
        ("up", "`[pipelines] files`"),
        ("elsewhere", "databases"),
        ("unnamed", "references.env"),
    ] {
        let done = run(&server, id, &json!({})).await;
        assert_eq!(done["state"], "failed", "{id}: {done}");
        assert!(done["error"].to_string().contains(words), "{id}: {done}");
        shown.push_str(&done.to_string());
        shown.push_str(&server.get(&format!("/api/v1/pipelines/{id}")).await.text());
    }
    assert!(!outside.exists());
    assert!(
        shown.contains("${env:WEIR_TEST_PASSWORD}"),
        "the reference is shown"
    );
    let home = std::env::var("HOME").unwrap_or_else(|_| "no home".into());
    assert!(
        !shown.contains("s3cret-value") && !shown.contains(&format!("\"{home}\"")),
        "{shown}"
    );
    assert!(!server.log().contains("s3cret-value"));
}

/// The part, a stage with a secret (`$S`) where it does not belong, and what is said: of its type, its words, its form, and by a library.
const MISPLACED: [(&str, &str, &str); 15] = [
    (
        "source",
        "{type: file, path: in.csv, csv: {skip_lines: '$S'}}",
        "/csv/skip_lines: has to be a whole number",
    ),
    (
        "source",
        "{type: file, path: in.ndjson, encoding: '$S'}",
        "/encoding: ",
    ),
    (
        "source",
        "{type: file, path: '$S/x.ndjson'}",
        "***/x.ndjson",
    ),
    ("source", "{type: http, url: 'ftp://x/$S'}", "/url: "),
    ("source", "{type: http, url: '$S'}", "/url: "),
    (
        "source",
        "{type: graphql, url: 'http://127.0.0.1:1', query: q, records: data, timeout: '$S'}",
        "/timeout: has to be a text such as 500ms",
    ),
    (
        "transform",
        "{type: jq, filter: ., cpu_seconds: '$S'}",
        "/cpu_seconds: has to be a whole number, at least 1, at most 60",
    ),
    (
        "transform",
        "{type: dedupe, max_keys: '$S'}",
        "/max_keys: has to be a whole number",
    ),
    (
        "transform",
        "{type: map, fields: {n: n}, rest: '$S'}",
        "/rest: has to be true or false",
    ),
    (
        "sink",
        "{type: file, path: o.ndjson, max_file_records: '$S'}",
        "/max_file_records: has to be a whole number, at least 1",
    ),
    (
        "sink",
        "{type: console, limit: '$S'}",
        "/limit: has to be a whole number",
    ),
    (
        "sink",
        "{type: webhook, url: 'http://127.0.0.1:1', secret: '$S', concurrency: '$S'}",
        "/concurrency: has to be a whole number",
    ),
    (
        "sink",
        "{type: webhook, url: 'http://127.0.0.1:1', secret: '!$S'}",
        "/secret: ",
    ),
    (
        "sink",
        "{type: postgres, url: 'postgres://u@127.0.0.1:1/d', table: '$S.a.b.c'}",
        "/table: ",
    ),
    (
        "sink",
        "{type: sqlite, path: d.sqlite, table: t, batch_size: '$S'}",
        "/batch_size: has to be a whole number",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_wrong_option_is_never_shown() {
    let place = Place::new().await;
    let sink = "{type: file, path: out.ndjson}";
    for (number, (part, stage, _)) in MISPLACED.iter().enumerate() {
        let stage = stage.replace("$S", "${env:WEIR_TEST_PASSWORD}");
        let read = "source: {type: file, path: in.ndjson}";
        let spec = match *part {
            "source" => format!("source: {stage}\nsink: {sink}\n"),
            "transform" => format!("{read}\ntransforms: [{stage}]\nsink: {sink}\n"),
            _ => format!("{read}\nsink: {stage}\n"),
        };
        let spec = format!("{spec}errors: {{retry: {{max_retries: 0}}}}\n");
        place.spec(&format!("case-{number}"), &spec);
    }
    let server = place.serve().await;
    for (number, (_, stage, words)) in MISPLACED.iter().enumerate() {
        let done = run(&server, &format!("case-{number}"), &json!({})).await;
        assert_eq!(done["state"], "failed", "{stage}: {done}");
        assert!(
            done["error"].to_string().contains(words),
            "{stage}: {}",
            done["error"]
        );
        let id = done["id"].as_str().unwrap();
        let events = server.get(&format!("/api/v1/runs/{id}/events")).await;
        let shown = done.to_string() + &events.text();
        assert!(!shown.contains("s3cret"), "{stage}: {shown}");
    }
    let listed = server.get("/api/v1/runs?limit=100").await.text();
    assert!(!listed.contains("s3cret"), "{listed}");
    assert!(!server.log().contains("s3cret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_is_refused_with_all_that_is_wrong() {
    let place = Place::new().await;
    place.spec("copy", &copy("copy", "out.ndjson"));
    let server = place.serve().await;
    let bad = "id: B\nsource: {type: fiel}\nsinks: []\nfoo: 1\n";
    let checked = send_spec(&server, "POST", "/api/v1/pipelines/check", bad).await;
    assert_eq!(
        (checked.status, &checked.json()["ok"]),
        (200, &json!(false))
    );
    let made = send_spec(&server, "POST", "/api/v1/pipelines", bad).await;
    assert_eq!(
        (made.status, &made.json()["error"]["code"]),
        (400, &json!("bad_spec"))
    );
    assert_eq!(made.json()["error"]["errors"], checked.json()["problems"]);
    for problem in checked.json()["problems"].as_array().unwrap() {
        assert!(
            problem["line"].as_u64() > Some(0) && problem["message"].is_string(),
            "{problem}"
        );
    }
    let good = send_spec(
        &server,
        "POST",
        "/api/v1/pipelines/check",
        &copy("new", "x.ndjson"),
    )
    .await;
    assert_eq!(good.json(), json!({"ok": true, "problems": []}));
    for rubbish in [
        &b""[..],
        b"\xff\xfe",
        b"[]",
        b"a: &a [*a]",
        b"{",
        b"\0",
        b"- 1\n- 2",
        b"id: x",
    ] {
        let request = server
            .request("POST", "/api/v1/pipelines")
            .body(rubbish.to_vec());
        let answer = server.send(&request).await;
        assert_eq!(answer.status, 400, "{rubbish:?}: {}", answer.text());
    }
    let large = server
        .request("POST", "/api/v1/pipelines")
        .body(vec![b'#'; 1024 * 1024 + 1]);
    assert_eq!(server.send(&large).await.status, 413);
    assert_eq!(
        place.specs().read_dir().unwrap().count(),
        1,
        "nothing was written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_do_not_fit_are_refused() {
    let place = Place::new().await;
    place.spec("copy", &copy("copy", "out.ndjson"));
    let server = place.serve().await;
    for (form, status) in [
        ("{", 400),
        ("[]", 422),
        ("{\"limit\": 0}", 422),
        ("{\"limit\": -1}", 422),
        ("{\"preview\": 101}", 422),
        ("{\"unknown\": 1}", 422),
        ("{\"window\": \"yesterday\"}", 422),
        ("{\"parameters\": {\"x\": 1}}", 422),
        ("{\"parameters\": []}", 422),
    ] {
        let request = server
            .request("POST", "/api/v1/pipelines/copy/runs")
            .body(form.into());
        let answer = server.send(&request).await;
        assert_eq!(answer.status, status, "{form}: {}", answer.text());
    }
    for form in ["", "{}", "{\"from\": \"2026-01\", \"to\": \"2026-02\"}"] {
        let request = server
            .request("POST", "/api/v1/pipelines/copy/backfill")
            .body(form.into());
        assert_eq!(server.send(&request).await.status, 422, "{form}");
    }
    for (path, status) in [
        ("/api/v1/runs?limit=0", 400),
        ("/api/v1/runs?state=x", 400),
        ("/api/v1/runs?cursor=x", 400),
        ("/api/v1/runs?pipeline=A", 400),
        ("/api/v1/runs/x", 404),
        (
            "/api/v1/runs/run_00000000000000000000000000000000/events",
            404,
        ),
    ] {
        assert_eq!(server.get(path).await.status, status, "{path}");
    }
    let nobody = server
        .post("/api/v1/pipelines/nobody/runs", &json!({}))
        .await;
    assert_eq!(
        (nobody.status, &nobody.json()["error"]["code"]),
        (404, &json!("pipeline_not_found"))
    );
    let no_key = server.send(&Request::new("GET", "/api/v1/pipelines")).await;
    assert_eq!(no_key.status, 403);
    let schema = server.get("/api/v1/schema/pipeline").await;
    assert!(schema.json()["properties"].is_object() || schema.json()["$ref"].is_string());
}
