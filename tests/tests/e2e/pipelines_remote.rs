//! `weir pipelines` and `weir runs`: the real program on both sides.

use e2e::server::{Server, command};

use crate::pipelines::{Place, copy};

/// Runs `weir` for this server to its end: exit code, standard output, standard error.
pub(crate) fn weir(server: &Server, args: &[&str]) -> (i32, String, String) {
    let mut command = command();
    command
        .args(args)
        .env("WEIR_SERVER", format!("http://{}", server.host))
        .env("PIPELINES_API_KEY", &server.key);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// What a command that works prints.
pub(crate) fn told(server: &Server, args: &[&str]) -> String {
    let (code, out, error) = weir(server, args);
    assert_eq!(code, 0, "{args:?}: {error}");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_are_managed_and_runs_followed() {
    let place = Place::new().await;
    let server = place.serve().await;
    let file = place.data("new.yaml");
    let name = file.display().to_string();
    std::fs::write(&file, copy("new", "out.ndjson")).unwrap();
    assert!(told(&server, &["pipelines"]).contains("no pipelines"));
    assert!(told(&server, &["pipelines", "check", &name]).contains("fine"));
    assert!(told(&server, &["pipelines", "add", &name]).contains("version 1"));
    std::fs::write(&file, copy("new", "more.ndjson")).unwrap();
    assert!(told(&server, &["pipelines", "replace", "new", &name]).contains("version 2"));
    assert_eq!(
        told(&server, &["pipelines", "versions", "new", "1"]),
        copy("new", "out.ndjson")
    );
    assert!(told(&server, &["pipelines", "versions", "new"]).contains("current"));
    assert!(told(&server, &["pipelines", "new"]).contains("path: more.ndjson"));
    let (code, out, error) = weir(&server, &["pipelines", "run", "new", "--wait"]);
    assert_eq!(code, 3, "a record is rejected: {out}{error}");
    assert!(
        out.contains("partial") && place.data("more.ndjson").exists(),
        "{out}{error}"
    );
    let started = told(
        &server,
        &["pipelines", "run", "new", "--limit", "2", "--preview=1"],
    );
    let id = started.split_whitespace().next().unwrap();
    told(&server, &["runs", "follow", id]);
    assert!(told(&server, &["runs", "preview", id]).contains("{\"n\":1}"));
    assert!(told(&server, &["runs", id]).contains("succeeded"));
    let runs = told(&server, &["runs", "--pipeline", "new"]);
    assert_eq!(runs.lines().count(), 3, "{runs}");
    let first = runs.lines().find(|l| l.contains("partial")).unwrap();
    let first = first.split_whitespace().next().unwrap();
    assert!(told(&server, &["runs", "rejects", first]).contains("no json"));
    std::fs::write(&file, place.endless("slow")).unwrap();
    told(&server, &["pipelines", "add", &name]);
    let started = told(&server, &["pipelines", "run", "slow"]);
    let id = started.split_whitespace().next().unwrap();
    told(&server, &["runs", "cancel", id]);
    let (code, out, error) = weir(&server, &["runs", "follow", id]);
    assert!(code == 130 && error.contains("cancelled"), "{out}{error}");
    std::fs::write(
        &file,
        copy("gone", "out.ndjson").replace("in.ndjson", "nowhere.ndjson"),
    )
    .unwrap();
    told(&server, &["pipelines", "add", &name]);
    let (code, out, error) = weir(&server, &["pipelines", "run", "gone", "--wait"]);
    assert!(code == 1 && error.contains("failed: "), "{out}{error}");
    told(&server, &["pipelines", "remove", "gone"]);
    told(&server, &["pipelines", "remove", "slow"]);
    std::fs::write(&file, "source: {type: fiel}\nfoo: 1\n").unwrap();
    for action in ["check", "add"] {
        let (code, _, error) = weir(&server, &["pipelines", action, &name]);
        assert!(code == 1 && error.lines().count() > 1, "{error}");
        assert!(error.contains("new.yaml:2:"), "{error}");
    }
    let (code, _, error) = weir(&server, &["pipelines", "run", "nobody"]);
    assert!(code == 1 && error.contains("pipeline_not_found"), "{error}");
}
