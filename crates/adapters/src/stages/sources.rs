//! The native sources. One file or folder a kind; this is the list.

use std::sync::Arc;

use model::stage::SourceKind;

use super::StagePorts;
use super::web::caller::Web;

mod file;
pub(super) mod graphql;
pub(super) mod http;
mod webhook;

#[cfg(test)]
pub(super) use file::FileSource;

/// All kinds of source there are, in the order in which lists show them.
pub(super) fn all(ports: &StagePorts) -> Vec<Arc<dyn SourceKind>> {
    let web = Web::new(ports);
    vec![
        Arc::new(file::FileSource),
        graphql::kind(&web),
        http::kind(&web),
        webhook::kind(),
    ]
}
