//! What a new plugin can ask the host for, and a line of use in each language. What a capability is, is said in the contract.

use clap::ValueEnum;

/// A capability that needs a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Capability {
    /// Outgoing HTTP
    Http,
    /// Durable keys and values
    State,
    /// Telling others what happened
    Events,
    /// Calls to other plugins
    Calls,
    /// Named secrets
    Secrets,
    /// Counters, gauges and histograms of its own
    Metrics,
}

/// How a capability shows in a project. Texts are templates.
pub(super) struct Snippet {
    /// The interface to import in WIT. None where the language has its own way.
    pub(super) import: &'static str,
    /// The line of the table `[grants]`.
    pub(super) grant: &'static str,
    pub(super) rust: &'static str,
    pub(super) python: &'static str,
    pub(super) js: &'static str,
    /// What a test case adds to a call to see the use.
    pub(super) case: &'static str,
}

impl Capability {
    /// Its name in grants.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::State => "state",
            Self::Events => "events",
            Self::Calls => "calls",
            Self::Secrets => "secrets",
            Self::Metrics => "metrics",
        }
    }

    pub(super) fn snippet(self) -> &'static Snippet {
        match self {
            Self::Http => &HTTP,
            Self::State => &STATE,
            Self::Events => &EVENTS,
            Self::Calls => &CALLS,
            Self::Secrets => &SECRETS,
            Self::Metrics => &METRICS,
        }
    }
}

const HTTP: Snippet = Snippet {
    import: "wasi:http/outgoing-handler@0.2.12",
    grant: r#"http = { allow = ["https://example.com"] } # hosts it may ask"#,
    rust: r#"match weir_sdk::http::get("https://example.com/").send() {
    Ok(answer) => weir_sdk::log::info(format!("example.com answers {}", answer.status())),
    Err(error) => weir_sdk::log::warn(error.to_string()),
}"#,
    python: r#"try:
    status, _ = weir_http.get("https://example.com/")
    print(f"example.com answers {status}")
except weir_http.HttpError as error:
    print(error)"#,
    js: r"try {
  const answer = await fetch('https://example.com/');
  console.log(`example.com answers ${answer.status}`);
} catch (error) {
  console.warn(`example.com: ${error}`);
}",
    case: r#"upstream = [{ url = "https://example.com/", status = 200, body = "hello" }]
expect.log_contains = "example.com answers 200""#,
};

const STATE: Snippet = Snippet {
    import: "weir:host/state@0.1.0",
    grant: "state = true",
    rust: r#"let calls = weir_sdk::state::add("calls", 1)?;
weir_sdk::log::info(format!("call number {calls}"));"#,
    python: r#"try:
    print(f"call number {state.add('calls', 1)}")
except Err as error:
    print(f"state: {error.value}")"#,
    js: r"try {
  console.log(`call number ${state.add('calls', 1n)}`);
} catch (error) {
  console.warn(`state: ${error.payload?.tag ?? error}`);
}",
    case: r#"expect.log_contains = "call number 1""#,
};

const EVENTS: Snippet = Snippet {
    import: "weir:host/events@0.1.0",
    grant: r#"events = { emit = ["{{name}}.*"] } # topics it may emit"#,
    rust: r#"weir_sdk::events::emit("{{name}}.called", &weir_sdk::serde_json::json!({ "kind": "{{kind}}" }))?;"#,
    python: r#"try:
    events.emit("{{name}}.called", json.dumps({"kind": "{{kind}}"}))
except Err as error:
    print(f"events: {error.value}")"#,
    js: r"try {
  events.emit('{{name}}.called', JSON.stringify({ kind: '{{kind}}' }));
} catch (error) {
  console.warn(`events: ${error.payload?.tag ?? error}`);
}",
    case: r#"expect.events = [{ topic = "{{name}}.called", payload = { kind = "{{kind}}" } }]"#,
};

const CALLS: Snippet = Snippet {
    import: "weir:host/calls@0.1.0",
    grant: r#"calls = ["neighbour"] # plugins it may call; each a dependency in its manifest"#,
    rust: r#"// A dependency that may be missing: see the manifest.
if weir_sdk::grants::present("neighbour") {
    let answer = weir_sdk::calls::call("neighbour", "hello", "hi", None)?;
    weir_sdk::log::info(format!("neighbour answers {answer}"));
} else {
    weir_sdk::log::info("neighbour is not here");
}"#,
    python: r#"# A dependency that may be missing: see the manifest.
if grants.present("neighbour"):
    try:
        print(f"neighbour answers {calls.call('neighbour', 'hello', json.dumps('hi'), None)}")
    except Err as error:
        print(f"calls: {error.value}")
else:
    print("neighbour is not here")"#,
    js: r#"// A dependency that may be missing: see the manifest.
if (grants.present('neighbour')) {
  try {
    console.log(`neighbour answers ${calls.call('neighbour', 'hello', JSON.stringify('hi'))}`);
  } catch (error) {
    console.warn(`calls: ${error.payload?.tag ?? error}`);
  }
} else {
  console.log('neighbour is not here');
}"#,
    case: r#"expect.log_contains = "neighbour is not here""#,
};

const SECRETS: Snippet = Snippet {
    import: "weir:host/secrets@0.1.0",
    grant: r#"secrets = ["example_key"] # names in [secrets] of the host's configuration"#,
    rust: r#"match weir_sdk::secrets::get("example_key") {
    Ok(_key) => weir_sdk::log::info("example_key is set"),
    Err(error) => weir_sdk::log::warn(error.to_string()),
}"#,
    python: r#"try:
    _key = secrets.get("example_key")
    print("example_key is set")
except Err as error:
    print(f"example_key: {error.value}")"#,
    js: r"try {
  const _key = secrets.get('example_key');
  console.log('example_key is set');
} catch (error) {
  console.warn(`example_key: ${error.payload?.tag ?? error}`);
}",
    case: r#"secrets = { example_key = "abc" }
expect.log_contains = "example_key is set""#,
};

const METRICS: Snippet = Snippet {
    import: "weir:host/metrics@0.1.0",
    grant: "metrics = true",
    rust: r#"weir_sdk::metrics::add("calls", 1, &[("kind", "{{kind}}")]);"#,
    python: r#"metrics.add("calls", 1, [("kind", "{{kind}}")])"#,
    js: "metrics.add('calls', 1n, [['kind', '{{kind}}']]);",
    case: "",
};
