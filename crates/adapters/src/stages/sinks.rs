//! The native sinks. One file or folder a kind; this is the list.

use std::sync::Arc;

use model::stage::SinkKind;

use super::StagePorts;
use super::web::caller::Web;

mod console;
pub(super) mod file;
pub(super) mod http_api;
pub(crate) mod postgres;
mod sql;
mod sqlite;
pub(super) mod webhook;

/// All kinds of sink there are, in the order in which lists show them.
pub(super) fn all(ports: &StagePorts) -> Vec<Arc<dyn SinkKind>> {
    let web = Web::new(ports);
    vec![
        Arc::new(console::ConsoleSink::new(ports.console.clone())),
        Arc::new(file::FileSink::default()),
        http_api::kind(&web),
        Arc::new(postgres::Postgres),
        Arc::new(sqlite::Sqlite),
        webhook::kind(&web),
    ]
}
