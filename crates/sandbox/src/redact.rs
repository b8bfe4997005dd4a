//! Secrets a plugin was given, and their removal from what it logs and says. A mercy for accidents: a plugin that wants to tell a secret
//! can always write it another way.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What stands in place of a secret.
const MASK: &str = "***";
/// Shorter ones are not looked for: they would hide ordinary words.
const SHORTEST: usize = 4;

/// Secrets that one version of a plugin was given.
#[derive(Default)]
pub(crate) struct Secrets {
    /// The longest first, so that one which is a part of another does not spoil it.
    known: Mutex<Vec<Box<str>>>,
    /// Length of the longest; 0 while there are none.
    longest: AtomicUsize,
}

impl Secrets {
    /// Remembers a secret; of one with several lines, each line too.
    pub(crate) fn learn(&self, secret: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let pieces = secret.lines().map(str::trim).chain([secret, secret.trim()]);
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
    pub(crate) fn is_empty(&self) -> bool {
        self.longest() == 0
    }

    /// Length of the longest one, in bytes.
    pub(crate) fn longest(&self) -> usize {
        self.longest.load(Ordering::Acquire)
    }

    /// The text without secrets.
    pub(crate) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
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
    fn lines_of_a_long_secret_are_masked_one_by_one() {
        let secrets = Secrets::default();
        secrets.learn("-----BEGIN KEY-----\nMIIEvQ\n-----END KEY-----\n");
        assert_eq!(secrets.redact("line: MIIEvQ"), "line: ***");
    }
}
