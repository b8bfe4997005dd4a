//! Which headers pass. Those that steer a connection belong to the host; all others are the sender's, within caps.

use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName};
use model::ports::EgressError;

/// Most header lines of a request.
const MAX_LINES: usize = 100;
/// Bytes of all names and values of a request's headers together.
const MAX_BYTES: usize = 64 * 1024;

/// Headers about one connection, not about the message; and `proxy-*`.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// The length the sender declares; it may not contradict itself.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, EgressError> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else {
        return Ok(None);
    };
    let digits = first
        .to_str()
        .ok()
        .filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
    match digits.and_then(|t| t.parse().ok()) {
        Some(length) if lines.next().is_none() => Ok(Some(length)),
        Some(_) | None => Err(EgressError::BadRequest(
            "content-length has to be one whole number".into(),
        )),
    }
}

/// A request's headers without what is the host's: `host`, `content-length` (set anew from the checked body), `expect` and all
/// that is about the connection.
pub(super) fn clean_request(mut headers: HeaderMap) -> Result<HeaderMap, EgressError> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if headers.len() > MAX_LINES || bytes > MAX_BYTES {
        return Err(EgressError::BadRequest(format!(
            "it has {} headers of {bytes} bytes; at most {MAX_LINES} of {MAX_BYTES} bytes are allowed",
            headers.len()
        )));
    }
    drop_hop_by_hop(&mut headers);
    for name in [HOST, CONTENT_LENGTH, EXPECT] {
        headers.remove(name);
    }
    Ok(headers)
}

/// Takes out of a response's headers what is about the connection.
pub(super) fn clean_response(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let mut unwanted: Vec<HeaderName> = headers
        .keys()
        .filter(|n| HOP_BY_HOP.contains(&n.as_str()) || n.as_str().starts_with("proxy-"))
        .cloned()
        .collect();
    for line in headers.get_all(CONNECTION) {
        let named = line.to_str().unwrap_or_default().split(',');
        unwanted.extend(named.filter_map(|n| n.trim().parse::<HeaderName>().ok()));
    }
    for name in unwanted {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.parse().unwrap()))
            .fold(HeaderMap::new(), |mut all, (n, v)| {
                all.append(n, v);
                all
            })
    }

    #[test]
    fn what_steers_the_connection_is_dropped() {
        let sent = map(&[
            ("host", "evil"),
            ("connection", "close, x-mine"),
            ("keep-alive", "1"),
            ("proxy-authorization", "x"),
            ("proxy-connection", "x"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("expect", "100-continue"),
            ("content-length", "3"),
            ("x-mine", "hop"),
            ("x-other", "stays"),
            ("authorization", "Bearer x"),
        ]);
        let clean = clean_request(sent).unwrap();
        let names: Vec<_> = clean.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-other", "authorization"]);
    }

    #[test]
    fn a_length_is_one_number() {
        let check = |lines: &[&str], want: Result<Option<u64>, ()>| {
            let lines: Vec<_> = lines.iter().map(|v| ("content-length", *v)).collect();
            assert_eq!(
                content_length(&map(&lines)).map_err(|_| ()),
                want,
                "{lines:?}"
            );
        };
        check(&[], Ok(None));
        check(&["12"], Ok(Some(12)));
        for bad in [
            &["1", "1"][..],
            &["1, 1"],
            &["+1"],
            &["-1"],
            &[""],
            &["0x1"],
        ] {
            check(bad, Err(()));
        }
    }

    #[test]
    fn too_many_or_too_long_headers_are_refused() {
        let many: Vec<_> = (0..101).map(|n| (format!("x-{n}"), "v")).collect();
        let many: Vec<_> = many.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        assert!(clean_request(map(&many)).is_err());
        let long = "v".repeat(65 * 1024);
        assert!(clean_request(map(&[("x", &long)])).is_err());
    }
}
