//! One case: a kit around the component, the call, and what was expected of it.

use std::fmt::Write;
use std::path::Path;

use model::hooks::Mode;
use serde_json::{Value, json};
use weir_testkit::blocking::Running;
use weir_testkit::{Kit, Mismatch, Outcome, Upstream, has_all};

use crate::check;

use super::written::{Call, Case, CaseFile, Route};

/// Runs a case: one line with its name, fuel and time if it passed, all that is known if not.
pub(super) fn run(component: &Path, file: &CaseFile, case: &Case) -> Result<String, String> {
    let name = &case.name;
    let running = kit(component, file, case)
        .start_blocking()
        .map_err(|e| format!("{name}\n{}", indented(&e.to_string())))?;
    let outcome = call(&running, case);
    let wrong = mismatches(&outcome, case);
    running.stop();
    let used = &outcome.used;
    let line = format!(
        "{name:<40} {:>12} fuel {:>8.1} ms",
        used.fuel,
        used.time.as_secs_f64() * 1_000.0
    );
    if wrong.is_empty() {
        return Ok(line);
    }
    let mut text = line;
    for mismatch in wrong {
        // Writing to a String cannot fail.
        let _infallible = write!(
            text,
            "\n    {}:\n      expected {}\n      got      {}",
            mismatch.what, mismatch.expected, mismatch.got
        );
    }
    let _infallible = write!(text, "\n{}", indented(&outcome.to_string()));
    Err(text)
}

fn indented(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|l| format!("    {l}")).collect();
    lines.join("\n")
}

fn kit(component: &Path, file: &CaseFile, case: &Case) -> Kit {
    let mut kit = Kit::new().plugin(component);
    if let Some(folder) = check::cache_folder() {
        // The same as of `weir check` and `weir invoke`: nothing is compiled twice.
        kit = kit.cache(folder);
    }
    if let Some(settings) = &file.settings {
        kit = kit.settings(settings);
    }
    for (key, value) in &case.state {
        kit = kit.state(key, value);
    }
    for route in &case.upstream {
        kit = kit.upstream(upstream(route));
    }
    for (name, value) in &case.secrets {
        kit = kit.secret(name, value);
    }
    file.plugins.iter().fold(kit, Kit::plugin)
}

fn upstream(route: &Route) -> Upstream {
    let mut upstream = match &route.method {
        Some(method) => Upstream::new(method, &route.url),
        None => Upstream::any(&route.url),
    };
    for (name, value) in &route.headers {
        upstream = upstream.header(name, value);
    }
    let upstream = upstream.status(route.status);
    match &route.json {
        Some(json) => upstream.json(json),
        None => upstream.body(route.body.clone()),
    }
}

fn call(plugin: &Running, case: &Case) -> Outcome {
    let null = Value::Null;
    let value = |value: &Option<Value>| value.clone().unwrap_or(Value::Null);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    if let Some(valves) = &case.valves {
        let set = plugin.valves(valves);
        if case.call == Call::Valves || set.result.is_err() {
            return set;
        }
    }
    match case.call {
        Call::Pipe => plugin.chat_body(body(case)),
        Call::Inlet => plugin.inlet(&value(&case.body), case.user.as_ref().unwrap_or(&null)),
        Call::Outlet => plugin.outlet(&value(&case.body), case.user.as_ref().unwrap_or(&null)),
        Call::Models => plugin.models(),
        Call::Hook => {
            let result = case.step_result.clone().unwrap_or_else(|| json!({}));
            plugin.hook(&text(&case.point), &value(&case.context), &result)
        }
        Call::Event => match &case.origin {
            Some(origin) => plugin.emit_as(origin, &text(&case.topic), &value(&case.payload)),
            None => plugin.emit(&text(&case.topic), &value(&case.payload)),
        },
        Call::Peer if case.cast == Some(true) => plugin.cast(
            &text(&case.caller),
            &text(&case.method),
            &value(&case.payload),
        ),
        Call::Peer => plugin.peer(
            &text(&case.caller),
            &text(&case.method),
            &value(&case.payload),
        ),
        Call::Source => {
            let window = case.window.as_ref();
            let window = window.map(|w| (w.start.as_str(), w.end.as_str()));
            plugin.read_window(&config(case), case.cursor.as_ref(), window)
        }
        Call::Transform => plugin.transform(&config(case), &batch(case)),
        Call::Sink => plugin.write(&config(case), &batch(case)),
        Call::Valves | Call::Describe => plugin.describe(),
    }
}

/// The settings of a stage.
fn config(case: &Case) -> Value {
    case.config.clone().unwrap_or_else(|| json!({}))
}

/// The records that a stage is given, in one batch.
fn batch(case: &Case) -> Vec<Vec<Value>> {
    case.records.iter().cloned().collect()
}

/// The request body of a pipe's case.
fn body(case: &Case) -> Value {
    let said = || json!({"messages": [{"role": "user", "content": case.message}]});
    let mut body = case.body.clone().unwrap_or_else(said);
    if let (Some(body), Some(model)) = (body.as_object_mut(), &case.model) {
        body.insert("model".into(), model.as_str().into());
    }
    body
}

/// All that is not as expected.
fn mismatches(outcome: &Outcome, case: &Case) -> Vec<Mismatch> {
    let expect = &case.expect;
    let mut checks = Vec::new();
    match &expect.error {
        Some(part) => checks.push(outcome.error_has(part)),
        // A denial may well end in a failure.
        None if !expect.denied.is_empty() && !expect.wants_answer() => {}
        None => checks.push(outcome.reply().map(|_| ())),
    }
    if outcome.result.is_ok() {
        checks.extend(expect.text.as_ref().map(|t| outcome.text_is(t)));
        checks.extend(expect.contains.as_ref().map(|t| outcome.text_has(t)));
        checks.extend(expect.json.as_ref().map(|j| json(outcome, case.mode, j)));
    }
    checks.extend(expect.denied.iter().map(|c| outcome.denied(c)));
    let events = expect.events.iter();
    checks.extend(events.map(|e| outcome.emitted(&e.topic, &e.payload)));
    checks.extend(expect.log_contains.as_ref().map(|l| outcome.logged(l)));
    checks.extend(expect.fuel_below.map(|most| outcome.fuel_below(most)));
    checks.into_iter().filter_map(Result::err).collect()
}

/// Of a hook before a step, the context that reached the step; else the answer.
fn json(outcome: &Outcome, mode: Option<Mode>, part: &Value) -> Result<(), Mismatch> {
    if mode != Some(Mode::Before) {
        return outcome.json_has(part);
    }
    match &outcome.step {
        Some(context) if has_all(context, part) => Ok(()),
        step => Err(Mismatch {
            what: "json",
            expected: part.to_string(),
            got: step
                .as_ref()
                .map_or_else(|| "the step was not taken".into(), Value::to_string),
        }),
    }
}
