//! What tests expect of an outcome. Each assertion has a form that answers what is wrong, for tools, and one that panics with all that is known.

use serde_json::Value;

use crate::outcome::{Failed, Outcome, Reply};

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What was looked at: `text`, `json`, `error`, ..
    pub what: &'static str,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub got: String,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: expected {}, got {}",
            self.what, self.expected, self.got
        )
    }
}

type Check = Result<(), Mismatch>;

fn check(
    is_good: bool,
    what: &'static str,
    expected: impl Into<String>,
    got: impl FnOnce() -> String,
) -> Check {
    if is_good {
        return Ok(());
    }
    Err(Mismatch {
        what,
        expected: expected.into(),
        got: got(),
    })
}

/// Does `whole` have everything that `part` has? Objects may have more keys; lists have to be as long and are compared entry by entry;
/// numbers by their value.
#[must_use]
pub fn has_all(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(key, part)| whole.get(key).is_some_and(|whole| has_all(whole, part))),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(w, p)| has_all(w, p))
        }
        (Value::Number(whole), Value::Number(part)) => {
            whole == part || whole.as_f64().is_some_and(|w| Some(w) == part.as_f64())
        }
        (whole, part) => whole == part,
    }
}

/// Checks that answer what is wrong.
impl Outcome {
    /// The answer, or a mismatch that holds the failure.
    ///
    /// # Errors
    /// The call failed.
    pub fn reply(&self) -> Result<&Reply, Mismatch> {
        self.result.as_ref().map_err(|failed| Mismatch {
            what: "result",
            expected: "an answer".into(),
            got: format!("the failure {:?}", failed.message),
        })
    }

    /// The answer's text is this.
    ///
    /// # Errors
    /// It is another, or the call failed.
    pub fn text_is(&self, text: &str) -> Check {
        let got = &self.reply()?.text;
        check(got == text, "text", format!("{text:?}"), || {
            format!("{got:?}")
        })
    }

    /// The answer's text holds this.
    ///
    /// # Errors
    /// It does not, or the call failed.
    pub fn text_has(&self, part: &str) -> Check {
        let got = &self.reply()?.text;
        let expected = format!("a text with {part:?}");
        check(got.contains(part), "text", expected, || format!("{got:?}"))
    }

    /// The answer's JSON has everything that this has (see [`has_all`]).
    ///
    /// # Errors
    /// It does not, there is none, or the call failed.
    pub fn json_has(&self, part: &Value) -> Check {
        let reply = self.reply()?;
        let is_good = reply
            .json
            .as_ref()
            .is_some_and(|whole| has_all(whole, part));
        check(is_good, "json", part.to_string(), || match &reply.json {
            Some(json) => json.to_string(),
            None => format!("no JSON, but the text {:?}", reply.text),
        })
    }

    /// The call failed, and its message or code holds this.
    ///
    /// # Errors
    /// It did not, or with other words.
    pub fn error_has(&self, part: &str) -> Check {
        let expected = format!("a failure with {part:?}");
        match &self.result {
            Ok(reply) => check(false, "error", expected, || {
                format!("the answer {:?}", reply.text)
            }),
            Err(Failed { code, message }) => {
                let is_good = message.contains(part) || code == part;
                check(is_good, "error", expected, || {
                    format!("{message:?} ({code})")
                })
            }
        }
    }

    /// This capability was denied at least once: `http`, `state`, ..
    ///
    /// # Errors
    /// It was not.
    pub fn denied(&self, capability: &str) -> Check {
        let is_good = self.used.denied.iter().any(|(name, _)| name == capability);
        let got = || match self.used.denied.as_slice() {
            [] => "no denial".to_owned(),
            denied => format!("{denied:?}"),
        };
        check(is_good, "denied", format!("a denial of {capability}"), got)
    }

    /// Nothing was denied.
    ///
    /// # Errors
    /// Something was.
    pub fn nothing_denied(&self) -> Check {
        let denied = &self.used.denied;
        check(denied.is_empty(), "denied", "no denial", || {
            format!("{denied:?}")
        })
    }

    /// An event was emitted on this topic, with a payload that has everything this has.
    ///
    /// # Errors
    /// None was.
    pub fn emitted(&self, topic: &str, payload: &Value) -> Check {
        let mut events = self.events.iter();
        let is_good = events.any(|e| e.topic == topic && has_all(&e.payload, payload));
        check(is_good, "events", format!("{topic} with {payload}"), || {
            let seen: Vec<_> = self.events.iter().map(|e| format!("{e}")).collect();
            format!("{seen:?}")
        })
    }

    /// A plugin logged a line that holds this.
    ///
    /// # Errors
    /// None did.
    pub fn logged(&self, part: &str) -> Check {
        let of_plugins = || self.log.iter().filter(|l| !l.plugin.is_empty());
        let is_good = of_plugins().any(|l| l.to_string().contains(part));
        check(is_good, "log", format!("a line with {part:?}"), || {
            let lines: Vec<_> = of_plugins().map(ToString::to_string).collect();
            format!("{lines:?}")
        })
    }

