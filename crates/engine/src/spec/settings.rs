//! What a pipeline says beside its work: timescope, parameters, error policy, limits (its trigger: `triggers`). Their form is right when they come here; what they
//! mean is checked.

use std::num::NonZeroU32;
use std::time::Duration;

use model::pipeline::{
    Backoff, Circuit, DeadLetters, ErrorPolicy, Parameter, Period, Persistence, RunLimits,
    Threshold, Timescope,
};
use serde_json::{Map, Value};

use super::problems::Finding;
use super::units;
use super::written::{self, DurationText, Scope, ScopeTable, ScopeWord, Written};
use crate::nearest::{instead, quoted};
use crate::parameters::fit;
use crate::spec::Checker;
use crate::templates::pointer;
use crate::timescope::{written_span, zone};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) findings: Vec<Finding>,
}

/// Keywords of JSON Schema that a parameter may have.
const KEYWORDS: [&str; 43] = [
    "type",
    "default",
    "description",
    "title",
    "enum",
    "const",
    "examples",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "$defs",
    "$ref",
    "$comment",
];
/// Most parameters of one pipeline.
const MAX_PARAMETERS: usize = 256;
/// Most bytes of a batch.
const MAX_BATCH_BYTES: u64 = 1 << 30;

impl Said {
    pub(super) fn value(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.findings.push(Finding::value(at, message));
    }

    pub(super) fn key(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.findings.push(Finding::key(at, message));
    }

