//! Lines in the operator's log, with the plugin's id and the request's id. Needs no grant. A message is cut after 1 KiB; past the
//! `log_bytes` limit of a call, lines are dropped and counted. What a plugin prints comes there too.
//!
//! ```no_run
//! use weir_sdk::log;
//! log::info("cache is warm");
//! log::write(log::Level::Warn, "upstream is slow", &[("ms", "1300")]);
//! ```

use crate::bindings::base::weir::host::log;

/// How much a line matters, by what the operator should do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Every step, for the author.
    Trace,
    /// For finding a fault.
    Debug,
    /// Good to know.
    Info,
    /// Look at it some time.
    Warn,
    /// Look at it now.
    Error,
}

/// Writes one line, with fields (names and values).
pub fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
    let level = match level {
        Level::Trace => log::Level::Trace,
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    log::write(level, message, &fields);
}

/// A line at level debug, without fields.
pub fn debug(message: impl AsRef<str>) {
    write(Level::Debug, message.as_ref(), &[]);
}

/// A line at level info, without fields.
pub fn info(message: impl AsRef<str>) {
    write(Level::Info, message.as_ref(), &[]);
}

/// A line at level warn, without fields.
pub fn warn(message: impl AsRef<str>) {
    write(Level::Warn, message.as_ref(), &[]);
}

/// A line at level error, without fields.
pub fn error(message: impl AsRef<str>) {
    write(Level::Error, message.as_ref(), &[]);
}
