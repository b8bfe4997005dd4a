//! `jq`: a jq filter on each record. A filter is a program that somebody wrote, and may loop for ever or eat all memory: it runs in a process of its own, with limits, that knows nothing
//! but the records it is given. A record over which that process dies is rejected, and the others go on in a new one.

mod filter;
mod process;
mod wire;
mod worker;

use std::path::PathBuf;

use bytes::Bytes;
use model::BoxFuture;
use model::data::{Batch, Encoding, Reject, Transformed, Transformer};
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, TransformKind, is_open};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::stages::options;
use crate::stages::record::Lines;

use process::{Ended, Process};
use wire::Answer;
pub use worker::jq_worker;

/// The kind.
#[derive(Debug, Clone)]
pub(super) struct Jq {
    /// What is started, with the argument `jq-worker`.
    pub(super) program: PathBuf,
}

/// Options of `jq`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The filter, in the jq language as jaq has it: `{id, name: .user.name}`. It gets a record and gives one object, or nothing: then the record is left out. More than one result, an error,
    /// and anything that is no object reject the record. There are no `input`, `inputs`, `env`, `$ENV`, `halt`, modules or files. At most 4096 bytes.
    filter: String,
    /// CPU time for one record, in seconds, from 1 to 60; it is measured to about one second. A record that takes longer is rejected. Default: 5.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 60))]
    cpu_seconds: u32,
    /// Memory of the process, in MiB, from 32 to 4096. A record that needs more is rejected. Default: 256.
    #[serde(default = "quarter_gib")]
    #[schemars(range(min = 32, max = 4096))]
    memory_mib: u32,
}

fn five() -> u32 {
    5
}

fn quarter_gib() -> u32 {
    256
}

impl Options {
    fn misfits(&self) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        if !is_open(&self.filter) {
            misfits.extend(
                filter::check(&self.filter)
                    .err()
                    .map(|m| Misfit::new("/filter", m)),
            );
        }
        if !(1..=60).contains(&self.cpu_seconds) {
            misfits.push(Misfit::new(
                "/cpu_seconds",
                format!("{} is not from 1 to 60", self.cpu_seconds),
            ));
        }
        if !(32..=4096).contains(&self.memory_mib) {
            misfits.push(Misfit::new(
                "/memory_mib",
                format!("{} is not from 32 to 4096", self.memory_mib),
            ));
        }
        misfits
    }
}

impl Kind for Jq {
    fn described(&self) -> Described {
        Described {
            name: "jq",
            summary: "Runs a jq filter on each record, in a process of its own with bounded time and memory.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, given: &Value) -> Vec<Misfit> {
        options::check(given, |options: Options| options.misfits())
    }
}

impl TransformKind for Jq {
    fn parses(&self, _: &Value) -> bool {
        true
    }

    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Transformer>, Fault>> {
        let program = self.program.clone();
        Box::pin(async move {
            let options: Options = options::read(&config)?;
            let checked = options.clone();
            let misfits = tokio::task::spawn_blocking(move || checked.misfits())
                .await
                .map_err(|e| Fault::Internal(e.to_string()))?;
            options::refuse(misfits)?;
            let limits = process::Limits {
                memory_mib: options.memory_mib,
                cpu_seconds: options.cpu_seconds,
                record_bytes: context.record_bytes,
            };
            let process = Process::start(&program, &options.filter, limits).await?;
            let jq: Box<dyn Transformer> = Box::new(Filtering {
                program,
                filter: options.filter,
                limits,
                process: Some(process),
            });
            Ok(jq)
        })
    }
}

struct Filtering {
    program: PathBuf,
    filter: String,
    limits: process::Limits,
    /// None after one died.
    process: Option<Process>,
}

impl Transformer for Filtering {
    fn apply(&mut self, batch: Batch) -> BoxFuture<'_, Result<Transformed, Fault>> {
        Box::pin(async move {
            if batch.encoding != Encoding::Ndjson {
                return Err(Fault::Internal("it takes NDJSON, and got Arrow IPC".into()));
            }
            let answers = self.all(&batch.data).await?;
            Ok(gathered(answers))
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Option<Batch>, Fault>> {
        self.process = None;
        Box::pin(async { Ok(None) })
    }
}

impl Filtering {
    /// An answer for each line. When the process dies, what it had not answered is asked one record at a time, until the one is found over which it dies again.
    async fn all(&mut self, data: &Bytes) -> Result<Vec<Answer>, Fault> {
        let lines: Vec<&[u8]> = Lines::of(data).collect();
        let mut answers = Vec::with_capacity(lines.len());
        let mut one_at_a_time = false;
        while let Some(rest) = lines.get(answers.len()..).filter(|rest| !rest.is_empty()) {
            let ask = if one_at_a_time {
                rest.get(..1).unwrap_or(rest)
            } else {
                rest
            };
            let mut process = match self.process.take() {
                Some(process) => process,
                None => Process::start(&self.program, &self.filter, self.limits).await?,
            };
            match process.ask(ask, &mut answers).await {
                Ok(()) => self.process = Some(process),
                Err(Ended::Fault(fault)) => return Err(fault),
                Err(Ended::Died(why)) if one_at_a_time => {
                    answers.push(Answer::Rejected(why));
                    one_at_a_time = false;
                }
                Err(Ended::Died(_)) => one_at_a_time = true,
            }
        }
        Ok(answers)
    }
}

fn gathered(answers: Vec<Answer>) -> Transformed {
    let (mut data, mut count, mut rejects) = (Vec::new(), 0_u32, Vec::new());
    for (place, answer) in answers.into_iter().enumerate() {
        let reason = match answer {
            Answer::Record(record) => {
                data.extend_from_slice(&record);
                data.push(b'\n');
                count = count.saturating_add(1);
                continue;
            }
            Answer::LeftOut => String::new(),
            Answer::Rejected(text) => text,
        };
        rejects.push(Reject::new(place, reason));
    }
    Transformed {
        batch: Batch {
            encoding: Encoding::Ndjson,
            count,
            data: data.into(),
        },
        rejects,
    }
}
