//! The kinds of plugins and the languages that `weir new` knows, and the templates of each.

use clap::ValueEnum;

/// What a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Answers chats
    Pipe,
    /// Changes requests before, and answers after, a model
    Filter,
    /// Answers chats as several models
    Manifold,
    /// Reads records from somewhere
    Source,
    /// Turns records into records
    Transform,
    /// Writes records somewhere
    Sink,
    /// Runs where the host is about to do something
    Hook,
    /// Offers a capability to other plugins
    Provider,
}

/// What it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Rust
    Rust,
    /// Python
    Python,
    /// JavaScript
    #[value(alias = "javascript")]
    Js,
}

impl Language {
    /// Its name for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Js => "JavaScript",
        }
    }
}

/// The texts of a kind. All are templates.
pub(super) struct Templates {
    pub(super) name: &'static str,
    /// For the manifest: what the plugin of the template does.
    pub(super) description: &'static str,
    /// Its roles, as interfaces of `weir:plugin`.
    pub(super) roles: &'static [&'static str],
    pub(super) tests: &'static str,
    pub(super) rust: &'static str,
    /// File names and texts.
    pub(super) python: &'static [(&'static str, &'static str)],
    pub(super) js: &'static [(&'static str, &'static str)],
    /// Lines of the manifest that the kind needs, in Python and in JavaScript.
    pub(super) manifest: (&'static str, &'static str),
    /// Grants that the kind needs.
    pub(super) grants: &'static str,
    /// A call that a test case can make to see the use of a capability.
    pub(super) call: &'static str,
    /// How to try it on the command line, after the component's file.
    pub(super) invoke: &'static str,
}

macro_rules! text {
    ($kind:literal, $file:literal) => {
        include_str!(concat!("../../templates/kinds/", $kind, "/", $file))
    };
}

macro_rules! chat {
    ($kind:literal, $description:literal, $roles:expr, $manifest:expr, $grants:literal, $call:literal, $invoke:literal) => {
        Templates {
            name: $kind,
            description: $description,
            roles: $roles,
            tests: text!($kind, "tests.toml"),
            rust: text!($kind, "lib.rs"),
            python: &[("app.py", text!($kind, "app.py"))],
            js: &[("plugin.js", text!($kind, "plugin.js"))],
            manifest: $manifest,
            grants: $grants,
            call: $call,
            invoke: $invoke,
        }
    };
}

/// Its resource has a module of its own in Python; what it does is apart from the host and has tests without one.
macro_rules! stage {
    ($kind:literal, $module:literal, $description:literal, $grants:literal) => {
        Templates {
            name: $kind,
            description: $description,
            roles: &[$kind],
            tests: text!($kind, "tests.toml"),
            rust: text!($kind, "lib.rs"),
            python: &[
                ("app.py", text!($kind, "app.py")),
                (
                    $module,
                    include_str!(concat!("../../templates/kinds/", $kind, "/", $module)),
                ),
                ("logic.py", text!($kind, "logic.py")),
                ("test_logic.py", text!($kind, "test_logic.py")),
            ],
            js: &[
                ("plugin.js", text!($kind, "plugin.js")),
                ("logic.js", text!($kind, "logic.js")),
                ("logic.test.js", text!($kind, "logic.test.js")),
            ],
            manifest: ("", ""),
            grants: $grants,
            call: "",
            invoke: "",
        }
    };
}

impl Kind {
    /// Its texts.
    pub(super) fn templates(self) -> &'static Templates {
        match self {
            Self::Pipe => &PIPE,
            Self::Filter => &FILTER,
            Self::Manifold => &MANIFOLD,
            Self::Source => &SOURCE,
            Self::Transform => &TRANSFORM,
            Self::Sink => &SINK,
            Self::Hook => &HOOK,
            Self::Provider => &PROVIDER,
        }
    }
}

static PIPE: Templates = chat!(
    "pipe",
    "Says what you said",
    &["pipe"],
    ("", ""),
    "",
    "call = \"pipe\"\nmessage = \"hi\"",
    "pipe --message hi"
);
static MANIFOLD: Templates = chat!(
    "manifold",
    "Offers two models: one shouts, one whispers",
    &["pipe", "manifold"],
    ("", ""),
    "",
    "call = \"pipe\"\nmodel = \"loud\"\nmessage = \"hi\"",
    "pipe --model loud --message hi"
);
static FILTER: Templates = chat!(
    "filter",
    "Hides words in chats",
    &["filter", "valves"],
    ("", ""),
    "",
    "call = \"inlet\"\nbody = { messages = [{ role = \"user\", content = \"hi\" }] }",
    r#"inlet --message 'the plan' --valves '{"words": ["plan"]}'"#
);
static HOOK: Templates = chat!(
    "hook",
    "Puts a rule in front of every chat",
    &["hooks"],
    (
        "\"hooks\": [{\"point\": \"chat_request\", \"mode\": \"before\"}],",
        "hooks: [{ point: 'chat_request', mode: 'before' }],"
    ),
    "hooks = [\"chat_request\"] # points at which it may run",
    "call = \"hook\"\npoint = \"chat_request\"\nmode = \"before\"\ncontext = { body = { messages = [{ role = \"user\", content = \"hi\" }] } }",
    r#"hook --point chat_request --context '{"body": {"messages": [{"role": "user", "content": "hi"}]}}'"#
);
static PROVIDER: Templates = chat!(
    "provider",
    "Counts words for other plugins",
    &["peer"],
    (
        "\"provides\": {\"word-count\": {\"methods\": [\"count\"]}},",
        "provides: { 'word-count': { methods: ['count'] } },"
    ),
    "",
    "call = \"peer\"\ncaller = \"someone\"\nmethod = \"count\"\npayload = { text = \"hi\" }",
    r#"peer --method count --payload '{"text": "one two"}'"#
);
static SOURCE: Templates = stage!("source", "source.py", "Counts", "");
static TRANSFORM: Templates = stage!("transform", "transform.py", "Trims the text in a field", "");
static SINK: Templates = stage!(
    "sink",
    "sink.py",
    "Keeps records in its own durable state",
    "state = true"
);
