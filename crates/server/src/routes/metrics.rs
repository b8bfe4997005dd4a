//! Metrics in the two text formats scrapers read: OpenMetrics for those that ask for it, else the older Prometheus format.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};

use super::Call;

const OPEN_METRICS: &str = "application/openmetrics-text";

/// `GET /metrics`.
pub(crate) fn metrics(call: &Call) -> Response {
    let text = call.app.engine.metrics();
    let (kind, text) = if wants_open_metrics(&call.head.headers) {
        (
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            text,
        )
    } else {
        (
            "text/plain; version=0.0.4; charset=utf-8",
            prometheus(&text),
        )
    };
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Is OpenMetrics named in `Accept`? Prometheus names both formats and prefers it.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|kind| kind.eq_ignore_ascii_case(OPEN_METRICS));
            let weight = parts.find_map(|p| p.strip_prefix("q="));
            named && weight.and_then(|q| q.parse().ok()) != Some(0.0)
        })
}

/// OpenMetrics as Prometheus text. They differ in two things here: a counter is called as its samples are, with `_total`, and there is
/// no end mark.
fn prometheus(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + 512);
    // The help comes before the type, which decides how both are called.
    let mut help = None;
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
            continue;
        }
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let end = if kind == "counter" { "_total" } else { "" };
        if let Some((_, words)) = help.take() {
            text.push_str(&format!("# HELP {name}{end} {words}\n"));
        }
        text.push_str(&format!("# TYPE {name}{end} {kind}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_as_their_samples() {
        let open = "# HELP a_calls Calls, all.\n# TYPE a_calls counter\n# UNIT a_calls calls\na_calls_total{x=\"y\"} 1\n# HELP b B.\n# TYPE b gauge\nb 2\n# EOF\n";
        assert_eq!(
            prometheus(open),
            "# HELP a_calls_total Calls, all.\n# TYPE a_calls_total counter\na_calls_total{x=\"y\"} 1\n# HELP b B.\n# TYPE b gauge\nb 2\n"
        );
    }
}
