//! `weir events`: follows the server's events until it is interrupted, and connects again where it was when the connection breaks.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use http_body_util::BodyExt;
use model::ports::HttpBody;
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::{Client, Refusal};
use super::table::plain;

/// The first wait before connecting again; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Longest line of a stream. A payload is smaller by far.
const MAX_LINE: usize = 64 * 1024 * 1024;

/// Prints events as they come; the first connection has to work.
pub(super) async fn follow(
    client: &Client,
    topics: &[String],
    since: Option<u64>,
) -> anyhow::Result<()> {
    let topics: Vec<_> = topics.iter().map(|t| ("topic", t.as_str())).collect();
    let url = client.url(&["events"], &topics);
    let mut seen = since.map(|id| id.to_string());
    let mut wait = FIRST_WAIT;
    let mut begun = false;
    loop {
        let headers: Vec<_> = seen
            .iter()
            .map(|id| ("last-event-id", id.clone()))
            .collect();
        match client.send("GET", url.clone(), &headers).await {
            Ok(answer) => {
                (begun, wait) = (true, FIRST_WAIT);
                if let Goes::Nowhere = pass_on(answer.into_body(), client.json, &mut seen).await? {
                    return Ok(());
                }
                crate::complain("weir: the connection is lost, connecting again");
            }
            Err(error) if !begun || is_final(&error) => return Err(error),
            Err(_) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Would it be refused again?
fn is_final(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref::<Refusal>();
    refusal.is_some_and(|r| r.status < 500)
}

/// Why no more is passed on.
enum Goes {
    /// The stream broke off or ended.
    Broken,
    /// Nobody reads what is printed.
    Nowhere,
}

/// Prints the events of one connection; `seen` becomes the id of the last.
async fn pass_on(
    mut body: HttpBody,
    json: bool,
    seen: &mut Option<String>,
) -> anyhow::Result<Goes> {
    let mut lines = Lines::default();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        for event in lines.take(&bytes)? {
            if let Some(line) = event.written(json) {
                let mut out = std::io::stdout().lock();
                if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                    return Ok(Goes::Nowhere);
                }
            }
            if event.id.is_some() {
                *seen = event.id;
            }
        }
    }
    Ok(Goes::Broken)
}

/// One event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    id: Option<String>,
    pub(super) name: String,
    pub(super) data: String,
}

/// What has come of the events that are not yet complete.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    event: Received,
}

impl Lines {
    /// The events that are complete with these bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Received>> {
        let mut complete = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.rest.extend_from_slice(piece);
            if self.rest.len() > MAX_LINE {
                bail!("the server sent a line of more than {MAX_LINE} bytes");
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                complete.extend(self.line(String::from_utf8_lossy(&line).trim_end()));
            }
        }
        Ok(complete)
    }

    /// A whole line: an empty one ends an event.
    fn line(&mut self, line: &str) -> Option<Received> {
        if line.is_empty() {
            return Some(std::mem::take(&mut self.event));
        }
        let (field, value) = line.split_once(": ").unwrap_or((line, ""));
        match field {
            "id" => self.event.id = Some(value.into()),
            "event" => self.event.name = value.into(),
            "data" => self.event.data.push_str(value),
            _ => {}
        }
        None
    }
}

/// The data of an event.
#[derive(serde::Deserialize)]
struct Data<'a> {
    origin: String,
    time_ms: u64,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Received {
    /// The line to print; none for what is no event, as a sign of life.
    fn written(&self, json: bool) -> Option<String> {
        if self.data.is_empty() {
            return None;
        }
        let is_gap = self.name == "weir.gap";
        if json && is_gap {
            return Some(format!(r#"{{"topic":"weir.gap","payload":{}}}"#, self.data));
        }
        if json {
            return Some(self.data.clone());
        }
        if is_gap {
            let data: Value = serde_json::from_str(&self.data).unwrap_or_default();
            let many = data.get("missed").and_then(Value::as_u64);
            let many = many.map_or_else(|| "some".to_owned(), |n| n.to_string());
            return Some(format!("-- {many} events were missed --"));
        }
        let topic = plain(&self.name);
        Some(match serde_json::from_str::<Data<'_>>(&self.data) {
            Ok(data) => format!(
                "{}  {topic}  {}  {}",
                time_of_day(data.time_ms),
                plain(&data.origin),
                plain(data.payload.get())
            ),
            Err(_) => format!("{topic}  {}", plain(&self.data)),
        })
    }
}

/// The time of day, UTC, with milliseconds.
fn time_of_day(ms: u64) -> String {
    let s = ms / 1_000;
    let (hours, minutes, seconds) = (s / 3_600 % 24, s / 60 % 60, s % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "id: 5\n: listening\n\nid: 6\nevent: a.b\ndata: {\"id\":6,\"topic\":\"a.b\",\"origin\":\"p\",\"time_ms\":1700000000123,\"payload\":{\"x\":1.50}}\n\n: still here\n\nid: 9\nevent: weir.gap\ndata: {\"missed\":3}\n\n";

    #[test]
    fn events_are_read_wherever_the_bytes_are_cut() {
        for size in [1, 7, STREAM.len()] {
            let mut lines = Lines::default();
            let mut told = Vec::new();
            let mut seen = None;
            for bytes in STREAM.as_bytes().chunks(size) {
                for event in lines.take(bytes).unwrap() {
                    told.extend(event.written(false));
                    seen = event.id.or(seen);
                }
            }
            assert_eq!(
                told,
                [
                    "22:13:20.123Z  a.b  p  {\"x\":1.50}",
                    "-- 3 events were missed --"
                ]
            );
            assert_eq!(seen.as_deref(), Some("9"));
        }
    }

    #[test]
    fn machines_get_the_data_as_it_came() {
        let event = Received {
            id: None,
            name: "a".into(),
            data: r#"{"payload":1E5}"#.into(),
        };
        assert_eq!(event.written(true).as_deref(), Some(r#"{"payload":1E5}"#));
        let gap = Received {
            name: "weir.gap".into(),
            data: r#"{"missed":null}"#.into(),
            ..Received::default()
        };
        let line = r#"{"topic":"weir.gap","payload":{"missed":null}}"#;
        assert_eq!(gap.written(true).as_deref(), Some(line));
        assert_eq!(gap.written(false).unwrap(), "-- some events were missed --");
        assert_eq!(Received::default().written(false), None);
    }
}