    /// It burnt less fuel than this.
    ///
    /// # Errors
    /// It did not.
    pub fn fuel_below(&self, most: u64) -> Check {
        let fuel = self.used.fuel;
        check(fuel < most, "fuel", format!("less than {most}"), || {
            fuel.to_string()
        })
    }
}

macro_rules! assertions {
    ($($(#[$doc:meta])* $name:ident => $check:ident($($argument:ident: $kind:ty),*);)*) => {
        /// Assertions: they panic with everything that is known of the call, and answer the outcome itself, so that one can follow another.
        impl Outcome {
            $($(#[$doc])*
            ///
            /// # Panics
            /// If it is not so.
            #[track_caller]
            pub fn $name(&self, $($argument: $kind),*) -> &Self {
                self.expect(self.$check($($argument),*))
            })*
        }
    };
}

assertions! {
    /// The answer's text is this.
    assert_text => text_is(text: &str);
    /// The answer's text holds this.
    assert_contains => text_has(part: &str);
    /// The answer's JSON has everything that this has: objects may have more keys, lists may not be longer.
    assert_json => json_has(part: &Value);
    /// The call failed, and its message holds this, or its code is this: `refused: not today`, `out_of_fuel`.
    assert_error => error_has(part: &str);
    /// This capability was denied: `http`, `state`, `events`, `calls`, `secrets`, `metrics`.
    assert_denied => denied(capability: &str);
    /// Nothing was denied.
    assert_nothing_denied => nothing_denied();
    /// An event was emitted on this topic, with a payload that has everything this has.
    assert_event => emitted(topic: &str, payload: &Value);
    /// A plugin logged a line that holds this.
    assert_logged => logged(part: &str);
    /// It burnt less fuel than this.
    assert_fuel_below => fuel_below(most: u64);
}

impl Outcome {
    /// There is an answer, whatever it says.
    ///
    /// # Panics
    /// If the call failed.
    #[track_caller]
    pub fn assert_ok(&self) -> &Self {
        self.expect(self.reply().map(|_| ()))
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "an assertion of a test")]
    fn expect(&self, check: Check) -> &Self {
        if let Err(mismatch) = check {
            panic!("{mismatch}\n{self}");
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::outcome::{EventSeen, Used};

    fn outcome(result: Result<Reply, Failed>) -> Outcome {
        Outcome {
            call: "chat of p".into(),
            result,
            used: Used {
                fuel: 10,
                denied: vec![("http".into(), 2)],
                ..Used::default()
            },
            events: vec![EventSeen {
                topic: "a.b".into(),
                origin: "p".into(),
                payload: json!({"n": 1, "m": 2}),
            }],
            log: Vec::new(),
            requests: Vec::new(),
            step: None,
        }
    }

    #[test]
    fn parts_of_json() {
        let check = |whole: Value, part: Value, has: bool| {
            assert_eq!(has_all(&whole, &part), has, "{whole} {part}");
        };
        check(json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 1}}), true);
        check(json!({"a": 1}), json!({"a": 1.0}), true);
        check(json!({"a": 1}), json!({"b": 1}), false);
        check(json!([1, {"a": 1, "b": 2}]), json!([1, {"a": 1}]), true);
        check(json!([1, 2]), json!([1]), false);
        check(json!("a"), json!("b"), false);
    }

    #[test]
    fn assertions_pass_and_say_what_is_wrong() {
        let good = outcome(Ok(Reply::of_value(json!({"a": 1}))));
        good.assert_ok()
            .assert_json(&json!({"a": 1}))
            .assert_contains("1")
            .assert_denied("http");
        good.assert_fuel_below(11)
            .assert_event("a.b", &json!({"n": 1}));
        let wrong = [
            good.text_is("x"),
            good.text_has("x"),
            good.json_has(&json!({"a": 2})),
            good.error_has("x"),
            good.denied("state"),
            good.nothing_denied(),
            good.emitted("a.b", &json!({"n": 2})),
            good.emitted("a", &json!({})),
            good.logged("x"),
            good.fuel_below(10),
        ];
        for check in wrong {
            assert!(check.is_err());
        }
        let bad = outcome(Err(Failed {
            code: "refused".into(),
            message: "refused: not today".into(),
        }));
        bad.assert_error("not today").assert_error("refused");
        assert!(bad.text_is("").is_err() && bad.error_has("other").is_err());
    }

    #[test]
    #[should_panic(
        expected = "text: expected \"x\", got \"{\\\"a\\\":1}\"\nchat of p\n  answered: {\"a\":1}\n  used: fuel 10 of"
    )]
    fn a_failed_assertion_prints_everything() {
        outcome(Ok(Reply::of_value(json!({"a": 1})))).assert_text("x");
    }
}
