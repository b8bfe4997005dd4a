//! What the stages that speak HTTP share: options, credentials, one request with its retries, bodies, documents of JSON, and delivery. Sockets, addresses and what may be
//! reached are the business of the [`Egress`](model::ports::Egress) port: no stage has a client of its own.

use model::stage::{Misfit, is_open};
use url::Url;

pub(super) mod auth;
pub(super) mod backoff;
pub(super) mod body;
pub(super) mod caller;
pub(super) mod delivery;
pub(super) mod document;
mod keeping;
pub(super) mod options;
pub(super) mod pace;
pub(super) mod sign;

#[cfg(test)]
mod guide;
#[cfg(test)]
pub(super) mod testing;

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
