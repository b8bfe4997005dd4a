//! Credentials of a stage: where they go in a request, and that they stand in nothing else. A secret is only ever a value of a request.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use model::error::Fault;
use model::redact::Secrets;
use model::stage::Misfit;
use schemars::JsonSchema;
use serde::Deserialize;
use url::{Url, form_urlencoded};

/// Who the stage says it is. Write secrets as references: `${env:NAME}` or `${file:path}`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::stages) enum Auth {
    /// `Authorization: Bearer ..`.
    Bearer {
        /// The token.
        token: String,
    },
    /// A key in a header or in the query of the URL: give one of `header` and `query`.
    ApiKey {
        /// The header that holds it: `X-Api-Key`.
        header: Option<String>,
        /// The parameter of the query that holds it.
        query: Option<String>,
        /// The key.
        value: String,
    },
    /// `Authorization: Basic ..`.
    Basic {
        /// The user's name; no colon.
        user: String,
        /// The password.
        #[serde(default)]
        password: String,
    },
}

impl Auth {
    pub(in crate::stages) fn check(&self) -> Vec<Misfit> {
        let wrong = match self {
            Self::ApiKey { header, query, .. } => match (header, query) {
                (Some(name), None) => header_name(name).err(),
                (None, Some(_)) => None,
                (Some(_), Some(_)) => Some(
                    "both `header` and `query` are given; give the one that holds the key".into(),
                ),
                (None, None) => {
                    Some("give `header` or `query`: the place that holds the key".into())
                }
            },
            Self::Basic { user, .. } if user.contains(':') => {
                Some("a user's name cannot hold a colon".into())
            }
            Self::Bearer { .. } | Self::Basic { .. } => None,
        };
        let misfit = wrong.map(|m: String| Misfit::new("/auth", m));
        misfit.into_iter().collect()
    }
}

/// What identifies a stage, ready to be put into requests.
pub(super) struct Credentials {
    header: Option<(HeaderName, HeaderValue)>,
    query: Option<(String, String)>,
    secrets: Arc<Secrets>,
}

impl Credentials {
    /// Of a stage's `auth` and the headers it was given. What of them is secret is added to the stage's secrets.
    pub(super) fn new(
        auth: Option<&Auth>,
        headers: &HeaderMap,
        secrets: Arc<Secrets>,
    ) -> Result<Self, Fault> {
        let (mut header, mut query) = (None, None);
        match auth {
            None => {}
            Some(Auth::Bearer { token }) => {
                secrets.learn(token);
                header = Some((AUTHORIZATION, secret_value(format!("Bearer {token}"))?));
            }
            Some(Auth::Basic { user, password }) => {
                let both = STANDARD.encode(format!("{user}:{password}"));
                secrets.learn(password);
                secrets.learn(&both);
                header = Some((AUTHORIZATION, secret_value(format!("Basic {both}"))?));
            }
            Some(Auth::ApiKey {
                header: Some(name),
                value,
                ..
            }) => {
                secrets.learn(value);
                let name = header_name(name).map_err(Fault::Invalid)?;
                header = Some((name, secret_value(value.clone())?));
            }
            Some(Auth::ApiKey {
                query: name, value, ..
            }) => {
                secrets.learn(value);
                query = name.clone().map(|name| (name, value.clone()));
            }
        }
        let sensitive = headers.iter().filter(|(n, _)| is_sensitive(n.as_str()));
        for value in sensitive.filter_map(|(_, value)| value.to_str().ok()) {
            secrets.learn(value);
        }
        Ok(Self {
            header,
            query,
            secrets,
        })
    }

    /// Puts them into a request.
    pub(super) fn apply(&self, url: &mut Url, headers: &mut HeaderMap) {
        if let Some((name, value)) = &self.header {
            headers.insert(name.clone(), value.clone());
        }
        if let Some((name, value)) = &self.query {
            set_query(url, name, Some(value));
        }
    }

    /// Takes them out of a URL that a server made of ours.
    pub(super) fn strip(&self, url: &mut Url) {
        if let Some((name, _)) = &self.query {
            set_query(url, name, None);
        }
    }

    /// The path of a URL, with every part left out that is one of the secrets, holds one, or stands in one.
    pub(super) fn path(&self, url: &Url) -> String {
        let parts = url.path().split('/');
        let shown = parts.map(|part| {
            if self.secrets.touch(part) {
                "***"
            } else {
                part
            }
        });
        shown.collect::<Vec<_>>().join("/")
    }

    /// A text of the server's without secrets, should it repeat them.
    pub(super) fn redact(&self, text: &str) -> String {
        self.secrets.redact(text).into_owned()
    }
}

fn secret_value(value: String) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::try_from(value).map_err(|_| {
        Fault::Invalid(
            "the secret of `auth` holds a line end or another character that cannot stand in a header".into(),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Sets a parameter of the query, once and at the end; `None` takes it out. The others stay as they were written.
pub(in crate::stages) fn set_query(url: &mut Url, name: &str, value: Option<&str>) {
    let before = url.query().unwrap_or_default().to_owned();
    let is_it = |pair: &&str| {
        let found = form_urlencoded::parse(pair.as_bytes()).next();
        found.is_some_and(|(n, _)| n == name)
    };
    let pairs = before.split('&').filter(|p| !p.is_empty());
    let mut kept: Vec<String> = pairs.filter(|p| !is_it(p)).map(str::to_owned).collect();
    if let Some(value) = value {
        kept.push(format!("{}={}", encoded(name), encoded(value)));
    }
    let query = kept.join("&");
    url.set_query((!query.is_empty()).then_some(query.as_str()));
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn is_sensitive(header: &str) -> bool {
    let parts = [
        "auth",
        "cookie",
        "key",
        "password",
        "secret",
        "signature",
        "token",
    ];
    parts.iter().any(|p| header.contains(p))
}

/// A header's name, or what is wrong with it.
pub(in crate::stages) fn header_name(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|_| {
        format!("{name:?} is no name of a header: letters, digits and `-` are allowed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_set_once_and_encoded() {
        let check = |url: &str, value: Option<&str>, want: &str| {
            let mut url: Url = url.parse().unwrap();
            set_query(&mut url, "k", value);
            assert_eq!(url.as_str(), want);
        };
        check("http://h/p", Some("v"), "http://h/p?k=v");
        check(
            "http://h/p?a=1&k=x&b=%20",
            Some("v"),
            "http://h/p?a=1&b=%20&k=v",
        );
        check("http://h/p?k=x", None, "http://h/p");
        check(
            "http://h/p?%6b=x&k=y",
            Some("a&b=c d\r\n#"),
            "http://h/p?k=a%26b%3Dc+d%0D%0A%23",
        );
    }
}
