//! The role `transform`: turns records into records.

use std::cell::RefCell;

use serde_json::Value;

use super::{Batch, Reject};
use crate::{
    Failure, Plugin,
    bindings::{
        base::weir::types::values, transform::exports::weir::plugin::transform,
        transform::weir::types::batches,
    },
    failure::lower,
    json::parse,
    plugin::{Adapter, Instance},
};

/// What came of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformed {
    /// The records to go on with.
    pub batch: Batch,
    /// The records given up on.
    pub rejects: Vec<Reject>,
}

/// A plugin that turns records into records.
///
/// ```
/// use weir_sdk::{Batch, Failure, Plugin, Reject, Transform, Transformed, Transformer, serde_json::Value};
///
/// #[derive(Default)]
/// struct Named;
///
/// struct HasName;
///
/// impl Plugin for Named {}
/// impl Transform for Named {
///     type Transformer = HasName;
/// }
/// impl Transformer for HasName {
///     fn open(_: Value) -> Result<Self, Failure> {
///         Ok(Self)
///     }
///     fn apply(&mut self, batch: Batch) -> Result<Transformed, Failure> {
///         let (mut kept, mut rejects) = (Vec::new(), Vec::new());
///         for (index, record) in (0..).zip(batch.records::<Value>()?) {
///             match record.get("name") {
///                 Some(_) => kept.push(record),
///                 None => rejects.push(Reject { index, reason: "no name".into() }),
///             }
///         }
///         Ok(Transformed { batch: Batch::ndjson(&kept)?, rejects })
///     }
/// }
/// weir_sdk::plugin!(Named: transform);
/// # fn main() {}
/// ```
pub trait Transform: Plugin {
    /// What works during one run.
    type Transformer: Transformer;
}

/// Works during one run of one stage worker, and may keep what it needs between batches.
pub trait Transformer: Sized + 'static {
    /// `config` is the stage's settings. A wrong one is [`Failure::Invalid`].
    fn open(config: Value) -> Result<Self, Failure>;

    /// Every record given comes out, is rejected with a reason, or is held back for a later call.
    fn apply(&mut self, batch: Batch) -> Result<Transformed, Failure>;

    /// What is still held back, at the end of the run.
    fn finish(&mut self) -> Result<Option<Batch>, Failure> {
        Ok(None)
    }
}

/// A transformer as the contract's resource.
#[derive(Debug)]
pub struct Resource<T>(RefCell<T>);

impl<P: Transform + Instance> transform::Guest for Adapter<P> {
    type Transformer = Resource<P::Transformer>;
}

impl<T: Transformer> transform::GuestTransformer for Resource<T> {
    fn open(config: String) -> Result<transform::Transformer, values::Failure> {
        let opened = parse("config", &config).and_then(T::open);
        opened
            .map(|transformer| transform::Transformer::new(Self(RefCell::new(transformer))))
            .map_err(lower)
    }

    fn apply(&self, batch: batches::Batch) -> Result<transform::Transformed, values::Failure> {
        let done = self
            .0
            .borrow_mut()
            .apply(border::lift(batch))
            .map_err(lower)?;
        let rejects = done.rejects.into_iter().map(|reject| batches::Reject {
            index: reject.index,
            reason: reject.reason,
        });
        Ok(transform::Transformed {
            batch: border::lower(done.batch),
            rejects: rejects.collect(),
        })
    }

    fn finish(&self) -> Result<Option<batches::Batch>, values::Failure> {
        self.0
            .borrow_mut()
            .finish()
            .map(|batch| batch.map(border::lower))
            .map_err(lower)
    }
}

mod border {
    //! Batches in this role's bindings.
    crate::data::batch::translate!(crate::bindings::transform::weir::types::batches);
}
