//! Cases as they are written in TOML, and what they come to. What does not fit is reported with file, line and what is allowed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::hooks::Mode;
use serde_json::Value;
use toml::Spanned;

/// One file of cases, checked.
#[derive(Debug)]
pub(super) struct CaseFile {
    pub(super) path: PathBuf,
    /// Settings of the plugin in these cases, as TOML; none: the file beside the component.
    pub(super) settings: Option<String>,
    /// Other plugins that are there, by their paths.
    pub(super) plugins: Vec<PathBuf>,
    pub(super) cases: Vec<Case>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    settings: Option<toml::Table>,
    #[serde(default)]
    plugins: Vec<PathBuf>,
    #[serde(default)]
    case: Vec<Spanned<Case>>,
}

/// One case.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) call: Call,
    #[serde(default)]
    pub(super) expect: Expect,
    // What the call is made with.
    pub(super) message: Option<String>,
    pub(super) body: Option<Value>,
    pub(super) model: Option<String>,
    pub(super) user: Option<Value>,
    pub(super) point: Option<String>,
    pub(super) mode: Option<Mode>,
    pub(super) context: Option<Value>,
    pub(super) step_result: Option<Value>,
    pub(super) topic: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) payload: Option<Value>,
    pub(super) caller: Option<String>,
    pub(super) method: Option<String>,
    pub(super) cast: Option<bool>,
    pub(super) config: Option<Value>,
    pub(super) cursor: Option<Value>,
    pub(super) window: Option<Span>,
    pub(super) records: Option<Vec<Value>>,
    // The world around it.
    pub(super) valves: Option<Value>,
    #[serde(default)]
    pub(super) state: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) upstream: Vec<Route>,
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, String>,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Call {
    Pipe,
    Inlet,
    Outlet,
    Models,
    Hook,
    Event,
    Peer,
    Valves,
    Describe,
    Source,
    Transform,
    Sink,
}

/// The half-open span of time that a source's run covers.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    pub(super) start: String,
    pub(super) end: String,
}

/// What is expected. With nothing said, an answer, whatever it is.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    pub(super) text: Option<String>,
    pub(super) contains: Option<String>,
    pub(super) json: Option<Value>,
    pub(super) error: Option<String>,
    pub(super) denied: Vec<String>,
    pub(super) events: Vec<ExpectedEvent>,
    pub(super) log_contains: Option<String>,
    pub(super) fuel_below: Option<u64>,
}

/// An event that is expected; its payload has at least this.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedEvent {
    pub(super) topic: String,
    #[serde(default = "anything")]
    pub(super) payload: Value,
}

fn anything() -> Value {
    Value::Object(serde_json::Map::new())
}

/// A route of the fake upstream.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) method: Option<String>,
    pub(super) url: String,
    #[serde(default = "ok")]
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: String,
    pub(super) json: Option<Value>,
}

fn ok() -> u16 {
    200
}

impl CaseFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// What is wrong, with file and line.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let at = path.display();
        let written: WrittenFile = toml::from_str(text).map_err(|e| format!("{at}: {e}"))?;
        let mut wrong = Vec::new();
        let mut cases = Vec::new();
        for case in written.case {
            let before = text.get(..case.span().start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let case = case.into_inner();
            if let Err(reason) = case.check() {
                wrong.push(format!("{at}:{line}: case {:?}: {reason}", case.name));
            }
            cases.push(case);
        }
        if cases.is_empty() {
            wrong.push(format!("{at}: no [[case]]"));
        }
        if !wrong.is_empty() {
            return Err(wrong.join("\n"));
        }
        let base = path.parent().unwrap_or(Path::new("."));
        let settings = written.settings.map(|table| table.to_string());
        Ok(Self {
            path: path.to_owned(),
            settings,
            plugins: written.plugins.iter().map(|p| base.join(p)).collect(),
            cases,
        })
    }
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Inlet => "inlet",
            Self::Outlet => "outlet",
            Self::Models => "models",
            Self::Hook => "hook",
            Self::Event => "event",
            Self::Peer => "peer",
            Self::Valves => "valves",
            Self::Describe => "describe",
            Self::Source => "source",
            Self::Transform => "transform",
            Self::Sink => "sink",
        }
    }

    /// Keys that say what the call is made with: those that have to be there, and those that may.
    fn keys(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Pipe => (&[], &["message", "body", "model"]),
            Self::Inlet | Self::Outlet => (&["body"], &["user"]),
            Self::Models | Self::Describe => (&[], &[]),
            Self::Valves => (&["valves"], &[]),
            Self::Hook => (&["point", "context"], &["mode", "step_result"]),
            Self::Event => (&["topic", "payload"], &["origin"]),
            Self::Peer => (&["caller", "method", "payload"], &["cast"]),
            Self::Source => (&[], &["config", "cursor", "window"]),
            Self::Transform | Self::Sink => (&["records"], &["config"]),
        }
    }
}