    /// The value, or what it says is wrong with the place.
    pub(super) fn take<T>(
        &mut self,
        at: impl Into<String>,
        result: Result<T, String>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(message) => {
                self.value(at, message);
                None
            }
        }
    }

    /// What a pipeline within another one cannot say.
    pub(super) fn inline(&mut self, written: &Written, at: &str) {
        let said = [
            ("trigger", written.trigger.is_some()),
            ("status", written.status.is_some()),
        ];
        for (key, is_said) in said {
            if is_said {
                let message = format!(
                    "`{key}` has no meaning here: a pipeline within another one runs when that one does"
                );
                self.key(format!("{at}/{key}"), message);
            }
        }
    }

    pub(super) fn timescope(&mut self, written: Option<Scope>, at: &str) -> Option<Timescope> {
        let at = format!("{at}/timescope");
        let every = |period| Timescope::Every {
            period,
            zone: "UTC".into(),
        };
        Some(match written? {
            Scope::Word(ScopeWord::All) => Timescope::All,
            Scope::Word(ScopeWord::Hour) => every(Period::Hour),
            Scope::Word(ScopeWord::Day) => every(Period::Day),
            Scope::Word(ScopeWord::Week) => every(Period::Week),
            Scope::Word(ScopeWord::Month) => every(Period::Month),
            Scope::Word(ScopeWord::Quarter) => every(Period::Quarter),
            Scope::Word(ScopeWord::Year) => every(Period::Year),
            // Wrong, but there: so templates that name it are not wrong, too.
            Scope::Table(table) => self.scope_table(table, &at).unwrap_or(Timescope::All),
        })
    }

    fn scope_table(&mut self, table: ScopeTable, at: &str) -> Option<Timescope> {
        let ScopeTable {
            every,
            zone: name,
            start,
            end,
        } = table;
        let name = name.unwrap_or_else(|| "UTC".into());
        self.take(format!("{at}/zone"), zone(&name))?;
        match (every, start, end) {
            (Some(period), None, None) => Some(Timescope::Every { period, zone: name }),
            (None, Some(start), Some(end)) => self.take(at, written_span(&start, &end, &name)),
            _ => {
                self.value(at, "`timescope` needs either `every`, or `start` and `end`");
                None
            }
        }
    }

    pub(super) fn parameters(&mut self, written: Map<String, Value>, at: &str) -> Vec<Parameter> {
        let at = format!("{at}/parameters");
        if written.len() > MAX_PARAMETERS {
            self.value(&at, format!("more than {MAX_PARAMETERS} parameters"));
        }
        let each = written.into_iter().take(MAX_PARAMETERS);
        each.map(|(name, schema)| self.parameter(name, schema, &at))
            .collect()
    }

    fn parameter(&mut self, name: String, mut schema: Value, at: &str) -> Parameter {
        let at = pointer(at, &name);
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let good = name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(word);
        if !good {
            let given = quoted(&name);
            self.key(&at, format!("{given} is no name of a parameter: a letter, then letters, digits and `_` are, at most 64"));
        }
        let members = schema.as_object_mut();
        let default = members.and_then(|members| {
            for key in members.keys().filter(|k| !KEYWORDS.contains(&k.as_str())) {
                if !key.starts_with("x-") {
                    let instead = instead(key, KEYWORDS.into_iter());
                    self.key(
                        pointer(&at, key),
                        format!("`{key}` is no keyword of JSON Schema{instead}"),
                    );
                }
            }
            members.shift_remove("default")
        });
        let parameter = Parameter {
            name,
            schema,
            default,
        };
        if let Some(message) = wrong_type(&parameter.schema) {
            self.value(format!("{at}/type"), message);
        } else if let Err(e) = Checker::new(&parameter.schema) {
            self.value(at, format!("`{}` is no JSON Schema: {e}", parameter.name));
        } else if let Some(default) = &parameter.default {
            for misfit in fit(&parameter, default, &format!("{at}/default")) {
                let message = format!("the default does not fit: {}", misfit.message);
                self.value(misfit.pointer, message);
            }
        }
        parameter
    }

    pub(super) fn errors(&mut self, written: written::Errors, at: &str) -> ErrorPolicy {
        let at = format!("{at}/errors");
        let max_rejects = written.max_rejects.and_then(|threshold| {
            let threshold = match &threshold.0 {
                Value::String(text) => units::percent(text),
                number => number
                    .as_u64()
                    .map(Threshold::Count)
                    .ok_or_else(|| "is too large".into()),
            };
            self.take(format!("{at}/max_rejects"), threshold)
        });
        ErrorPolicy {
            on_reject: written.on_reject.unwrap_or_default(),
            max_rejects,
            retry: self.backoff(
                written.retry.unwrap_or_default(),
                Backoff::default(),
                &format!("{at}/retry"),
            ),
            rerun: self.backoff(
                written.rerun.unwrap_or_default().into(),
                Backoff::RERUN,
                &format!("{at}/rerun"),
            ),
            dead_letters: self.dead_letters(written.dead_letters, &format!("{at}/dead_letters")),
            circuit: self.circuit(written.circuit, &format!("{at}/circuit")),
        }
    }

    fn dead_letters(&mut self, written: Option<written::DeadLetters>, at: &str) -> DeadLetters {
        let default = DeadLetters::default();
        let written = written.unwrap_or_default();
        let bytes = self.bytes("max_bytes", written.max_bytes.as_ref(), at, (1, u64::MAX));
        DeadLetters {
            max_records: written.max_records.unwrap_or(default.max_records),
            max_bytes: bytes.unwrap_or(default.max_bytes),
        }
    }

    fn circuit(&mut self, written: Option<written::Circuit>, at: &str) -> Circuit {
        let default = Circuit::default();
        let written = written.unwrap_or_default();
        let mut wait = |key: &str, text: Option<DurationText>, default: Duration| {
            let wait = text.map(|text| units::span_of_time(&text.0));
            let wait = wait.and_then(|wait| self.take(format!("{at}/{key}"), wait));
            wait.unwrap_or(default)
        };
        Circuit {
            first: wait("first", written.first, default.first),
            max: wait("max", written.max, default.max),
        }
    }

    pub(super) fn backoff(
        &mut self,
        written: written::Backoff,
        default: Backoff,
        at: &str,
    ) -> Backoff {
        let mut wait = |key: &str, text: Option<DurationText>, default: Duration| {
            let text = text.map(|text| units::duration(&text.0));
            let wait = text.and_then(|wait| self.take(format!("{at}/{key}"), wait));
            wait.unwrap_or(default)
        };
        Backoff {
            max_retries: written.max_retries.unwrap_or(default.max_retries),
            first: wait("first", written.first, default.first),
            factor: written.factor.unwrap_or(default.factor),
            max_delay: wait("max_delay", written.max_delay, default.max_delay),
            jitter: written.jitter.unwrap_or(default.jitter),
        }
    }

    pub(super) fn limits(&mut self, written: &written::Limits, at: &str) -> RunLimits {
        let at = format!("{at}/limits");
        let default = RunLimits::default();
        let all = u64::MAX;
        let record_bytes = self.bytes("record_bytes", written.record_bytes.as_ref(), &at, (1, all));
        let spill_bytes = self.bytes("spill_bytes", written.spill_bytes.as_ref(), &at, (0, all));
        let batch = (1, MAX_BATCH_BYTES);
        let batch_bytes = self.bytes("batch_bytes", written.batch_bytes.as_ref(), &at, batch);
        let batch_bytes = batch_bytes
            .and_then(|n| u32::try_from(n).ok())
            .and_then(NonZeroU32::new);
        let deadline = written.deadline.as_ref().and_then(|text| {
            let deadline = units::span_of_time(&text.0);
            self.take(format!("{at}/deadline"), deadline)
        });
        RunLimits {
            batch_records: written.batch_records.unwrap_or(default.batch_records),
            batch_bytes: batch_bytes.unwrap_or(default.batch_bytes),
            queue: written.queue.unwrap_or(default.queue),
            workers: written.workers.or(default.workers),
            record_bytes: record_bytes.unwrap_or(default.record_bytes),
            spill_bytes: spill_bytes.unwrap_or(default.spill_bytes),
            deadline: deadline.or(default.deadline),
        }
    }

    /// A number of bytes within bounds.
    pub(super) fn bytes(
        &mut self,
        key: &str,
        given: Option<&written::Bytes>,
        at: &str,
        (least, most): (u64, u64),
    ) -> Option<u64> {
        let number = match &given?.0 {
            Value::String(text) => units::bytes(text),
            number => number
                .as_u64()
                .ok_or_else(|| format!("`{key}` is too large")),
        };
        let number = number.and_then(|n| {
            if n < least {
                return Err(format!("`{key}` is {n}; at least {least} is allowed"));
            }
            if n > most {
                let mib = most >> 20;
                return Err(format!(
                    "`{key}` is {n}; at most {most} ({mib}MiB) is allowed"
                ));
            }
            Ok(n)
        });
        self.take(format!("{at}/{key}"), number)
    }
}

/// What is wrong with the `type` of a JSON Schema.
fn wrong_type(schema: &Value) -> Option<String> {
    const TYPES: [&str; 7] = [
        "string", "integer", "number", "boolean", "array", "object", "null",
    ];
    let types = schema.get("type")?;
    let one = std::slice::from_ref(types);
    let all = types.as_array().map_or(one, Vec::as_slice);
    let wrong = all.iter().find(|t| !TYPES.iter().any(|known| t == known))?;
    let given = wrong.as_str().unwrap_or_default();
    Some(format!(
        "`type` is {wrong}{}",
        instead(given, TYPES.into_iter())
    ))
}

pub(super) fn persistence(written: Option<&written::Persistence>) -> Persistence {
    let default = Persistence::default();
    Persistence {
        rejects: written.and_then(|w| w.rejects).unwrap_or(default.rejects),
        raw: written.and_then(|w| w.raw),
        silver: written.and_then(|w| w.silver).unwrap_or(default.silver),
    }
}
