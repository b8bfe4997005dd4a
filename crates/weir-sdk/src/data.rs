//! The roles of data pipelines: `source`, `transform` and `sink`. One reader, transformer or writer lives for one run.

mod batch;
mod sink;
mod source;
mod transform;

pub use self::{
    batch::{Batch, Encoding, Reject, Verdict, Window},
    sink::{Sink, Writer},
    source::{Pulled, Reader, Source},
    transform::{Transform, Transformed, Transformer},
};
