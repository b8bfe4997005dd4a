//! Metrics under the plugin's own prefix. Names and label sets are capped: what goes over is dropped and counted. Grant: `metrics`.

use crate::bindings::metrics::weir::host::metrics;

/// Adds to a counter.
pub fn add(counter: &str, delta: u64, labels: &[(&str, &str)]) {
    metrics::add(counter, delta, &own(labels));
}

/// Sets a gauge.
pub fn set(gauge: &str, value: f64, labels: &[(&str, &str)]) {
    metrics::set(gauge, value, &own(labels));
}

/// Records a value in a histogram.
pub fn record(histogram: &str, value: f64, labels: &[(&str, &str)]) {
    metrics::record_value(histogram, value, &own(labels));
}

fn own(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
