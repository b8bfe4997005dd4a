//! Who may call: one bearer key, checked in constant time. The words and the codes are the reference's.

use http::{HeaderMap, StatusCode, header};

use crate::config::ApiKey;
use crate::rescue::Problem;

/// Checks `Authorization: Bearer <key>`; the scheme's case does not matter.
///
/// # Errors
/// 403 without credentials or with another scheme, 401 with a wrong key.
pub(crate) fn check(headers: &HeaderMap, key: &ApiKey) -> Result<(), Problem> {
    let given = headers
        .get(header::AUTHORIZATION)
        .map_or(Some(""), |v| v.to_str().ok());
    // What is no text cannot be the key, but it is a credential.
    let Some(given) = given else {
        return Err(wrong());
    };
    let (scheme, token) = given.split_once(' ').unwrap_or((given, ""));
    if scheme.is_empty() || token.is_empty() {
        return Err(forbidden("Not authenticated"));
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(forbidden("Invalid authentication credentials"));
    }
    if key.is(token.trim()) {
        Ok(())
    } else {
        Err(wrong())
    }
}

fn forbidden(message: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "not_authenticated", message)
}

fn wrong() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "wrong_key", "Invalid API key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_reference_s_words_and_codes() {
        let key = ApiKey::new("k").unwrap();
        let check = |value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(v) = value {
                headers.insert(header::AUTHORIZATION, HeaderValue::from_static(v));
            }
            check(&headers, &key).map_err(|p| (p.status().as_u16(), p.message().to_owned()))
        };
        let no = |code, text: &str| Err((code, text.to_owned()));
        assert_eq!(check(Some("Bearer k")), Ok(()));
        assert_eq!(check(Some("bEARER k")), Ok(()));
        assert_eq!(check(None), no(403, "Not authenticated"));
        assert_eq!(check(Some("Bearer ")), no(403, "Not authenticated"));
        assert_eq!(check(Some("Bearer")), no(403, "Not authenticated"));
        assert_eq!(
            check(Some("Basic k")),
            no(403, "Invalid authentication credentials")
        );
        assert_eq!(check(Some("Bearer kk")), no(401, "Invalid API key"));
    }
}
