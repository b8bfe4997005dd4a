//! Log lines of one kit: a subscriber for the kit's own threads. Nothing global is set, so kits in one process do not hear each other.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::fakes::lock;

/// Most lines that are kept; further ones are dropped and counted.
const MAX_LINES: usize = 10_000;
/// What plugins' own lines are marked with.
const OF_PLUGINS: &str = "plugin";

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The plugin that wrote it; empty for a line of the host.
    pub plugin: String,
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The text.
    pub message: String,
    /// Its fields, as `name=value` with spaces between them.
    pub fields: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.plugin.is_empty() {
            "host"
        } else {
            &self.plugin
        };
        write!(f, "{} {who}: {}", self.level, self.message)?;
        if self.fields.is_empty() {
            Ok(())
        } else {
            write!(f, " {}", self.fields)
        }
    }
}

/// The lines so far: all of plugins, and the host's warnings and errors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<LogLine>>>);

impl Log {
    /// A dispatcher that writes here, for the threads of one kit.
    pub(crate) fn dispatch(&self) -> tracing::Dispatch {
        tracing::Dispatch::new(tracing_subscriber::registry().with(Capture(self.clone())))
    }

    /// How many lines there are.
    pub(crate) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    /// The lines after the first `skip`.
    pub(crate) fn after(&self, skip: usize) -> Vec<LogLine> {
        lock(&self.0).iter().skip(skip).cloned().collect()
    }

    fn push(&self, line: LogLine) {
        let mut lines = lock(&self.0);
        if lines.len() < MAX_LINES {
            lines.push(line);
        }
    }
}

struct Capture(Log);

impl<S: Subscriber> Layer<S> for Capture {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && (metadata.target() == OF_PLUGINS || *metadata.level() <= Level::WARN)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut read = Read::default();
        event.record(&mut read);
        let of_plugin = metadata.target() == OF_PLUGINS;
        if !of_plugin && !read.plugin.is_empty() {
            read.other("plugin", &read.plugin.clone());
        }
        self.0.push(LogLine {
            plugin: if of_plugin {
                read.plugin
            } else {
                String::new()
            },
            level: name(*metadata.level()),
            message: read.message,
            fields: read.fields,
        });
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::TRACE => "trace",
        Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warn",
        Level::ERROR => "error",
    }
}

#[derive(Default)]
struct Read {
    plugin: String,
    message: String,
    fields: String,
}

impl Read {
    fn other(&mut self, name: &str, text: &str) {
        let space = if self.fields.is_empty() { "" } else { " " };
        // A plugin's own fields come as one, ready to be shown.
        self.fields += &match name {
            "fields" => format!("{space}{text}"),
            _ => format!("{space}{name}={text}"),
        };
    }
}

impl Visit for Read {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "plugin" => value.clone_into(&mut self.plugin),
            name => self.other(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            "plugin" => self.plugin = text,
            "fields" if text.is_empty() => {}
            name => self.other(name, &text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_plugins_and_warnings_of_the_host_are_kept() {
        let log = Log::default();
        tracing::dispatcher::with_default(&log.dispatch(), || {
            let fields = format_args!("a=\"1\"");
            tracing::debug!(target: "plugin", plugin = "p", fields = %fields, "hello");
            tracing::info!("not this");
            tracing::warn!(plugin = %"p", code = 3, "but this");
        });
        let lines: Vec<_> = log.after(0).iter().map(LogLine::to_string).collect();
        assert_eq!(
            lines,
            [
                "debug p: hello a=\"1\"",
                "warn host: but this code=3 plugin=p"
            ]
        );
        assert_eq!((log.count(), log.after(1).len()), (2, 1));
    }
}
