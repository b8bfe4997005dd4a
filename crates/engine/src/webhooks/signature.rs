//! Signatures by HMAC-SHA256 with a shared secret, over a body as it came, byte for byte. They are compared in constant time, with all secrets, whichever fits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use model::pipeline::Scheme;
use sha2::Sha256;

/// How far the time of a Standard Webhooks message may be from ours.
pub(super) const TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// What the secrets of Standard Webhooks begin with.
const PREFIX: &str = "whsec_";
/// Most bytes of a message's id.
const MAX_ID: usize = 256;
/// Most bytes of `webhook-signature`: a message has a signature for each of its sender's secrets.
const MAX_SIGNATURES: usize = 4_096;

/// Verifies requests to one webhook.
pub struct Verifier {
    scheme: Option<Scheme>,
    secrets: Vec<Secret>,
}

/// A request that somebody sent who has the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The id of a Standard Webhooks message, the same when it is sent again. It may have been seen before.
    pub id: Option<String>,
}

/// Why a request is not taken. Whoever sent it is told nothing of it: it is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A header is missing.
    #[error("the request has no signature")]
    Missing,
    /// A header is there twice, is too long, or holds what it cannot.
    #[error("the headers of the signature are malformed")]
    Malformed,
    /// The signature is not that of these bytes with one of the secrets.
    #[error("the signature is wrong")]
    Wrong,
    /// The message's time is more than five minutes from ours.
    #[error("the message is older or newer than five minutes")]
    Stale,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Verifier");
        debug.field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl Verifier {
    /// With these secrets, each as good as the others; `scheme` as the spec says.
    ///
    /// # Errors
    /// A sentence without the secret: one is empty, or is not base64 where `scheme` asks for that.
    pub fn new(secrets: &[&str], scheme: Option<Scheme>) -> Result<Self, String> {
        let secrets = secrets.iter().map(|text| Secret::new(text, scheme));
        Ok(Self {
            secrets: secrets.collect::<Result<_, _>>()?,
            scheme,
        })
    }

    /// Verifies a request by its headers and its whole body. Where both kinds of signatures may stand, `webhook-signature` decides.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Verified, Refused> {
        let scheme = self.scheme.unwrap_or_else(|| {
            if headers.contains_key("webhook-signature") {
                Scheme::Standard
            } else {
                Scheme::Hex
            }
        });
        match scheme {
            Scheme::Hex => self.hex(headers, body),
            Scheme::Standard => self.standard(headers, body, now),
        }
    }

    fn hex(&self, headers: &HeaderMap, body: &[u8]) -> Result<Verified, Refused> {
        let given = only(headers, "x-webhook-signature", 128)?;
        let digits = given.strip_prefix("sha256=").unwrap_or(given);
        let given = from_hex(digits).ok_or(Refused::Malformed)?;
        // Not `any`: all secrets are tried.
        let fits = self.secrets.iter().fold(false, |fits, secret| {
            fits | signed_by(secret.plain.as_slice(), &[body], &[given])
        });
        if fits {
            Ok(Verified { id: None })
        } else {
            Err(Refused::Wrong)
        }
    }

    fn standard(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Verified, Refused> {
        let id = only(headers, "webhook-id", MAX_ID)?;
        let time = only(headers, "webhook-timestamp", 12)?;
        let given = only(headers, "webhook-signature", MAX_SIGNATURES)?;
        // A full stop in the id could be the one that ends it: then the same bytes would be signed for another message.
        if id.is_empty() || id.contains('.') || !time.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Refused::Malformed);
        }
        let sent: u64 = time.parse().map_err(|_| Refused::Malformed)?;
        let sent = UNIX_EPOCH.checked_add(Duration::from_secs(sent));
        let sent = sent.ok_or(Refused::Malformed)?;
        let apart = now.duration_since(sent).unwrap_or_else(|e| e.duration());
        if apart > TOLERANCE {
            return Err(Refused::Stale);
        }
        // Those of other versions are not looked at.
        let given = given.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let given: Vec<[u8; 32]> = given
            .filter_map(|text| STANDARD.decode(text).ok()?.try_into().ok())
            .collect();
        let parts = [id.as_bytes(), b".", time.as_bytes(), b".", body];
        let keys = self.secrets.iter().filter_map(|s| s.standard.as_ref());
        let fits = keys.fold(false, |fits, key| fits | signed_by(key, &parts, &given));
        if fits {
            Ok(Verified {
                id: Some(id.to_owned()),
            })
        } else {
            Err(Refused::Wrong)
        }
    }
}

/// A secret as the key of each scheme.
struct Secret {
    plain: Vec<u8>,
    /// None: it is not base64.
    standard: Option<Vec<u8>>,
}

impl Secret {
    fn new(text: &str, scheme: Option<Scheme>) -> Result<Self, String> {
        let base64 = text.strip_prefix(PREFIX).unwrap_or(text);
        let standard = STANDARD.decode(base64).ok().filter(|key| !key.is_empty());
        if text.is_empty() {
            return Err("a secret of the webhook is empty".into());
        }
        if scheme == Some(Scheme::Standard) && standard.is_none() {
            return Err(format!(
                "a secret of a webhook with `scheme: standard` has to be base64, with or without `{PREFIX}` before it; this one is not (its value is not shown)"
            ));
        }
        Ok(Self {
            plain: text.into(),
            standard,
        })
    }
}

/// The one value of a header.
fn only<'a>(headers: &'a HeaderMap, name: &str, most: usize) -> Result<&'a str, Refused> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Refused::Missing)?;
    let text = value.to_str().map_err(|_| Refused::Malformed)?;
    if values.next().is_some() || text.len() > most {
        return Err(Refused::Malformed);
    }
    Ok(text)
}

/// Is one of these the signature? All are compared.
fn signed_by(key: &[u8], parts: &[&[u8]], given: &[[u8; 32]]) -> bool {
    // A key may have any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return false;
    };
    for part in parts {
        mac.update(part);
    }
    given.iter().fold(false, |fits, signature| {
        fits | mac.clone().verify_slice(signature).is_ok()
    })
}

/// 64 lower-case hexadecimal digits.
fn from_hex(digits: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    bytes.try_into().ok().filter(|_| rest.is_empty())
}
