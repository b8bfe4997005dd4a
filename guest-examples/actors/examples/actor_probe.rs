//! Template `probe`: asks for secrets and floods metrics. The pipe gets
//!
//! - `{"secret": <name>}`: answers `{"ok": <secret>}` or `{"error": ..}`, and writes the secret to the log, to standard output and into a metric's label;
//! - `{"labels": <n>}`: a counter with so many label sets; `{"names": <n>}`: so many counters, gauges and histograms;
//! - `{"odd": true}`: names, labels and values that do not fit, or break the format at `/metrics` if they are passed on as they are;
//! - `{"granted": true}`: which capabilities it is told it has.

use actors::order;
use weir_sdk::{
    Failure, Pipe, Plugin, Reply, Request, grants, log, metrics, secrets,
    serde_json::{Value, json},
};

#[derive(Default)]
struct Probe;

impl Plugin for Probe {}

impl Pipe for Probe {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        let order = order(request);
        let number = |key| order.get(key).and_then(Value::as_u64);
        let answer = if let Some(name) = order.get("secret").and_then(Value::as_str) {
            secret(name)
        } else if let Some(many) = number("labels") {
            for value in 0..many {
                metrics::add("flood", 1, &[("value", &value.to_string())]);
            }
            Value::Null
        } else if let Some(many) = number("names") {
            (0..many).for_each(names);
            Value::Null
        } else if order.get("odd").is_some() {
            odd();
            Value::Null
        } else {
            let all = [
                "http", "state", "events", "calls", "secrets", "metrics", "hooks", "weir", "",
            ];
            all.into_iter()
                .filter(|name| grants::granted(name))
                .collect()
        };
        reply.text(answer.to_string())?;
        Ok(())
    }
}

fn secret(name: &str) -> Value {
    match secrets::get(name) {
        Ok(secret) => {
            log::info(format!("the secret is {secret}"));
            println!("the secret is {secret}");
            metrics::add("leaks", 1, &[("secret", &secret)]);
            json!({"ok": secret})
        }
        Err(error) => json!({"error": error.to_string()}),
    }
}

fn names(number: u64) {
    metrics::add(&format!("counter{number}"), 1, &[]);
    metrics::set(&format!("gauge{number}"), 1.0, &[]);
    metrics::record(&format!("histogram{number}"), 1.0, &[]);
}

fn odd() {
    for name in [
        "",
        "1a",
        "a b",
        "a{b=\"c\"}",
        "a\nweir_up 0",
        "ä",
        &"n".repeat(65),
    ] {
        metrics::add(name, 1, &[]);
        metrics::add("odd", 1, &[(name, "x")]);
    }
    for value in ["\"", "\\", "a\nweir_up 0", "\u{202e}", &"v".repeat(129)] {
        metrics::add("odd", 1, &[("value", value)]);
    }
    metrics::add("odd", 1, &[("a", "1"), ("a", "2")]);
    metrics::add("odd", 1, &[("plugin", "another")]);
    let labels: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h", "i"]
        .map(|name| (name, "x"))
        .to_vec();
    metrics::add("odd", 1, &labels);
    // One name, three kinds; and numbers that are none.
    metrics::add("kind", 1, &[]);
    metrics::set("kind", 1.0, &[]);
    metrics::record("kind", 1.0, &[]);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        metrics::set("odd_gauge", value, &[]);
        metrics::record("odd_histogram", value, &[]);
    }
    metrics::add("overflow", u64::MAX, &[]);
    metrics::add("overflow", u64::MAX, &[]);
}

actors::actor!(Probe: pipe);
