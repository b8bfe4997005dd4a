//! What a source that speaks HTTP is to do, whatever its options are called: `http` and `graphql` both come down to this.

use encoding_rs::Encoding;
use serde_json::Value;

use super::Format;
use super::paging::Paging;
use crate::stages::format::CsvOptions;
use crate::stages::web::caller::Draft;
use crate::stages::web::document::Path;

const MIB: u64 = 1024 * 1024;

/// Most bytes of an answer that is held as a whole, where the options say nothing.
pub(in crate::stages::sources) fn default_most() -> u64 {
    64 * MIB
}

/// What to ask for, and how to read what comes.
pub(in crate::stages::sources) struct Plan {
    /// The request for the first page.
    pub(in crate::stages::sources) draft: Draft,
    /// Its body as an object, where it is one, to put values into for other pages.
    pub(in crate::stages::sources) body: Option<Value>,
    pub(in crate::stages::sources) read: Read,
    pub(in crate::stages::sources) shape: Shape,
    pub(in crate::stages::sources) paging: Option<Paging>,
    pub(in crate::stages::sources) max_pages: Option<u64>,
    /// Most bytes of an answer that is held as a whole.
    pub(in crate::stages::sources) most: u64,
}

/// How to read an answer.
pub(in crate::stages::sources) struct Read {
    pub(in crate::stages::sources) format: Format,
    pub(in crate::stages::sources) records: Option<Path>,
    pub(in crate::stages::sources) csv: CsvOptions,
    pub(in crate::stages::sources) encoding: Option<&'static Encoding>,
}

/// What an answer that is a JSON document looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::stages::sources) enum Shape {
    /// As the API likes.
    Plain,
    /// As GraphQL says: `data` and `errors`. Are the records the `node`s of a connection's edges, and may there be errors beside data?
    GraphQl { nodes: bool, partial: bool },
}

impl Plan {
    /// Has an answer to be there as a whole before its records are taken?
    pub(super) fn wants_document(&self) -> bool {
        self.shape != Shape::Plain || self.paging.as_ref().is_some_and(Paging::wants_document)
    }
}
