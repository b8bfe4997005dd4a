//! The log: for people in a terminal, JSON lines otherwise, on standard error. `WEIR_LOG` chooses what is shown.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `WEIR_LOG` is a filter such as `info` or `warn,plugin=debug`; without it, `GLOBAL_LOG_LEVEL` as the reference
/// server knows it; without that, `quiet` if given, else `info`.
pub(crate) fn start(quiet: Option<&str>) {
    let wanted = std::env::var("WEIR_LOG")
        .or_else(|_| std::env::var("GLOBAL_LOG_LEVEL"))
        .map(|level| level.to_lowercase());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(quiet.unwrap_or("info")))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
