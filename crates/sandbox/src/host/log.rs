//! `weir:host/log`, and where a plugin's standard output goes: the operator's log, capped for each call.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::limits::Limit;
use model::redact::Secrets;

use crate::bindings::weir::host::log::{Host, Level};
use crate::state::{Shared, State};
use crate::usage::{Counters, add};

/// Longest line, in bytes; what is longer is cut.
pub(crate) const MAX_LINE: usize = 1024;

/// Writes one plugin's lines, up to the limit of the call under way.
pub(crate) struct GuestLog {
    name: Arc<str>,
    limit: u64,
    counters: Arc<Counters>,
    pub(crate) secrets: Arc<Secrets>,
    used: AtomicU64,
    dropped: AtomicU64,
    /// Bytes not yet charged in fuel.
    uncharged: AtomicU64,
}

impl GuestLog {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self {
            name: Arc::clone(&shared.name),
            limit: shared.limits.get(Limit::LogBytes),
            counters: Arc::clone(&shared.counters),
            secrets: Arc::clone(&shared.secrets),
            used: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            uncharged: AtomicU64::new(0),
        }
    }

    /// A call begins: its own limit.
    pub(crate) fn begin(&self) {
        self.used.store(0, Ordering::Relaxed);
    }

    /// A call ends: says how many lines were dropped, if any were.
    pub(crate) fn end(&self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(plugin = %self.name, dropped, limit = self.limit, "log lines dropped over log_bytes");
        }
    }

    /// Bytes written since the last time this was asked.
    pub(crate) fn take_uncharged(&self) -> usize {
        usize::try_from(self.uncharged.swap(0, Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Writes one line, or drops it over the limit.
    pub(crate) fn line(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let bytes = message.len() + fields.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        add(&self.uncharged, bytes as u64);
        // A line costs at least 16 bytes, so that empty ones end too.
        let cost = bytes.clamp(16, MAX_LINE * 2) as u64;
        if self.used.fetch_add(cost, Ordering::Relaxed) + cost > self.limit {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            add(&self.counters.log_dropped, 1);
            return;
        }
        add(&self.counters.log_lines, 1);
        // Secrets go before the cut, which could leave a part of one.
        let message = self.secrets.redact(message);
        let fields = Fields(fields, &self.secrets);
        let (plugin, message) = (&*self.name, clean(&message));
        match level {
            Level::Trace => {
                tracing::trace!(target: "plugin", plugin, fields = %fields, "{message}")
            }
            Level::Debug => {
                tracing::debug!(target: "plugin", plugin, fields = %fields, "{message}")
            }
            Level::Info => tracing::info!(target: "plugin", plugin, fields = %fields, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, fields = %fields, "{message}"),
            Level::Error => {
                tracing::error!(target: "plugin", plugin, fields = %fields, "{message}")
            }
        }
    }
}

/// Cuts after [`MAX_LINE`] bytes and replaces control characters: a plugin cannot forge lines or write to a terminal.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let cut = text
        .get(..text.floor_char_boundary(MAX_LINE))
        .unwrap_or_default();
    if cut.chars().any(char::is_control) {
        cut.chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect::<String>()
            .into()
    } else {
        cut.into()
    }
}

struct Fields<'a>(&'a [(String, String)], &'a Secrets);

impl std::fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (key, value)) in self.0.iter().take(32).enumerate() {
            let space = if index == 0 { "" } else { " " };
            let (key, value) = (self.1.redact(key), self.1.redact(value));
            write!(f, "{space}{}={:?}", clean(&key), clean(&value))?;
        }
        Ok(())
    }
}

impl Host for State {
    fn write(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.log.line(level, &message, &fields);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use wasmtime_wasi::cli::StdoutStream;

    use super::*;
    use crate::host::stdio::StdStream;

    #[test]
    fn lines_are_cut_and_cleaned() {
        assert_eq!(clean("a\nb\u{1b}[31m"), "a\u{fffd}b\u{fffd}[31m");
        assert_eq!(clean(&"ü".repeat(1_000)).len(), MAX_LINE);
        assert!(matches!(clean("plain"), Cow::Borrowed("plain")));
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written to the operator's log by a plugin that was given a secret.
    fn written(by: impl FnOnce(&Arc<GuestLog>)) -> String {
        let log = GuestLog {
            name: "x".into(),
            limit: 100_000,
            counters: Arc::default(),
            secrets: Arc::default(),
            used: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            uncharged: AtomicU64::new(0),
        };
        log.secrets.learn("hunter22");
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || by(&Arc::new(log)));
        let bytes = lines.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn secrets_stay_out_of_messages_and_fields_also_across_the_cut() {
        let text = written(|log| {
            let field = ("k".to_owned(), "=hunter22=".to_owned());
            log.line(Level::Info, "a hunter22", &[field]);
            log.line(Level::Info, &("y".repeat(MAX_LINE - 4) + "hunter22"), &[]);
        });
        assert!(!text.contains("hunt"), "{text}");
        assert!(text.contains("a ***") && text.contains("=***="), "{text}");
    }

    #[test]
    fn secrets_stay_out_of_what_is_printed_also_in_pieces_and_across_the_cut() {
        let text = written(|log| {
            let stream = StdStream::new(log, Level::Info);
            for piece in ["a hun", "ter22\n", "b hunter22"] {
                stream.p2_stream().write(piece.into()).unwrap();
            }
            stream.flush_line();
            for cut in 0..20 {
                let long = "hunter22".repeat(40) + &"z".repeat(MAX_LINE - 322 + cut);
                let long = long + &"hunter22".repeat(3) + "\n";
                stream.p2_stream().write(long.into()).unwrap();
            }
        });
        assert!(!text.contains("hunt"), "{text}");
        assert!(text.contains("a ***") && text.contains("b ***"), "{text}");
    }
}
