//! The native sinks. One file or folder a kind; this is the list.

use std::sync::Arc;

use model::stage::SinkKind;

use super::StagePorts;

mod console;
mod file;
mod postgres;
mod sql;
mod sqlite;

/// All kinds of sink there are, in the order in which lists show them.
pub(super) fn all(ports: &StagePorts) -> Vec<Arc<dyn SinkKind>> {
    vec![
        Arc::new(console::ConsoleSink::new(ports.console.clone())),
        Arc::new(file::FileSink),
        Arc::new(postgres::Postgres),
        Arc::new(sqlite::Sqlite),
    ]
}
