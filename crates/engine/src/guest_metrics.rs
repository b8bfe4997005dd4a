//! Metrics of plugins' own: each has a prefix with its plugin's id, and each plugin a bounded number of series.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Error;
use std::sync::Mutex;

use model::exchange::{Observation, Observed};
use model::id::PluginId;
use model::limits::Limit;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;

use crate::Engine;
use crate::slot::lock;

/// Upper bounds of the buckets of every histogram, as the contract says.
const BUCKETS: [f64; 6] = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0];

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct GuestMetrics(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By the names of the families.
    families: BTreeMap<String, Family>,
    /// How many series each plugin has.
    counts: HashMap<PluginId, usize>,
}

#[derive(Debug)]
struct Family {
    kind: MetricType,
    series: BTreeMap<(PluginId, Labels), Series>,
}

type Labels = Vec<(String, String)>;

#[derive(Debug)]
enum Series {
    Counter(u64),
    Gauge(f64),
    Histogram(Histogram),
}

impl Engine {
    /// Keeps what a plugin observed; false if it is dropped.
    pub(crate) fn observe(&self, plugin: &PluginId, observation: Observation) -> bool {
        let catalog = self.catalog.load();
        let slot = catalog.plugin(plugin.as_str());
        let most = slot.map_or_else(
            || self.options.defaults.size(Limit::MetricSeries),
            |s| s.face.load().settings.limits.size(Limit::MetricSeries),
        );
        self.guest_metrics.observe(plugin, observation, most)
    }
}

impl GuestMetrics {
    fn observe(&self, plugin: &PluginId, observation: Observation, most: usize) -> bool {
        let Observation {
            name,
            mut labels,
            value,
        } = observation;
        labels.sort();
        let name = format!("weir_guest_{}_{name}", prefix(plugin));
        let mut kept = lock(&self.0);
        let Kept { families, counts } = &mut *kept;
        let kind = kind(value);
        if let Some(family) = families.get_mut(&name) {
            if family.kind.as_str() != kind.as_str() {
                return false;
            }
            if let Some(series) = family.series.get_mut(&(plugin.clone(), labels.clone())) {
                series.add(value);
                return true;
            }
        }
        let count = counts.entry(plugin.clone()).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        let family = families.entry(name).or_insert_with(|| Family {
            kind,
            series: BTreeMap::new(),
        });
        let mut series = Series::new(value);
        series.add(value);
        family.series.insert((plugin.clone(), labels), series);
        true
    }

    /// Lets go of what plugins observed that are not there any more.
    pub(crate) fn keep(&self, is_there: impl Fn(&PluginId) -> bool) {
        let mut kept = lock(&self.0);
        kept.counts.retain(|plugin, _| is_there(plugin));
        kept.families.retain(|_, family| {
            family.series.retain(|(plugin, _), _| is_there(plugin));
            !family.series.is_empty()
        });
    }

    pub(crate) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        for (name, family) in &lock(&self.0).families {
            let help = "A metric of a plugin's own";
            let mut out = encoder.encode_descriptor(name, help, None, family.kind)?;
            for ((plugin, labels), series) in &family.series {
                series.encode(&mut out, plugin, labels)?;
            }
        }
        Ok(())
    }
}

impl Series {
    fn new(value: Observed) -> Self {
        match value {
            Observed::Counter(_) => Self::Counter(0),
            Observed::Gauge(_) => Self::Gauge(0.0),
            Observed::Histogram(_) => Self::Histogram(Histogram::new(BUCKETS)),
        }
    }

    /// The kinds are the same: the family's was compared.
    fn add(&mut self, value: Observed) {
        match (self, value) {
            (Self::Counter(sum), Observed::Counter(n)) => *sum = sum.saturating_add(n),
            (Self::Gauge(gauge), Observed::Gauge(value)) => *gauge = value,
            (Self::Histogram(histogram), Observed::Histogram(value)) => histogram.observe(value),
            (Self::Counter(_) | Self::Gauge(_) | Self::Histogram(_), _) => {}
        }
    }

    fn encode(
        &self,
        out: &mut MetricEncoder<'_>,
        plugin: &PluginId,
        labels: &Labels,
    ) -> Result<(), Error> {
        let own = labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let labels: Vec<(&str, &str)> = [("plugin", plugin.as_str())]
            .into_iter()
            .chain(own)
            .collect();
        let mut out = out.encode_family(&labels)?;
        match self {
            Self::Counter(n) => out.encode_counter::<[(&str, &str); 0], _, u64>(n, None),
            Self::Gauge(value) => out.encode_gauge(value),
            Self::Histogram(histogram) => histogram.encode(out),
        }
    }
}

fn kind(value: Observed) -> MetricType {
    match value {
        Observed::Counter(_) => MetricType::Counter,
        Observed::Gauge(_) => MetricType::Gauge,
        Observed::Histogram(_) => MetricType::Histogram,
    }
}

/// A plugin's id as part of a metric's name.
fn prefix(plugin: &PluginId) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    plugin.as_str().chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(
        metrics: &GuestMetrics,
        plugin: &str,
        name: &str,
        label: &str,
        value: Observed,
    ) -> bool {
        let observation = Observation {
            name: name.into(),
            labels: vec![("l".into(), label.into())],
            value,
        };
        metrics.observe(&PluginId::new(plugin).unwrap(), observation, 3)
    }

    #[test]
    fn series_are_bounded_and_kinds_kept_apart() {
        let metrics = GuestMetrics::default();
        for label in ["a", "b", "c", "a"] {
            assert!(observe(&metrics, "p-1", "n", label, Observed::Counter(1)));
        }
        assert!(
            !observe(&metrics, "p-1", "n", "d", Observed::Counter(1)),
            "a fourth"
        );
        assert!(
            !observe(&metrics, "p-1", "n", "a", Observed::Gauge(1.0)),
            "another kind"
        );
        assert!(observe(&metrics, "q", "n", "d", Observed::Histogram(0.5)));
        assert_eq!(lock(&metrics.0).families.len(), 2);
        metrics.keep(|p| p.as_str() == "q");
        assert_eq!(
            lock(&metrics.0).families.keys().collect::<Vec<_>>(),
            ["weir_guest_q_n"]
        );
    }
}
