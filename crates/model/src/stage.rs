//! What a spec may name as the `type` of a stage, and how one is opened for a run. The kinds themselves are adapters; plugins are stages by their roles
//! ([`crate::plugin::Plugin::open_source`] and the two beside it), so the run sees the same [`crate::data`] traits behind both.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::Value;

use crate::BoxFuture;
use crate::access::Access;
use crate::bronze::KeptInput;
use crate::data::{Batch, Encoding, Opening, Reader, Transformer, Writer};
use crate::error::Fault;
use crate::id::PipelineId;
use crate::redact::Secrets;
use crate::run::RunId;

/// What a kind of stage says of itself, for the published schema, lists and the guide.
#[derive(Debug, Clone)]
pub struct Described {
    /// What a spec writes as `type`: lower-case letters and `_`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// JSON Schema (2020-12) of the options, an object with `additionalProperties: false`: all keys of the stage but those every stage has.
    pub options: Value,
}

/// Something wrong with options that follow their schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Where in the options, a JSON pointer; empty for the whole.
    pub pointer: String,
    /// What is wrong, what was given and what is allowed.
    pub message: String,
}

impl Misfit {
    /// One at this place.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
        }
    }
}

/// What a native stage of one run works within.
#[derive(Debug, Clone)]
pub struct Context {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The run.
    pub run: RunId,
    /// The stage's name in the spec, for temporary names and errors.
    pub stage: Arc<str>,
    /// What it may reach. Each stage asks before it opens a file or a connection.
    pub access: Arc<Access>,
    /// Most bytes of one record. A larger one is rejected without being held.
    pub record_bytes: u64,
    /// Does a native stage right after this source parse every record, and reject what is no JSON? Then the source need not look inside as well. False is always safe.
    pub parsed_next: bool,
    /// What references in its options stand for. The run takes them out of all that the stage says; a stage teaches what else has to be, and takes them out by itself of what
    /// it cuts.
    pub secrets: Arc<Secrets>,
    /// How far a source is, for progress.
    pub progress: Arc<Progress>,
    /// What it tells the run that it works for.
    pub notes: Arc<dyn RunNotes>,
    /// Where a source keeps what it is given, as it came and before it reads it; none: nowhere.
    pub raw: Option<Arc<dyn KeepRaw>>,
}

/// Keeps what a source was given, as it came.
pub trait KeepRaw: Send + Sync + fmt::Debug {
    /// Answers when it is on disk.
    fn keep(
        &self,
        headers: Vec<(String, Bytes)>,
        bytes: Bytes,
    ) -> BoxFuture<'static, Result<(), Fault>>;
}

/// What a stage tells the run that it works for.
pub trait RunNotes: Send + Sync + fmt::Debug {
    /// Says a line that is kept with the run and shown with it. That never waits, and is never too much: only so many are kept. What could steer a terminal has to be taken
    /// out before.
    fn say(&self, line: &str);
}

/// Nobody listens: for stages without a run, as in tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unheard;

impl RunNotes for Unheard {
    fn say(&self, _: &str) {}
}

/// How far a source is in an input whose size it knows. Reading it never waits.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
}

impl Progress {
    /// The input has so many bytes more.
    pub fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes more of it were read.
    pub fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes read, and all bytes where they are known.
    #[must_use]
    pub fn now(&self) -> (u64, Option<u64>) {
        let total = self.total.load(Ordering::Relaxed);
        (
            self.done.load(Ordering::Relaxed),
            (total > 0).then_some(total),
        )
    }
}

/// Which encodings a stage takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Takes {
    /// NDJSON only.
    #[default]
    Ndjson,
    /// Arrow IPC only.
    ArrowIpc,
    /// Both.
    Either,
}

impl Takes {
    /// What a batch has to be turned into first; none if it is taken as it is.
    #[must_use]
    pub fn wants(self, given: Encoding) -> Option<Encoding> {
        match (self, given) {
            (Self::Ndjson, Encoding::ArrowIpc) => Some(Encoding::Ndjson),
            (Self::ArrowIpc, Encoding::Ndjson) => Some(Encoding::ArrowIpc),
            _ => None,
        }
    }
}

