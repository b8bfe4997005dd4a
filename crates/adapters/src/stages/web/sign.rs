//! Signatures of requests by HMAC-SHA256 with a shared secret. What is signed is the body as it goes out, byte for byte.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use model::error::Fault;
use model::text::hex;
use sha2::Sha256;

use super::auth::header_name;

/// What the secrets of Standard Webhooks begin with.
const PREFIX: &str = "whsec_";

/// Signs requests.
pub(in crate::stages) enum Signer {
    /// Lower-case hexadecimal digits of the HMAC of the body, in one header.
    Hex {
        header: HeaderName,
        prefix: String,
        key: Vec<u8>,
    },
    /// Standard Webhooks, version 1: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Standard { keys: Vec<Vec<u8>> },
}

impl Signer {
    /// Hexadecimal digits after `prefix` in `header`.
    pub(in crate::stages) fn hex(header: &str, prefix: &str, secret: &str) -> Result<Self, Fault> {
        if secret.is_empty() {
            return Err(Fault::Invalid("`secret` is empty".into()));
        }
        if HeaderValue::from_str(prefix).is_err() {
            return Err(Fault::Invalid(
                "`prefix` holds a character that cannot stand in a header".into(),
            ));
        }
        Ok(Self::Hex {
            header: header_name(header).map_err(Fault::Invalid)?,
            prefix: prefix.into(),
            key: secret.into(),
        })
    }

    /// A signature for each secret, so that a receiver may change its own.
    pub(in crate::stages) fn standard(secrets: &[&str]) -> Result<Self, Fault> {
        let key = |secret: &&str| {
            let text = secret.strip_prefix(PREFIX).unwrap_or(secret);
            let key = STANDARD.decode(text).ok().filter(|k| !k.is_empty());
            key.ok_or_else(|| {
                Fault::Invalid(format!(
                    "a secret of `scheme: standard` has to be base64, with or without `{PREFIX}` before it; this one is not (its value is not shown)"
                ))
            })
        };
        let keys = secrets.iter().map(key).collect::<Result<_, _>>()?;
        Ok(Self::Standard { keys })
    }

    /// Adds the headers for a body. `id` names the message: the same when it is sent again.
    pub(super) fn sign(&self, id: &str, body: &[u8], now: SystemTime, headers: &mut HeaderMap) {
        match self {
            Self::Hex {
                header,
                prefix,
                key,
            } => {
                let digits = hex(&mac(key, &[body]));
                put(headers, header.clone(), format!("{prefix}{digits}"));
            }
            Self::Standard { keys } => {
                let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                let time = since.as_secs().to_string();
                let start = format!("{id}.{time}.");
                let one = |key: &Vec<u8>| {
                    let mac = mac(key, &[start.as_bytes(), body]);
                    format!("v1,{}", STANDARD.encode(mac))
                };
                let all: Vec<String> = keys.iter().map(one).collect();
                put(headers, HeaderName::from_static("webhook-id"), id.into());
                put(headers, HeaderName::from_static("webhook-timestamp"), time);
                let signature = HeaderName::from_static("webhook-signature");
                put(headers, signature, all.join(" "));
            }
        }
    }
}

/// Ids, digits and base64 are all plain text.
fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // A key may have any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn signed(signer: &Signer, id: &str, body: &str, seconds: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let now = UNIX_EPOCH + Duration::from_secs(seconds);
        signer.sign(id, body.as_bytes(), now, &mut headers);
        headers
    }

    /// The vector that the libraries of Standard Webhooks are tested with.
    #[test]
    fn standard_webhooks_are_signed_as_their_libraries_do() {
        let secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        for secret in [secret.to_owned(), format!("whsec_{secret}")] {
            let signer = Signer::standard(&[&secret]).unwrap();
            let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
            let headers = signed(&signer, id, r#"{"test": 2432232314}"#, 1_614_265_330);
            assert_eq!(headers["webhook-id"], id);
            assert_eq!(headers["webhook-timestamp"], "1614265330");
            let want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
            assert_eq!(headers["webhook-signature"], want);
        }
    }

    #[test]
    fn two_secrets_give_two_signatures() {
        let signer = Signer::standard(&["AAAA", "whsec_BBBB"]).unwrap();
        let headers = signed(&signer, "m", "{}", 1);
        let both = headers["webhook-signature"].to_str().unwrap().to_owned();
        let first = signed(&Signer::standard(&["AAAA"]).unwrap(), "m", "{}", 1);
        let parts: Vec<&str> = both.split(' ').collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0], first["webhook-signature"]);
        assert!(parts[1].starts_with("v1,") && parts[1] != parts[0]);
    }

    /// RFC 4231, test case 2.
    #[test]
    fn bodies_are_signed_in_hex() {
        let signer = Signer::hex("X-Webhook-Signature", "sha256=", "Jefe").unwrap();
        let headers = signed(&signer, "m", "what do ya want for nothing?", 1);
        assert_eq!(
            headers["x-webhook-signature"],
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn bad_secrets_are_not_shown() {
        for (error, secret) in [
            (
                Signer::standard(&["whsec_not base64!"]).err(),
                "not base64!",
            ),
            (Signer::standard(&["whsec_"]).err(), "whsec_not"),
            (Signer::hex("h", "", "").err(), "none"),
            (Signer::hex("h h", "", "s3cret").err(), "s3cret"),
        ] {
            let said = error.unwrap().to_string();
            assert!(!said.contains(secret), "{said}");
        }
    }
}
