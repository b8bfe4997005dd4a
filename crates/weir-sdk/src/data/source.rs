//! The role `source`: reads records from somewhere.

use std::cell::RefCell;

use serde_json::Value;

use super::{Batch, Window};
use crate::{
    Failure, Plugin,
    bindings::{
        base::weir::types::values, source::exports::weir::plugin::source,
        source::weir::types::batches,
    },
    failure::lower,
    json::parse,
    plugin::{Adapter, Instance},
};

/// What one pull brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulled {
    /// The records.
    pub batch: Batch,
    /// From where to go on after these records; kept by the host once they are delivered.
    pub cursor: Option<Value>,
    /// Nothing more in this run.
    pub done: bool,
}

/// A plugin that reads records from somewhere.
///
/// ```
/// use weir_sdk::{Batch, Failure, Plugin, Pulled, Reader, Source, Window, serde_json::{Value, json}};
///
/// #[derive(Default)]
/// struct Numbers;
///
/// struct Count { next: u64 }
///
/// impl Plugin for Numbers {}
/// impl Source for Numbers {
///     type Reader = Count;
/// }
/// impl Reader for Count {
///     fn open(_: Value, cursor: Option<Value>, _: Option<Window>) -> Result<Self, Failure> {
///         Ok(Self { next: cursor.and_then(|cursor| cursor.as_u64()).unwrap_or(0) })
///     }
///     fn pull(&mut self, max_records: u32, _: u32) -> Result<Pulled, Failure> {
///         let end = self.next + u64::from(max_records);
///         let records: Vec<_> = (self.next..end).map(|n| json!({"n": n})).collect();
///         self.next = end;
///         Ok(Pulled { batch: Batch::ndjson(&records)?, cursor: Some(end.into()), done: true })
///     }
/// }
/// weir_sdk::plugin!(Numbers: source);
/// # fn main() {}
/// ```
pub trait Source: Plugin {
    /// What reads during one run.
    type Reader: Reader;
}

/// Reads during one run.
pub trait Reader: Sized + 'static {
    /// Opens the source. `config` is the stage's settings; `cursor` is the last one kept, absent on the first run; `window` is the
    /// span the run covers. A wrong configuration is [`Failure::Invalid`].
    fn open(config: Value, cursor: Option<Value>, window: Option<Window>) -> Result<Self, Failure>;

    /// The next records: at most `max_records`, and about `max_bytes`. [`Failure::Transient`] is tried again with back-off.
    fn pull(&mut self, max_records: u32, max_bytes: u32) -> Result<Pulled, Failure>;
}

/// A reader as the contract's resource.
#[derive(Debug)]
pub struct Resource<R>(RefCell<R>);

impl<P: Source + Instance> source::Guest for Adapter<P> {
    type Reader = Resource<P::Reader>;
}

impl<R: Reader> source::GuestReader for Resource<R> {
    fn open(
        config: String,
        cursor: Option<String>,
        window: Option<batches::Window>,
    ) -> Result<source::Reader, values::Failure> {
        let open = || {
            let cursor = cursor.map(|text| parse("cursor", &text)).transpose()?;
            let window = window.map(|window| Window {
                start: window.start,
                end: window.end,
            });
            R::open(parse("config", &config)?, cursor, window)
        };
        open()
            .map(|reader| source::Reader::new(Self(RefCell::new(reader))))
            .map_err(lower)
    }

    fn pull(&self, max_records: u32, max_bytes: u32) -> Result<source::Pulled, values::Failure> {
        let pulled = self
            .0
            .borrow_mut()
            .pull(max_records, max_bytes)
            .map_err(lower)?;
        Ok(source::Pulled {
            batch: border::lower(pulled.batch),
            cursor: pulled.cursor.map(|cursor| cursor.to_string()),
            done: pulled.done,
        })
    }
}

mod border {
    //! Batches in this role's bindings.
    #![allow(dead_code, reason = "a source only gives batches")]
    crate::data::batch::translate!(crate::bindings::source::weir::types::batches);
}
