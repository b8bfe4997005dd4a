//! Secrets that a plugin or a stage was given, and their removal from what it logs and says. A mercy for accidents: who wants to tell a secret can always write it
//! another way.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::Fault;

/// What stands in place of a secret.
const MASK: &str = "***";
/// Shorter ones are not looked for: they would hide ordinary words.
const SHORTEST: usize = 4;
/// What a form or a query encodes: `application/x-www-form-urlencoded`, but for the space, which is `+` there.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_');
/// What the path of a URL encodes (URL Standard, path percent-encode set).
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Secrets that one version of a plugin, or one stage of a run, was given.
#[derive(Default)]
pub struct Secrets {
    /// The longest first, so that one which is a part of another does not spoil it.
    known: Mutex<Vec<Box<str>>>,
    /// Length of the longest; 0 while there are none.
    longest: AtomicUsize,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Secrets {
    /// Remembers a secret, also as it stands in quotes and in a URL; of one with several lines, each line too.
    pub fn learn(&self, secret: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let trimmed = secret.trim();
        let escaped = secret.escape_debug().to_string();
        let in_query = utf8_percent_encode(trimmed, FORM).to_string();
        let in_query = in_query.replace("%20", "+");
        let in_path = utf8_percent_encode(trimmed, PATH).to_string();
        let whole = [secret, trimmed, &escaped, &in_query, &in_path];
        let pieces = secret.lines().map(str::trim).chain(whole);
        for piece in pieces {
            let is_long = piece.chars().count() >= SHORTEST;
            if is_long && !known.iter().any(|k| **k == *piece) {
                known.push(piece.into());
                self.longest.fetch_max(piece.len(), Ordering::Release);
            }
        }
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// Is there nothing to look for?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.longest() == 0
    }

    /// Length of the longest one, in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest.load(Ordering::Acquire)
    }

    /// Would this piece of a URL's path tell a secret, or a part of one? Pieces shorter than secrets may be do not.
    #[must_use]
    pub fn touch(&self, piece: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |secret: &str| secret.contains(piece) || piece.contains(secret);
        piece.chars().count() >= SHORTEST && known.iter().any(|secret| told(secret))
    }

    /// The text without secrets.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_empty() {
            return text.into();
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = Cow::Borrowed(text);
        for secret in known.iter() {
            if text.contains(&**secret) {
                text = text.replace(&**secret, MASK).into();
            }
        }
        text
    }

    /// The fault without secrets.
    #[must_use]
    pub fn redacted(&self, fault: Fault) -> Fault {
        if self.is_empty() {
            return fault;
        }
        let clean = |text: String| self.redact(&text).into_owned();
        match fault {
            Fault::Invalid(text) => Fault::Invalid(clean(text)),
            Fault::Transient {
                message,
                retry_after_ms,
            } => Fault::Transient {
                message: clean(message),
                retry_after_ms,
            },
            Fault::Refused(text) => Fault::Refused(clean(text)),
            Fault::Internal(text) => Fault::Internal(clean(text)),
            Fault::Trapped(text) => Fault::Trapped(clean(text)),
            Fault::Denied(text) => Fault::Denied(clean(text)),
            Fault::Hook { point, fault } => Fault::Hook {
                point,
                fault: Box::new(self.redacted(*fault)),
            },
            Fault::Unavailable {
                reason,
                retry_after_ms,
            } => Fault::Unavailable {
                reason: clean(reason),
                retry_after_ms,
            },
            limit @ (Fault::OutOfFuel { .. }
            | Fault::OutOfMemory { .. }
            | Fault::DeadlineExceeded { .. }
            | Fault::LimitReached { .. }
            | Fault::RateLimited { .. }) => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_short_ones_are_not() {
        let secrets = Secrets::default();
        assert!(matches!(
            secrets.redact("hunter22"),
            Cow::Borrowed("hunter22")
        ));
        secrets.learn("abc");
        assert!(secrets.is_empty());
        secrets.learn("hunter");
        secrets.learn("hunter22");
        assert_eq!(secrets.redact("a hunter22, a hunter"), "a ***, a ***");
        assert_eq!(secrets.longest(), 8);
    }

    #[test]
    fn secrets_are_masked_in_quotes_and_in_faults() {
        let secrets = Secrets::default();
        secrets.learn("pass\"word");
        assert_eq!(secrets.redact(&format!("{:?}", "pass\"word")), "\"***\"");
        let fault = Fault::Denied("no pass\"word".into());
        assert_eq!(secrets.redacted(fault), Fault::Denied("no ***".into()));
    }

    #[test]
    fn secrets_are_masked_in_urls_and_pieces_of_paths() {
        let secrets = Secrets::default();
        secrets.learn("a b&c/d");
        assert_eq!(secrets.redact("?k=a+b%26c%2Fd"), "?k=***");
        assert_eq!(secrets.redact("/v1/a%20b&c/d"), "/v1/***");
        assert!(secrets.touch("a%20b&c") && secrets.touch("xa%20b&c/dx"));
        assert!(!secrets.touch("a%2") && !secrets.touch("v1/x"));
    }

    #[test]
    fn lines_of_a_long_secret_are_masked_one_by_one() {
        let secrets = Secrets::default();
        secrets.learn("-----BEGIN KEY-----\nMIIEvQ\n-----END KEY-----\n");
        assert_eq!(secrets.redact("line: MIIEvQ"), "line: ***");
    }
}
