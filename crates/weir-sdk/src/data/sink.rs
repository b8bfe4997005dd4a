//! The role `sink`: writes records somewhere.

use std::cell::RefCell;

use serde_json::Value;

use super::{Batch, Reject};
use crate::{
    Failure, Plugin,
    bindings::{
        base::weir::types::values, sink::exports::weir::plugin::sink, sink::weir::types::batches,
    },
    failure::lower,
    json::parse,
    plugin::{Adapter, Instance},
};

/// A plugin that writes records somewhere.
///
/// ```
/// use weir_sdk::{Batch, Failure, Plugin, Reject, Sink, Writer, serde_json::Value, state};
///
/// #[derive(Default)]
/// struct Keep;
///
/// struct InState;
///
/// impl Plugin for Keep {}
/// impl Sink for Keep {
///     type Writer = InState;
/// }
/// impl Writer for InState {
///     fn open(_: Value) -> Result<Self, Failure> {
///         Ok(Self)
///     }
///     fn push(&mut self, batch: Batch, key: &str) -> Result<Vec<Reject>, Failure> {
///         state::set(key, &batch.data)?;
///         Ok(Vec::new())
///     }
/// }
/// weir_sdk::plugin!(Keep: sink);
/// # fn main() {}
/// ```
pub trait Sink: Plugin {
    /// What writes during one run.
    type Writer: Writer;
}

/// Writes during one run.
pub trait Writer: Sized + 'static {
    /// `config` is the stage's settings. A wrong one is [`Failure::Invalid`].
    fn open(config: Value) -> Result<Self, Failure>;

    /// Returning ok means the records are safe. `key` is the same when the host delivers the batch again, so that a sink can tell a
    /// repetition.
    fn push(&mut self, batch: Batch, key: &str) -> Result<Vec<Reject>, Failure>;

    /// No more records in this run.
    fn finish(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A writer as the contract's resource.
#[derive(Debug)]
pub struct Resource<W>(RefCell<W>);

impl<P: Sink + Instance> sink::Guest for Adapter<P> {
    type Writer = Resource<P::Writer>;
}

impl<W: Writer> sink::GuestWriter for Resource<W> {
    fn open(config: String) -> Result<sink::Writer, values::Failure> {
        let opened = parse("config", &config).and_then(W::open);
        opened
            .map(|writer| sink::Writer::new(Self(RefCell::new(writer))))
            .map_err(lower)
    }

    fn push(
        &self,
        batch: batches::Batch,
        key: String,
    ) -> Result<Vec<batches::Reject>, values::Failure> {
        let rejects = self
            .0
            .borrow_mut()
            .push(border::lift(batch), &key)
            .map_err(lower)?;
        Ok(rejects
            .into_iter()
            .map(|reject| batches::Reject {
                index: reject.index,
                reason: reject.reason,
            })
            .collect())
    }

    fn finish(&self) -> Result<(), values::Failure> {
        self.0.borrow_mut().finish().map_err(lower)
    }
}

mod border {
    //! Batches in this role's bindings.
    crate::data::batch::translate!(crate::bindings::sink::weir::types::batches);
}
