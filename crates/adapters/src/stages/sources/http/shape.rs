//! What an answer is: its format by content type and URL, what GraphQL makes of a document. Records are found by the decoders.

use encoding_rs::{Encoding, UTF_8};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use super::Format;
use super::plan::Shape;
use crate::stages::format::TextFormat;
use crate::stages::web::body::Coding;
use crate::stages::web::document::{Document, Path, inner, push_line};

/// What an answer says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) format: TextFormat,
    /// CSV with tabs.
    pub(super) tabs: bool,
    pub(super) encoding: &'static Encoding,
    /// It is a compressed file.
    pub(super) packed: Option<Coding>,
}

/// What kind of answer this is; none if it is of no kind that has records.
pub(super) fn found(asked: Format, headers: &HeaderMap, url: &Url) -> Option<Found> {
    let line = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let line = line.unwrap_or_default().to_ascii_lowercase();
    let (essence, parameters) = line.split_once(';').unwrap_or((&line, ""));
    let (essence, path) = (essence.trim(), url.path().to_ascii_lowercase());
    let (path, packed) = match (path.strip_suffix(".gz"), path.strip_suffix(".zst")) {
        (Some(inner), _) => (inner, Some(Coding::Gzip)),
        (None, Some(inner)) => (inner, Some(Coding::Zstd)),
        (None, None) => (path.as_str(), None),
    };
    let packed = match essence {
        "application/gzip" | "application/x-gzip" => Some(Coding::Gzip),
        "application/zstd" => Some(Coding::Zstd),
        _ => packed,
    };
    let is_html = matches!(essence, "text/html" | "application/xhtml+xml");
    let format = match asked {
        Format::Json => TextFormat::Json,
        Format::Ndjson | Format::Csv if is_html => return None,
        Format::Ndjson => TextFormat::Ndjson,
        Format::Csv => TextFormat::Csv,
        Format::Auto => by_type(essence).or_else(|| by_name(essence, path))?,
    };
    let charset = parameters
        .split(';')
        .find_map(|p| p.trim().strip_prefix("charset="));
    let charset = charset.and_then(|c| Encoding::for_label(c.trim_matches('"').as_bytes()));
    Some(Found {
        format,
        tabs: essence == "text/tab-separated-values" || path.ends_with(".tsv"),
        encoding: charset.unwrap_or(UTF_8),
        packed,
    })
}

fn by_type(essence: &str) -> Option<TextFormat> {
    match essence {
        "application/json" | "text/json" => Some(TextFormat::Json),
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/x-jsonl"
        | "application/jsonlines"
        | "application/x-jsonlines"
        | "text/x-ndjson" => Some(TextFormat::Ndjson),
        "text/csv" | "application/csv" | "text/tab-separated-values" => Some(TextFormat::Csv),
        other if other.ends_with("+json") => Some(TextFormat::Json),
        _ => None,
    }
}

/// Files come with types that say nothing: then their names count.
fn by_name(essence: &str, path: &str) -> Option<TextFormat> {
    let says_nothing = matches!(
        essence,
        "" | "text/plain"
            | "application/octet-stream"
            | "binary/octet-stream"
            | "application/gzip"
            | "application/x-gzip"
            | "application/zstd"
    );
    let (_, ending) = path.rsplit_once('.').filter(|_| says_nothing)?;
    match ending {
        "json" | "geojson" => Some(TextFormat::Json),
        "ndjson" | "jsonl" => Some(TextFormat::Ndjson),
        "csv" | "tsv" => Some(TextFormat::Csv),
        _ => None,
    }
}

/// What GraphQL says went wrong; none if data may be used.
pub(super) fn graphql_errors(document: Document<'_>, shape: Shape) -> Option<String> {
    let Shape::GraphQl { partial, .. } = shape else {
        return None;
    };
    let at = |path: &str| document.value(&Path::read(path).ok()?);
    let Some(Value::Array(errors)) = at("errors").filter(|e| e != &Value::Array(vec![])) else {
        let has_data = Path::read("data").is_ok_and(|p| document.at(&p).is_some());
        return (!has_data).then(|| "the answer has neither `data` nor `errors`".into());
    };
    let has_data = Path::read("data").is_ok_and(|p| document.at(&p).is_some());
    if partial && has_data {
        return None;
    }
    let mut said: Vec<String> = errors.iter().take(3).map(graphql_error).collect();
    if let Some(more) = errors.len().checked_sub(3).filter(|n| *n > 0) {
        said.push(format!("and {more} more"));
    }
    Some(format!("GraphQL errors: {}", said.join("; ")))
}

