//! Strict mode: what the reference, a Python server, was recorded to do where a better server would do otherwise.

pub(crate) mod decode;
pub(crate) mod pydantic;
pub(crate) mod python;
