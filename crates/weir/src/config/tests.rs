//! Configuration: what wins over what, and what is said about mistakes.

use std::io::Write;

use model::grants::HttpGrant;

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

fn folders(paths: &[&str]) -> Folders {
    Folders::of(paths.iter().map(PathBuf::from)).unwrap()
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
    assert_eq!(config.plugins, folders(&["from-env"]));
    let arguments = ServeArgs {
        listen: Some("127.0.0.1:3".parse().unwrap()),
        plugins: vec!["from-line".into(), "second".into()],
        ..ServeArgs::default()
    };
    let config = check(text, &env, arguments).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3");
    assert_eq!(config.plugins, folders(&["from-line", "second"]));
}

#[test]
fn there_may_be_several_plugins_folders() {
    for (text, env, wanted) in [
        ("", "", &["plugins"][..]),
        ("plugins_dir = \"a\"", "", &["a"]),
        ("plugins_dir = [\"a\", \"b\"]", "", &["a", "b"]),
        ("plugins_dir = [\"a\", \"b\"]", "c::d", &["c", "d"]),
    ] {
        let config = check(text, &[("PIPELINES_DIR", env)], ServeArgs::default()).unwrap();
        assert_eq!(config.plugins, folders(wanted), "{text} {env}");
    }
    let none = check("plugins_dir = []", &[], ServeArgs::default()).unwrap_err();
    assert!(none.contains("plugins_dir"), "{none}");
    let number = check("plugins_dir = 5", &[], ServeArgs::default()).unwrap_err();
    assert!(number.contains("a path, or a list of paths"), "{number}");
}

#[test]
fn secrets_and_preferences_are_checked_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k").display().to_string();
    std::fs::write(&path, "from-file\n").unwrap();
    let env = [("SET", "from-env")];
    let good = format!(
        "[secrets]\na = \"${{env:SET}}\"\nb = \"${{file:{path}}}\"\n[capabilities]\nembeddings = [\"x\", \"org/y\"]\n"
    );
    let config = check(&good, &env, ServeArgs::default()).unwrap();
    let sources = [
        ("a".to_owned(), SecretSource::Value("from-env".into())),
        ("b".to_owned(), SecretSource::File(path.into())),
    ];
    assert_eq!(config.secrets, BTreeMap::from(sources));
    assert_eq!(config.preferences["embeddings"].len(), 2);
    assert!(!format!("{config:?}").contains("from-env"));
    let bad = r#"
[secrets]
unset = "${env:WEIR_NO_SUCH_NAME}"
missing = "${file:no-such-file}"
written = "s3cret"
"a b" = "${env:SET}"
[capabilities]
embeddings = ["x", "../x", "x"]
"#;
    let errors = check(bad, &env, ServeArgs::default()).unwrap_err();
    for part in [
        "secrets.unset: the environment has no WEIR_NO_SUCH_NAME",
        "secrets.missing: no-such-file",
        "secrets.written: a secret is named",
        "secrets.a b: a name",
        "capabilities.embeddings: \"../x\"",
        "capabilities.embeddings: x is named twice",
    ] {
        assert!(errors.contains(part), "{part} in\n{errors}");
    }
    assert!(!errors.contains("s3cret"), "{errors}");
}

