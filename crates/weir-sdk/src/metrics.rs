//! Metrics of the plugin's own, served at `/metrics` as `weir_guest_<plugin id>_<name>` (in the id all but letters and digits become `_`)
//! with the label `plugin`. Grant: `metrics`.
//!
//! Names and label names are 1 to 64 of `a-z 0-9 _`, first a letter; label values have at most 128 bytes; there are at most 8 labels. Names and label
//! sets together are capped by the `metric_series` limit. What does not fit is dropped and counted: nothing here fails.
//!
//! ```no_run
//! # use weir_sdk::metrics;
//! metrics::add("orders", 1, &[("shop", "north")]);
//! metrics::record("order_seconds", 0.25, &[]);
//! ```

use crate::bindings::metrics::weir::host::metrics;

/// Adds to a counter. `/metrics` shows its name with `_total` at the end.
pub fn add(counter: &str, delta: u64, labels: &[(&str, &str)]) {
    metrics::add(counter, delta, &own(labels));
}

/// Sets a gauge.
pub fn set(gauge: &str, value: f64, labels: &[(&str, &str)]) {
    metrics::set(gauge, value, &own(labels));
}

/// Records a value in a histogram, which has the buckets 0.001, 0.01, 0.1, 1, 10 and 100.
pub fn record(histogram: &str, value: f64, labels: &[(&str, &str)]) {
    metrics::record_value(histogram, value, &own(labels));
}

fn own(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
