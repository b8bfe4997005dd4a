//! What is counted and timed: from a hook's context to samples. Only `export` talks to the host.

use weir_sdk::{Failure, metrics, serde_json::Value};

/// One value of one metric.
#[derive(Debug, PartialEq)]
pub struct Sample {
    name: &'static str,
    value: Measure,
    labels: Vec<(&'static str, String)>,
}

#[derive(Debug, PartialEq)]
enum Measure {
    /// Added to a counter.
    Count(u64),
    /// Recorded in a histogram.
    Seconds(f64),
}

/// A label's longest value, in bytes.
const MAX_LABEL: usize = 128;

impl Sample {
    /// Hands it to the host.
    pub fn export(&self) {
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        match self.value {
            Measure::Count(count) => metrics::add(self.name, count, &labels),
            Measure::Seconds(seconds) => metrics::record(self.name, seconds, &labels),
        }
    }
}

/// A chat, from the context and result of `chat_request`.
pub fn of_chat(context: &Value, result: Result<(), &Failure>, seconds: f64) -> Vec<Sample> {
    let labels = vec![
        ("model_plugin", text(context, "/plugin")),
        ("outcome", outcome(result)),
    ];
    timed("chats", "chat_seconds", seconds, &labels)
}

/// A stage whose work is over, from the context and result of `stage_execute`.
pub fn of_stage(context: &Value, result: &Value) -> Vec<Sample> {
    let place = vec![
        ("pipeline", text(context, "/pipeline")),
        ("stage", text(context, "/stage/name")),
    ];
    let with = |name, value: &str| [place.clone(), vec![(name, value.to_owned())]].concat();
    let failed = result.get("error").is_some_and(|error| !error.is_null());
    let mut samples = timed(
        "stages",
        "stage_seconds",
        seconds(result),
        &with("outcome", if failed { "failed" } else { "ok" }),
    );
    for direction in ["in", "out", "rejected"] {
        let count = result.get(direction).and_then(Value::as_u64);
        if let Some(count) = count {
            samples.push(Sample {
                name: "stage_records",
                value: Measure::Count(count),
                labels: with("direction", direction),
            });
        }
    }
    samples
}

/// A run that has ended, from the context of `run_complete`.
pub fn of_run(context: &Value) -> Vec<Sample> {
    let labels = vec![
        ("pipeline", text(context, "/pipeline")),
        ("state", text(context, "/state")),
    ];
    timed("runs", "run_seconds", seconds(context), &labels)
}

fn seconds(of: &Value) -> f64 {
    let ms = of.get("time_ms").and_then(Value::as_f64);
    ms.unwrap_or_default() / 1000.0
}

fn timed(
    counter: &'static str,
    histogram: &'static str,
    seconds: f64,
    labels: &[(&'static str, String)],
) -> Vec<Sample> {
    let sample = |name, value| Sample {
        name,
        value,
        labels: labels.to_vec(),
    };
    vec![
        sample(counter, Measure::Count(1)),
        sample(histogram, Measure::Seconds(seconds)),
    ]
}

fn outcome(result: Result<(), &Failure>) -> String {
    match result {
        Ok(_) => "ok",
        Err(Failure::Invalid(_)) => "invalid",
        Err(Failure::Transient { .. }) => "transient",
        Err(Failure::Refused(_)) => "refused",
        Err(Failure::Internal(_)) => "internal",
    }
    .to_owned()
}

/// The text at a place in the context, short enough for a label.
fn text(context: &Value, pointer: &str) -> String {
    let text = context
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    let end = text.floor_char_boundary(MAX_LABEL);
    text.split_at(end).0.to_owned()
}

#[cfg(test)]
mod tests {
    use weir_sdk::serde_json::json;

    use super::*;

    #[track_caller]
    fn check(samples: &[Sample], expected: &str) {
        let line = |sample: &Sample| {
            let labels: Vec<_> = sample
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("{} {:?} {}", sample.name, sample.value, labels.join(","))
        };
        assert_eq!(
            samples.iter().map(line).collect::<Vec<_>>().join("\n"),
            expected
        );
    }

    #[test]
    fn chats() {
        let context = json!({"plugin": "echo", "model": "echo"});
        check(
            &of_chat(&context, Ok(()), 0.5),
            "chats Count(1) model_plugin=echo,outcome=ok\nchat_seconds Seconds(0.5) model_plugin=echo,outcome=ok",
        );
        let refused = of_chat(&json!({}), Err(&Failure::refused("no")), 0.0);
        check(
            &refused,
            "chats Count(1) model_plugin=unknown,outcome=refused\nchat_seconds Seconds(0.0) model_plugin=unknown,outcome=refused",
        );
    }

    #[test]
    fn stages() {
        let context = json!({"pipeline": "p", "stage": {"name": "s"}});
        check(
            &of_stage(
                &context,
                &json!({"in": 3, "out": 2, "rejected": 1, "time_ms": 2000, "error": null}),
            ),
            "stages Count(1) pipeline=p,stage=s,outcome=ok\nstage_seconds Seconds(2.0) pipeline=p,stage=s,outcome=ok\n\
            stage_records Count(3) pipeline=p,stage=s,direction=in\nstage_records Count(2) pipeline=p,stage=s,direction=out\n\
            stage_records Count(1) pipeline=p,stage=s,direction=rejected",
        );
    }

    #[test]
    fn runs() {
        check(
            &of_run(&json!({"pipeline": "p", "state": "partial", "time_ms": 1500})),
            "runs Count(1) pipeline=p,state=partial\nrun_seconds Seconds(1.5) pipeline=p,state=partial",
        );
    }

    #[test]
    fn labels_are_cut_between_characters() {
        let long = "ä".repeat(100);
        assert_eq!(text(&json!({"a": long}), "/a").len(), 128);
        let odd = format!("x{long}");
        assert_eq!(text(&json!({"a": odd}), "/a").len(), 127);
    }
}