fn graphql_error(error: &Value) -> String {
    let message = error.get("message").and_then(Value::as_str);
    let message: String = message
        .unwrap_or("without a message")
        .chars()
        .take(200)
        .collect();
    let path = error.get("path").and_then(Value::as_array);
    let keys = path.into_iter().flatten().map(|key| match key {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let path = keys.collect::<Vec<_>>().join(".");
    if path.is_empty() {
        message
    } else {
        format!("{message} (at {path})")
    }
}

/// The nodes of a connection, one a line.
pub(super) fn nodes(document: Document<'_>, connection: &Path) -> Result<Vec<u8>, String> {
    let mut lines = Vec::new();
    if document.at(connection).is_none() {
        return Err(format!("the answer has no connection at `{connection}`"));
    }
    let more = connection.then(&["pageInfo", "hasNextPage"]);
    if !matches!(document.value(&more), Some(Value::Bool(_))) {
        return Err(format!(
            "the connection at `{connection}` does not say whether there is a next page: ask for `pageInfo {{ hasNextPage endCursor }}`"
        ));
    }
    if let Some(edges) = document.elements(Some(&connection.then(&["edges"]))) {
        let nodes = edges.into_iter().filter_map(|edge| inner(edge, "node"));
        push_all(nodes, &mut lines);
    } else if let Some(nodes) = document.elements(Some(&connection.then(&["nodes"]))) {
        push_all(nodes.into_iter(), &mut lines);
    } else {
        return Err(format!(
            "the connection at `{connection}` has neither `edges` nor `nodes`: ask for `edges {{ node {{ .. }} }}`"
        ));
    }
    Ok(lines)
}

/// A node that is `null` holds nothing.
fn push_all<'a>(nodes: impl Iterator<Item = &'a RawValue>, lines: &mut Vec<u8>) {
    for node in nodes.filter(|n| n.get() != "null") {
        push_line(node, lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_type_and_then_by_name() {
        let check =
            |asked, content_type: &str, url: &str, want: Option<(TextFormat, Option<Coding>)>| {
                let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
                let url = format!("http://h{url}").parse().unwrap();
                let found = found(asked, &headers, &url).map(|f| (f.format, f.packed));
                assert_eq!(found, want, "{content_type} {url}");
            };
        let auto = Format::Auto;
        let (json, ndjson, csv) = (TextFormat::Json, TextFormat::Ndjson, TextFormat::Csv);
        check(auto, "application/json", "/", Some((json, None)));
        check(
            auto,
            "Application/vnd.api+JSON; charset=utf-8",
            "/",
            Some((json, None)),
        );
        check(auto, "application/x-ndjson", "/", Some((ndjson, None)));
        check(auto, "text/csv;header=present", "/", Some((csv, None)));
        check(auto, "text/plain", "/a.csv", Some((csv, None)));
        check(
            auto,
            "application/gzip",
            "/a.jsonl.gz",
            Some((ndjson, Some(Coding::Gzip))),
        );
        check(
            auto,
            "binary/octet-stream",
            "/a.CSV.zst",
            Some((csv, Some(Coding::Zstd))),
        );
        check(auto, "text/plain", "/a", None);
        check(auto, "text/html", "/a.json", None);
        check(auto, "application/xml", "/", None);
        check(Format::Csv, "application/xml", "/", Some((csv, None)));
        check(Format::Csv, "text/html", "/", None);
        check(Format::Json, "text/html", "/", Some((json, None)));
    }

    #[test]
    fn charsets_are_taken_from_the_type() {
        let check = |content_type: &str, want: &str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
            let url = "http://h/".parse().unwrap();
            let found = found(Format::Csv, &headers, &url).unwrap();
            assert_eq!(found.encoding.name(), want, "{content_type}");
        };
        check("text/csv", "UTF-8");
        check("text/csv; charset=ISO-8859-1", "windows-1252");
        check("text/csv; header=present; charset=\"utf-16le\"", "UTF-16LE");
        check("text/csv; charset=nonsense", "UTF-8");
    }
}
