//! `weir:host/metrics`: checks names, labels and values of a plugin's own metrics. The exchange keeps them, and bounds the number of series.

use model::exchange::{Observation, Observed};
use model::grants::Capability;

use crate::bindings::weir::host::metrics::{Host, Labels};
use crate::state::State;

/// Longest name of a metric or a label, in bytes.
const MAX_NAME: usize = 64;
/// Longest value of a label, in bytes.
const MAX_VALUE: usize = 128;
/// Most labels of one observation.
const MAX_LABELS: usize = 8;
/// Labels that the host or the format sets.
const RESERVED: [&str; 2] = ["plugin", "le"];

impl State {
    /// Keeps an observation, or drops and counts it.
    fn observe(&self, name: String, labels: Labels, value: Observed) {
        if let Err(reason) = self.try_observe(name, labels, value) {
            self.shared.denied(Capability::Metrics, || reason);
        }
    }

    fn try_observe(&self, name: String, mut labels: Labels, value: Observed) -> Result<(), String> {
        for (_, value) in &mut labels {
            *value = self.shared.secrets.redact(value).into_owned();
        }
        let granted = self.shared.grants.metrics;
        let id = self.shared.id().filter(|_| granted);
        let id = id.ok_or("the grant `metrics` is missing")?;
        let observation = checked(name, labels, value)?;
        self.shared.counters.used(Capability::Metrics);
        if self.shared.host.ports.exchange.observe(id, observation) {
            Ok(())
        } else {
            Err("it is one series more than metric_series, or has the name of a metric of another kind".into())
        }
    }
}

fn checked(name: String, mut labels: Labels, value: Observed) -> Result<Observation, String> {
    if !is_name(&name) {
        return Err(format!("{:?} is no name for a metric", short(&name)));
    }
    if let Observed::Gauge(number) | Observed::Histogram(number) = value
        && !number.is_finite()
    {
        return Err(format!("{number} is no value for the metric {name}"));
    }
    if labels.len() > MAX_LABELS {
        let given = labels.len();
        return Err(format!("{name} has {given} labels of at most {MAX_LABELS}"));
    }
    // One order for one series.
    labels.sort();
    let mut last = None;
    for (label, value) in &labels {
        if !is_name(label) || RESERVED.contains(&label.as_str()) {
            return Err(format!("{:?} is no name for a label", short(label)));
        }
        if last == Some(label) {
            return Err(format!("{name} has the label {label} twice"));
        }
        if value.len() > MAX_VALUE {
            let bytes = value.len();
            return Err(format!(
                "the label {label} has {bytes} bytes of at most {MAX_VALUE}"
            ));
        }
        last = Some(label);
    }
    Ok(Observation {
        name,
        labels,
        value,
    })
}

/// 1 to 64 of `a-z 0-9 _`, the first a letter.
fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn short(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

fn bytes(name: &str, labels: &Labels) -> usize {
    name.len() + labels.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>()
}

impl Host for State {
    fn add(&mut self, counter: String, delta: u64, labels: Labels) -> wasmtime::Result<()> {
        self.budget.bytes(bytes(&counter, &labels));
        self.observe(counter, labels, Observed::Counter(delta));
        Ok(())
    }

    fn set(&mut self, gauge: String, value: f64, labels: Labels) -> wasmtime::Result<()> {
        self.budget.bytes(bytes(&gauge, &labels));
        self.observe(gauge, labels, Observed::Gauge(value));
        Ok(())
    }

    fn record_value(
        &mut self,
        histogram: String,
        value: f64,
        labels: Labels,
    ) -> wasmtime::Result<()> {
        self.budget.bytes(bytes(&histogram, &labels));
        self.observe(histogram, labels, Observed::Histogram(value));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, labels: &[(&str, &str)], value: Observed) -> Result<Observation, String> {
        let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        checked(name.into(), labels.collect(), value)
    }

    #[test]
    fn labels_are_put_in_order() {
        let kept = check("n", &[("b", "1"), ("a", "ü")], Observed::Counter(1)).unwrap();
        assert_eq!(
            kept.labels,
            [("a".into(), "ü".into()), ("b".into(), "1".into())]
        );
    }

    #[test]
    fn names_labels_and_values_are_bounded() {
        let one = Observed::Counter(1);
        for bad in ["", "A", "1a", "a-b", "a b", "ü", &"a".repeat(65)] {
            assert!(check(bad, &[], one).is_err(), "{bad:?}");
            assert!(check("n", &[(bad, "v")], one).is_err(), "{bad:?}");
        }
        assert!(check(&"a".repeat(64), &[], one).is_ok());
        for reserved in RESERVED {
            assert!(check("n", &[(reserved, "v")], one).is_err(), "{reserved}");
        }
        assert!(check("n", &[("a", &"v".repeat(128))], one).is_ok());
        assert!(check("n", &[("a", &"v".repeat(129))], one).is_err());
        assert!(check("n", &[("a", "1"), ("a", "2")], one).is_err());
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let many = names.map(|n| (n, ""));
        assert!(check("n", &many[..8], one).is_ok());
        assert!(check("n", &many, one).is_err());
        assert!(check("n", &[], Observed::Gauge(f64::NAN)).is_err());
        assert!(check("n", &[], Observed::Histogram(f64::INFINITY)).is_err());
    }
}