#[test]
fn pipelines_reach_what_is_named_and_nothing_by_default() {
    let nothing = check("", &[], ServeArgs::default()).unwrap().pipelines;
    assert_eq!(nothing.folders, folders(&["data/specs"]));
    assert!(nothing.access.files.resolve(Path::new("x")).is_err());
    assert_eq!(nothing.access.http, Some(HttpGrant::default()));
    assert_eq!(nothing.access.databases, Some(Vec::new()));
    assert!(nothing.references.names.is_empty() && nothing.references.files.is_empty());
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().canonicalize().unwrap();
    let good = format!(
        r#"
[pipelines]
folders = ["a", "b"]
files = [{files:?}]
http = {{ allow = ["https://api.example.com"], private = ["10.0.0.0/8"] }}
databases = ["db.example:5432"]
references = {{ env = ["PG_*"], files = [{files:?}] }}
parallel_runs = 2
history = 7
keep_runs = 3
keep_days = 2
"#
    );
    let some = check(&good, &[], ServeArgs::default()).unwrap().pipelines;
    assert_eq!(some.folders, folders(&["a", "b"]));
    let resolved = some.access.files.resolve(Path::new("x"));
    assert_eq!(resolved, Ok(files.join("x")));
    let http = some.access.http.unwrap();
    assert!(http.allow[0].covers("https", "api.example.com", 443) && http.private.len() == 1);
    assert_eq!(some.access.databases.unwrap(), ["db.example:5432"]);
    assert_eq!(
        (some.references.names.len(), some.references.files),
        (1, vec![files])
    );
    assert_eq!(some.parallel_runs.unwrap().get(), 2);
    assert_eq!(some.history.unwrap().get(), 7);
    assert_eq!(some.keep.runs.get(), 3);
    assert_eq!(some.keep.age, std::time::Duration::from_secs(2 * 86_400));
    assert_eq!(nothing.keep, engine::Keep::default());
    let bad = r#"
[pipelines]
folders = []
files = ["no-such-folder"]
http = { allow = ["example.com"], private = ["x"] }
databases = ["db.example", ":1", "h:0"]
references = { env = ["A B"], files = ["no-such-secret"] }
parallel_runs = 0
history = 0
keep_runs = 0
"#;
    let errors = check(bad, &[], ServeArgs::default()).unwrap_err();
    for part in [
        "pipelines.folders: ",
        "pipelines.files: no-such-folder",
        "pipelines.http.allow: ",
        "pipelines.http.private: ",
        "pipelines.databases: \"db.example\"",
        "pipelines.databases: \":1\"",
        "pipelines.databases: \"h:0\"",
        "pipelines.references.env: \"A B\"",
        "pipelines.references.files: no-such-secret",
        "pipelines.parallel_runs: 0",
        "pipelines.history: 0",
        "pipelines.keep_runs: 0",
    ] {
        assert!(errors.contains(part), "{part} in\n{errors}");
    }
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

/// The part of the documentation between two marks.
fn documented<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap();
    let (part, _) = rest.split_once(to).unwrap();
    part
}

const DOCUMENTATION: &str = include_str!("../../../../docs/configuration.md");

#[test]
fn the_documented_configuration_is_the_default_one() {
    let text = documented(DOCUMENTATION, "```toml\n", "```");
    let env = [("WEIR_KEY", "k"), ("OPENAI_KEY", "s")];
    let written = check(text, &env, ServeArgs::default()).unwrap();
    let default = check("", &[], ServeArgs::default()).unwrap();
    assert_eq!(written.http, default.http);
    assert_eq!(written.defaults, default.defaults);
    assert_eq!(written.ceilings, default.ceilings);
    assert_eq!(written.quarantine, default.quarantine);
    assert_eq!(
        format!("{:?}", written.pipelines.access),
        format!("{:?}", default.pipelines.access)
    );
    assert!(written.pipelines.references.names.is_empty());
    assert_eq!(written.supervision, default.supervision);
    assert_eq!(
        format!("{:?}", written.runtime),
        format!("{:?}", default.runtime)
    );
    assert_eq!(
        (written.listen, written.plugins, written.data),
        (default.listen, default.plugins, default.data)
    );
}

#[test]
fn the_documented_settings_are_accepted() {
    let rest = DOCUMENTATION
        .split("## Settings of a plugin")
        .nth(1)
        .unwrap();
    let written: WrittenSettings = toml::from_str(documented(rest, "```toml\n", "```")).unwrap();
    written
        .check(&Limits::defaults(), &Limits::ceilings())
        .unwrap();
}

/// A number as the table writes it.
fn in_words(value: u64, unit: &str) -> String {
    let (gib, mib, kib) = (1 << 30, 1 << 20, 1 << 10);
    match value {
        u64::MAX => "none".into(),
        v if unit == "bytes" && v % gib == 0 => format!("{} GiB", v / gib),
        v if unit == "bytes" && v % mib == 0 => format!("{} MiB", v / mib),
        v if unit == "bytes" && v % kib == 0 => format!("{} KiB", v / kib),
        v => {
            let digits = v.to_string();
            let groups: Vec<_> = digits
                .as_bytes()
                .rchunks(3)
                .rev()
                .map(|g| std::str::from_utf8(g).unwrap())
                .collect();
            groups.join(",")
        }
    }
}

#[test]
fn every_limit_is_documented_as_it_is() {
    for limit in model::limits::Limit::ALL {
        let spec = limit.spec();
        let row = format!(
            "| `{}` | {} | {} | {} |",
            spec.name,
            spec.unit,
            in_words(spec.default, spec.unit),
            in_words(spec.ceiling, spec.unit)
        );
        assert!(
            DOCUMENTATION.contains(&row),
            "docs/configuration.md has no {row}"
        );
    }
}
