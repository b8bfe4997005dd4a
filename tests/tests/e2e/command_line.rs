//! The command line, the environment, keys and exit codes.

use std::os::unix::fs::PermissionsExt;

use e2e::guests;
use e2e::http::Request;
use e2e::server::{Setup, command};

/// Runs `weir` to its end: exit code, standard output, standard error.
fn weir(args: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = command()
        .args(args)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn wrong_usage_ends_with_64() {
    for args in [
        &["serve", "--no-such-option"][..],
        &["no-such-command"],
        &["serve", "--listen", "nowhere"],
        &["serve", "--compat", "loose"],
        &[],
    ] {
        let (code, _, error) = weir(args);
        assert_eq!(code, 64, "{args:?}: {error}");
        assert!(!error.is_empty(), "{args:?}");
    }
}

#[test]
fn a_bad_configuration_ends_with_65_and_says_all_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.toml");
    let text = "[limits]\nfule = 1\n[add]\nallow = [\"x\"]\n[plugins.p.limits]\nmemory_bytes = 0\n";
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let (code, _, error) = weir(&["serve", "--config", path, "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 65, "{error}");
    for part in [
        path,
        "limits.fule",
        "add.allow",
        "\"x\"",
        "plugins.p",
        "memory_bytes",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    std::fs::write(path, "no toml").unwrap();
    assert_eq!(weir(&["serve", "--config", path]).0, 65);
    std::fs::write(path, "lisen = 1").unwrap();
    let (code, _, error) = weir(&["serve", "--config", path]);
    assert!(code == 65 && error.contains("lisen"), "{error}");
    let (code, _, error) = weir(&["serve", "--config", "/no/such/weir.toml"]);
    assert!(
        code == 65 && error.contains("/no/such/weir.toml"),
        "{error}"
    );
}

#[test]
fn check_tells_good_plugins_from_bad_ones() {
    let good = guests::path("corpus/ok.wasm");
    let bad = guests::path("hostile/no-role.wasm");
    let (code, out, error) = weir(&["check", good.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{error}");
    let (code, out, error) = weir(&["check", good.to_str().unwrap(), bad.to_str().unwrap()]);
    assert_eq!(code, 65, "{out}{error}");
    assert!(
        format!("{out}{error}").contains("no-role.wasm"),
        "{out}{error}"
    );
}

#[test]
fn check_knows_the_plugins_a_run_would_find() {
    let folder = tempfile::tempdir().unwrap();
    let spec = "source: {type: file, path: in.ndjson}\ntransforms: [{type: plugin, plugin: shap}]\nsink: {type: console}\n";
    let spec_file = folder.path().join("x.yaml");
    std::fs::write(&spec_file, spec).unwrap();
    let check = |more: &[&str]| {
        let output = command()
            .args(["check", "x.yaml"])
            .args(more)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    // Nobody says which plugins there are.
    assert_eq!(check(&[]).0, Some(0), "{:?}", check(&[]));
    let shape = guests::path("examples/shape.wasm");
    let expected = "x.yaml:2:37: there is no plugin shap; did you mean \"shape\"?";
    let (code, said) = check(&[shape.to_str().unwrap()]);
    assert!(code == Some(65) && said.contains(expected), "{said}");
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::copy(&shape, folder.path().join("plugins/shape.wasm")).unwrap();
    let (code, said) = check(&[]);
    assert!(code == Some(65) && said.contains(expected), "{said}");
    std::fs::write(&spec_file, spec.replace("shap}", "shape}")).unwrap();
    assert_eq!(check(&[]).0, Some(0), "{:?}", check(&[]));
}

#[test]
fn output_that_cannot_be_written_is_no_success() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let output = command()
        .arg("schema")
        .stdout(full.unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("weir: standard output: "), "{said}");
}

#[test]
fn invoke_calls_a_plugin_once() {
    let echo = guests::path("corpus/echo_str.wasm");
    let (code, out, error) = weir(&["invoke", echo.to_str().unwrap(), "--message", "hello there"]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("hello there"), "{out}");
    let raises = guests::path("corpus/raises.wasm");
    assert_ne!(weir(&["invoke", raises.to_str().unwrap()]).0, 0);
    assert_ne!(weir(&["invoke", "/no/such.wasm"]).0, 0);
    let stage = guests::path("examples/clean-events.wasm");
    let (code, _, error) = weir(&["invoke", stage.to_str().unwrap()]);
    assert_eq!(code, 1);
    for part in [
        "is a transform",
        "weir run",
        "{type: plugin, plugin: clean-events}",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn version_help_and_completions_are_there() {
    let (code, out, _) = weir(&["--version"]);
    assert!(code == 0 && out.starts_with("weir "), "{out}");
    let (code, out, _) = weir(&["--help"]);
    assert!(code == 0 && out.contains("serve"), "{out}");
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = weir(&["completions", shell]);
        assert!(code == 0 && out.contains("serve"), "{shell}");
    }
}

#[test]
fn an_address_in_use_ends_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, error) = weir(&["serve", "--listen", &address]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains(&address), "{error}");
}

#[tokio::test]
async fn without_a_key_a_random_one_is_made_kept_and_printed() {
    let mut server = Setup::new().no_key().guest("corpus/ok.wasm").start().await;
    let path = server.data().join("api-key");
    let key = std::fs::read_to_string(&path).unwrap().trim().to_owned();
    assert!(key.len() >= 32, "{key}");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(server.log().contains(&key), "it is printed");
    for wrong in ["0p3n-w3bu!", "", "x"] {
        server.key = wrong.into();
        let status = server.chat("ok", "hi").await.status;
        assert!([401, 403].contains(&status), "{wrong:?}: {status}");
    }
    server.key.clone_from(&key);
    assert_eq!(server.chat("ok", "hi").await.content(), "ok");
    let server = server.into_setup().await.no_key().start().await;
    let again = std::fs::read_to_string(server.data().join("api-key")).unwrap();
    assert_eq!(again.trim(), key);
}

#[tokio::test]
async fn strict_mode_has_the_references_key_and_open_routes() {
    let server = Setup::new().strict().guest("corpus/ok.wasm").start().await;
    assert_eq!(server.get("/models").await.status, 200);
    let open = Request::new("GET", "/models");
    assert_eq!(server.send(&open).await.status, 403);
    let mut chat = server.chat_request("ok", "hi");
    chat.headers.retain(|(name, _)| name != "Authorization");
    assert_eq!(server.send(&chat).await.content(), "ok");
}

#[tokio::test]
async fn the_references_environment_is_honoured() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("ok.wasm"),
        guests::bytes("corpus/ok.wasm"),
    )
    .unwrap();
    let upped = guests::path("corpus/upload/upped.wasm");
    // `--plugins` would win over PIPELINES_DIR.
    let server = Setup::new()
        .no_listen()
        .no_plugins()
        .env("HOST", "127.0.0.1")
        .env("PORT", "0")
        .env("PIPELINES_DIR", folder.path().to_str().unwrap())
        .env("PIPELINES_URLS", &format!("file://{}", upped.display()))
        .start()
        .await;
    assert_eq!(server.chat("ok", "hi").await.content(), "ok");
    let limit = e2e::wait::PATIENCE;
    server
        .until_plugin("upped", limit, |p| p["state"] == "started")
        .await;
    assert_eq!(server.chat("upped", "hi").await.content(), "uploaded");
    assert!(folder.path().join("upped.wasm").is_file());
}
