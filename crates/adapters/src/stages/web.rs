//! What the stages that speak HTTP share: options, credentials, one request with its retries, bodies, documents of JSON, and delivery. Sockets, addresses and what may be
//! reached are the business of the [`Egress`](model::ports::Egress) port: no stage has a client of its own.

use model::error::Fault;
use model::stage::{Misfit, is_open};
use serde::de::DeserializeOwned;
use url::Url;

pub(super) mod auth;
pub(super) mod backoff;
pub(super) mod body;
pub(super) mod caller;
pub(super) mod delivery;
pub(super) mod document;
pub(super) mod options;
pub(super) mod pace;
pub(super) mod sign;

#[cfg(test)]
mod guide;
#[cfg(test)]
pub(super) mod testing;

/// The options of a stage that is opened. They followed the schema before their references were filled in, and hold secrets now: what does not fit is not shown.
pub(super) fn read<T: DeserializeOwned>(config: &str) -> Result<T, Fault> {
    serde_json::from_str(config).map_err(|e| {
        Fault::Invalid(format!(
            "its options do not follow their schema (line {}, column {} of them as JSON)",
            e.line(),
            e.column()
        ))
    })
}

/// The URL that a stage is given.
pub(super) fn url(text: &str) -> Result<Url, String> {
    const WANTED: &str = "an absolute URL that begins with http:// or https://";
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return Err(format!(
            "`url` holds spaces, line ends or other control characters; it has to be {WANTED}"
        ));
    }
    let url = Url::parse(text).map_err(|e| format!("`url` is not {WANTED}: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "`url` begins with {}://; it has to be {WANTED}",
            url.scheme()
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`url` holds a user name or a password; write `auth: {type: basic, user: .., password: ..}` instead".into());
    }
    Ok(url)
}

/// What is wrong with the option `url` as it is written.
pub(super) fn check_url(text: &str) -> Vec<Misfit> {
    let wrong = if is_open(text) { None } else { url(text).err() };
    wrong.map(|m| Misfit::new("/url", m)).into_iter().collect()
}

/// What is wrong with the names of headers.
pub(super) fn check_headers<'a>(names: impl Iterator<Item = &'a String>) -> Vec<Misfit> {
    let wrong = names.filter_map(|n| auth::header_name(n).err());
    wrong.map(|m| Misfit::new("/headers", m)).collect()
}

/// A stage is not opened with options that do not fit: what was a template may be anything now.
pub(super) fn refuse(wrong: &[Misfit]) -> Result<(), Fault> {
    match wrong.first() {
        Some(first) => Err(Fault::Invalid(format!(
            "{}: {}",
            first.pointer, first.message
        ))),
        None => Ok(()),
    }
}
