//! Parameters of the query: read and decoded. What they mean is each route's business.

use percent_encoding::percent_decode_str;

use super::Call;
use crate::rescue::Problem;

/// Every value of a parameter, decoded, in order. What is no UTF-8 has replacement characters in its place.
pub(super) fn all<'a>(call: &'a Call, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let pairs = call.head.uri.query().unwrap_or_default().split('&');
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(move |(key, _)| *key == name)
        .map(|(_, value)| {
            let value = value.replace('+', " ");
            percent_decode_str(&value).decode_utf8_lossy().into_owned()
        })
}

/// The first value of a parameter.
pub(super) fn one(call: &Call, name: &str) -> Option<String> {
    all(call, name).next()
}

/// A parameter that is `true` or `false`; without it `false`.
///
/// # Errors
/// 400 for anything else.
pub(super) fn flag(call: &Call, name: &str) -> Result<bool, Problem> {
    match one(call, name).as_deref() {
        Some("true") => Ok(true),
        None | Some("false") => Ok(false),
        Some(other) => Err(Problem::bad_request(format!(
            "{name}: {other:?} was given; true or false is needed"
        ))),
    }
}

/// How many are asked for with `limit`: so many, if nothing is said.
///
/// # Errors
/// It is no number from 1 to `most`.
pub(super) fn limit(call: &Call, unless_said: usize, most: usize) -> Result<usize, Problem> {
    let Some(text) = one(call, "limit") else {
        return Ok(unless_said);
    };
    let limit = text.parse().ok().filter(|n| (1..=most).contains(n));
    limit.ok_or_else(|| {
        Problem::bad_request(format!("limit: {text:?} was given; 1 to {most} is needed"))
    })
}
