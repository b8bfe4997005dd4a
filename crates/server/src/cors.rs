//! Which web pages may read the answers: the headers browsers ask for. Strict mode allows all, with credentials, as the reference does;
//! otherwise only configured origins may, and no cookies are involved.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, COOKIE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::config::Cors;

const ANY: HeaderValue = HeaderValue::from_static("*");
const METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
/// Seconds a browser may keep the answer to a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The page that asks, as far as its answer depends on it.
#[derive(Debug)]
pub(crate) struct Page {
    /// What goes into `access-control-allow-origin`.
    allow: HeaderValue,
    credentials: bool,
    vary: bool,
}

impl Page {
    /// Reads a request's headers: none if no page asks, or none that may.
    pub(crate) fn of(headers: &HeaderMap, cors: &Cors, strict: bool) -> Option<Self> {
        let origin = headers.get(ORIGIN)?;
        if strict {
            let echo = headers.contains_key(COOKIE);
            return Some(Self {
                allow: if echo { origin.clone() } else { ANY },
                credentials: true,
                vary: echo,
            });
        }
        let any = cors.allow.iter().any(|a| a == "*");
        let named = cors.allow.iter().any(|a| a.as_bytes() == origin.as_bytes());
        (any || named).then(|| Self {
            allow: if any { ANY } else { origin.clone() },
            credentials: false,
            vary: !any,
        })
    }

    /// Adds what lets the page read the answer.
    pub(crate) fn mark(self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.allow);
        if self.credentials {
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        if self.vary {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// The answer to a preflight; none if the request is none, or the page may not ask.
pub(crate) fn preflight(
    method: &Method,
    headers: &HeaderMap,
    cors: &Cors,
    strict: bool,
) -> Option<Response> {
    if method != Method::OPTIONS {
        return None;
    }
    let asked = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    let mut page = Page::of(headers, cors, strict)?;
    if strict {
        page.allow = headers.get(ORIGIN)?.clone();
        page.vary = true;
    }
    let known = asked
        .to_str()
        .is_ok_and(|m| METHODS.split(", ").any(|known| known == m));
    let (status, text) = if known {
        (StatusCode::OK, "OK")
    } else {
        (StatusCode::BAD_REQUEST, "Disallowed CORS method")
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let out = response.headers_mut();
    page.mark(out);
    out.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(METHODS),
    );
    out.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(wanted) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        out.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    out.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| {
                let name = http::HeaderName::from_static(k);
                (name, HeaderValue::from_static(v))
            })
            .collect()
    }

    fn allowed(cors: &[&str], strict: bool, given: &HeaderMap) -> Option<String> {
        let cors = Cors {
            allow: cors.iter().map(|a| (*a).into()).collect(),
        };
        let page = Page::of(given, &cors, strict)?;
        Some(page.allow.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_configured_pages_may_ask() {
        let ui = headers(&[("origin", "http://ui.example")]);
        assert_eq!(allowed(&[], false, &ui), None);
        assert_eq!(allowed(&["http://other.example"], false, &ui), None);
        assert_eq!(
            allowed(&["http://ui.example"], false, &ui).as_deref(),
            Some("http://ui.example")
        );
        assert_eq!(allowed(&["*"], false, &ui).as_deref(), Some("*"));
        assert_eq!(allowed(&[], false, &HeaderMap::new()), None);
    }

    #[test]
    fn strict_allows_all_and_echoes_with_a_cookie() {
        let plain = headers(&[("origin", "http://ui.example")]);
        assert_eq!(allowed(&[], true, &plain).as_deref(), Some("*"));
        let cookie = headers(&[("origin", "http://ui.example"), ("cookie", "a=b")]);
        assert_eq!(
            allowed(&[], true, &cookie).as_deref(),
            Some("http://ui.example")
        );
    }

    #[test]
    fn a_preflight_needs_its_header() {
        let ui = headers(&[("origin", "http://ui.example")]);
        assert!(preflight(&Method::OPTIONS, &ui, &Cors::default(), true).is_none());
        let asked = headers(&[
            ("origin", "http://ui.example"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization"),
        ]);
        assert!(preflight(&Method::GET, &asked, &Cors::default(), true).is_none());
        assert!(preflight(&Method::OPTIONS, &asked, &Cors::default(), false).is_none());
        let answer = preflight(&Method::OPTIONS, &asked, &Cors::default(), true).unwrap();
        assert_eq!(
            answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN],
            "http://ui.example"
        );
        assert_eq!(
            answer.headers()[ACCESS_CONTROL_ALLOW_HEADERS],
            "authorization"
        );
    }
}
