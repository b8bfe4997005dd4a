//! The id of a request: the client's own if it is a sane one, else a new UUID. It is on every log line and in every answer.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it, both ways.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken from a client, in bytes.
const MAX: usize = 128;

/// The request's id.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(&HEADER) {
        Some(value) if is_sane(value.as_bytes()) => value.clone(),
        Some(_) | None => fresh(),
    }
}

fn is_sane(id: &[u8]) -> bool {
    (1..=MAX).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
}

fn fresh() -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let id = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_ids_are_taken_over() {
        let check = |given: &str, taken: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(&HEADER, HeaderValue::from_str(given).unwrap());
            assert_eq!(of(&headers) == given, taken, "{given:?}");
        };
        check("abc-1.2:3_4", true);
        check("has space", false);
        check("", false);
        check("a\"quote", false);
        check(&"a".repeat(129), false);
        assert_eq!(of(&HeaderMap::new()).len(), 36);
    }
}