/// Does a text in options hold a template (`{{…}}`) or a reference (`${…}`), so that its value is known only when a stage is opened?
#[must_use]
pub fn is_open(text: &str) -> bool {
    text.contains("{{") || text.contains("${")
}

/// A kind of native stage: its name, and a check of options without opening anything. Strings in options may hold templates (`{{…}}`) and references
/// (`${…}`) when they are checked; they are filled in when a stage is opened.
pub trait Kind: Send + Sync + fmt::Debug {
    /// Its name, summary and options.
    fn described(&self) -> Described;

    /// What is wrong with options that follow the schema, all at once.
    fn check(&self, options: &Value) -> Vec<Misfit> {
        let _ = options;
        Vec::new()
    }

    /// Does what stands at this place of the options (a JSON pointer) go into records? No reference may stand there: what is in a record is shown to everybody.
    fn is_data(&self, pointer: &str) -> bool {
        let _ = pointer;
        false
    }
}

/// Sources of this kind.
pub trait SourceKind: Kind {
    /// May a run be told the cursor at the end of the one before, so that it reads only what has come since? False: each run reads all there is.
    fn goes_on(&self, options: &Value) -> bool {
        let _ = options;
        false
    }

    /// Opens one for a run.
    fn open(
        &self,
        opening: Opening,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>>;

    /// Does it read what the pipeline's webhook has received, and nothing else? Then a server always opens it with [`SourceKind::open_kept`].
    fn is_inbox(&self) -> bool {
        false
    }

    /// Does it keep what it is given, where it is told to ([`Context::raw`])?
    fn keeps_raw(&self) -> bool {
        false
    }

    /// Opens one that makes its records of payloads that were kept, as it made them when they came, and asks nobody for anything.
    fn open_kept(
        &self,
        opening: Opening,
        context: Context,
        input: KeptInput,
    ) -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>> {
        let _ = (opening, context, input);
        let name = self.described().name;
        Box::pin(async move {
            Err(Fault::Invalid(format!(
                "a source of type {name} cannot be replayed: nothing is kept of what it reads"
            )))
        })
    }
}

/// Transforms of this kind.
pub trait TransformKind: Kind {
    /// Must one transformer see all records, in order? Then a run has one of it, else one a worker.
    fn sees_all(&self, options: &Value) -> bool {
        let _ = options;
        false
    }

    /// What it takes.
    fn takes(&self) -> Takes {
        Takes::Ndjson
    }

    /// Does it parse every record it is given, and reject what is no JSON? A source right before it is told ([`Context::parsed_next`]).
    fn parses(&self, options: &Value) -> bool {
        let _ = options;
        false
    }

    /// Opens one for a worker of a run. `config` is the options, JSON text.
    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Transformer>, Fault>>;
}

/// Sinks of this kind.
pub trait SinkKind: Kind {
    /// What it takes.
    fn takes(&self, options: &Value) -> Takes {
        let _ = options;
        Takes::Ndjson
    }

    /// What it replaces as a whole, as far as its options tell before it is opened: two sinks of a pipeline with the same would leave what one of them wrote.
    fn replaces(&self, options: &Value) -> Option<String> {
        let _ = options;
        None
    }

    /// Opens one for a run. `config` is the options, JSON text.
    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>>;
}

/// Turns batches from one encoding into another.
pub trait Convert: Send + Sync + fmt::Debug {
    /// The same records in another encoding.
    ///
    /// # Errors
    /// [`Fault::Invalid`] where a record cannot be had in it.
    fn convert(&self, batch: Batch, to: Encoding) -> Result<Batch, Fault>;
}

/// The native stages there are.
#[derive(Debug, Clone)]
pub struct Natives {
    /// The sources.
    pub sources: Vec<Arc<dyn SourceKind>>,
    /// The transforms.
    pub transforms: Vec<Arc<dyn TransformKind>>,
    /// The sinks.
    pub sinks: Vec<Arc<dyn SinkKind>>,
    /// Between stages that do not take the same encoding.
    pub convert: Arc<dyn Convert>,
}
