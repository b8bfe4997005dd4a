//! What the corpus guests share: Python's way of writing values. The guests are in `examples/`, one for each recorded pipeline; they carry the
//! recorded file's stem, and answer as it did.

pub mod python;
