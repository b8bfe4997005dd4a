//! Configuration: what wins over what, and what is said about mistakes.

use std::io::Write;

use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn check(text: &str, env: &[(&str, &str)], mut arguments: ServeArgs) -> Result<Config, String> {
    let file = file(text);
    arguments.config = Some(file.path().to_owned());
    let find = |name: &str| {
        env.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| (*v).to_owned())
    };
    load(&arguments, &find)
}

#[test]
fn defaults_serve() {
    let config = check("", &[], ServeArgs::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:9099");
    assert_eq!(config.compat, Compat::Default);
    assert!(config.key.is_none() && config.add.allow.is_empty());
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let text = "listen = \"127.0.0.2:1\"\nplugins_dir = \"from-file\"\n";
    let env = [("PORT", "2"), ("PIPELINES_DIR", "from-env")];
    let config = check(text, &env, ServeArgs::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.2:2");
    assert_eq!(config.plugins, Path::new("from-env"));
    let arguments = ServeArgs {
        listen: Some("127.0.0.1:3".parse().unwrap()),
        plugins: Some("from-line".into()),
        ..ServeArgs::default()
    };
    let config = check(text, &env, arguments).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3");
    assert_eq!(config.plugins, Path::new("from-line"));
}

#[test]
fn everything_wrong_is_said_at_once_with_its_key() {
    let text = r#"
key = "written-secret"
[limits]
fule = 1
[ceilings]
memory_bytes = 0
[add]
allow = ["example.com"]
[runtime]
allocation = "mmap"
[plugins.echo.limits]
memory_bytes = 99999999999999
"#;
    let errors = check(text, &[("PORT", "x"), ("HOST", "y")], ServeArgs::default()).unwrap_err();
    for part in [
        "limits.fule",
        "ceilings.memory_bytes",
        "add.allow",
        "runtime.allocation",
        "plugins.echo.limits.memory_bytes",
        "PORT",
        "HOST",
        "key:",
    ] {
        assert!(errors.contains(part), "{part} in\n{errors}");
    }
    assert!(!errors.contains("written-secret"), "{errors}");
}

#[test]
fn unknown_keys_and_bad_toml_name_the_place() {
    let unknown = check("[http]\nmax_conections = 1\n", &[], ServeArgs::default()).unwrap_err();
    assert!(
        unknown.contains("max_conections") && unknown.contains("line 2"),
        "{unknown}"
    );
    assert!(
        check("listen = ", &[], ServeArgs::default())
            .unwrap_err()
            .contains("line 1")
    );
}

#[test]
fn urls_are_separated_by_semicolons() {
    let env = [(
        "PIPELINES_URLS",
        " https://a/x.wasm ;\"https://b/y.wasm\"; ",
    )];
    let config = check("", &env, ServeArgs::default()).unwrap();
    assert_eq!(config.urls, ["https://a/x.wasm", "https://b/y.wasm"]);
}
