//! Records as they lie in the bytes of a batch: finding lines, checking that a line is JSON, finding the wanted values in it, and writing values. A record is looked at once and
//! never built as a tree; what a stage does not name is only checked.

mod lines;
mod number;
mod path;
mod projection;
mod raw;
mod scan;
mod write;

pub(crate) use lines::Lines;
pub(crate) use number::{Number, canonical};
pub(crate) use path::{Path, Step};
pub(crate) use projection::{Member, Projection, Slots};
pub(crate) use raw::{Kind, kind, kind_name, shown, text};
pub(crate) use scan::{check_document, check_escapes, check_json, check_utf8};
pub(crate) use write::{string, whole_or_float};