impl Case {
    fn check(&self) -> Result<(), String> {
        let (needed, possible) = self.call.keys();
        let given = self.given();
        for key in needed {
            if !given.contains(key) {
                return Err(format!("call = {:?} needs {key}", self.call.name()));
            }
        }
        let is_known = |key: &&str| needed.contains(key) || possible.contains(key);
        if let Some(key) = given.iter().find(|k| !is_known(k) && **k != "valves") {
            let known: Vec<_> = needed.iter().chain(possible).copied().collect();
            return Err(format!(
                "{key} means nothing for call = {:?}; there are: {}",
                self.call.name(),
                [known, vec!["valves", "state", "upstream", "secrets"]]
                    .concat()
                    .join(", ")
            ));
        }
        if self.call == Call::Pipe && self.message.is_some() == self.body.is_some() {
            return Err("call = \"pipe\" needs message or body, one of them".into());
        }
        if self.expect.error.is_some() && self.expect.wants_answer() {
            return Err(
                "expect.error, or something of an answer (text, contains, json), not both".into(),
            );
        }
        Ok(())
    }

    /// The keys of a call that are there.
    fn given(&self) -> Vec<&'static str> {
        let all = [
            ("message", self.message.is_some()),
            ("body", self.body.is_some()),
            ("model", self.model.is_some()),
            ("user", self.user.is_some()),
            ("point", self.point.is_some()),
            ("mode", self.mode.is_some()),
            ("context", self.context.is_some()),
            ("step_result", self.step_result.is_some()),
            ("topic", self.topic.is_some()),
            ("origin", self.origin.is_some()),
            ("payload", self.payload.is_some()),
            ("caller", self.caller.is_some()),
            ("method", self.method.is_some()),
            ("cast", self.cast.is_some()),
            ("config", self.config.is_some()),
            ("cursor", self.cursor.is_some()),
            ("window", self.window.is_some()),
            ("records", self.records.is_some()),
            ("valves", self.valves.is_some()),
        ];
        let there = all.into_iter().filter(|(_, is_there)| *is_there);
        there.map(|(key, _)| key).collect()
    }
}

impl Expect {
    /// Does it say something of an answer?
    pub(super) fn wants_answer(&self) -> bool {
        self.text.is_some() || self.contains.is_some() || self.json.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CaseFile, String> {
        CaseFile::parse(Path::new("p/tests/a.toml"), text)
    }

    #[test]
    fn a_file_is_read() {
        let file = parse(
            r#"
            plugins = ["../bridge.wasm"]
            settings = { grants = { state = true } }
            [[case]]
            name = "greets"
            call = "pipe"
            message = "hi"
            state = { key = "text" }
            upstream = [{ url = "https://a.b/", status = 201, body = "x" }]
            expect.text = "hello hi"
            expect.events = [{ topic = "t" }]
            [[case]]
            name = "hooks"
            call = "hook"
            point = "chat_request"
            mode = "before"
            context = { n = [1, 2.5, true] }
            "#,
        )
        .unwrap();
        assert_eq!(file.plugins, [Path::new("p/tests/../bridge.wasm")]);
        assert!(file.settings.unwrap().contains("state = true"));
        let [greets, hooks] = file.cases.as_slice() else {
            panic!("two cases")
        };
        assert_eq!(greets.expect.text.as_deref(), Some("hello hi"));
        assert_eq!(greets.upstream[0].status, 201);
        let context = serde_json::json!({"n": [1, 2.5, true]});
        assert_eq!(
            (hooks.mode, hooks.context.as_ref()),
            (Some(Mode::Before), Some(&context))
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let check = |case: &str, words: &[&str]| {
            let e = parse(&format!("\n[[case]]\nname = \"a\"\n{case}\n")).unwrap_err();
            for word in [&["p/tests/a.toml"], words].concat() {
                assert!(e.contains(word), "{word} in {e}");
            }
        };
        check("call = \"pip\"", &["line 4", "pip", "inlet"]);
        check(
            "call = \"pipe\"\nmesage = \"x\"",
            &["line 5", "mesage", "message"],
        );
        check(
            "call = \"pipe\"\nexpect.txt = \"x\"",
            &["line 5", "txt", "contains"],
        );
        check("call = \"pipe\"", &[":2:", "message or body"]);
        check(
            "call = \"hook\"\npoint = \"inlet\"",
            &[":2:", "needs context"],
        );
        check(
            "call = \"models\"\ntopic = \"x\"",
            &[":2:", "topic means nothing"],
        );
        check("call = \"transform\"", &[":2:", "needs records"]);
        check(
            "call = \"source\"\nrecords = []",
            &[":2:", "records means nothing", "cursor"],
        );
        check(
            "call = \"source\"\nwindow = { start = \"a\" }",
            &["line 5", "missing field `end`"],
        );
        let both = "call = \"pipe\"\nmessage = \"\"\nexpect.text = \"\"\nexpect.error = \"\"";
        check(both, &["not both"]);
        assert!(parse("").unwrap_err().contains("no [[case]]"));
    }
}
