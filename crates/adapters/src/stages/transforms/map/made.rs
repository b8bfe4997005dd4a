//! The plan of a `map`: what is written for each field.

use std::collections::BTreeSet;

use model::stage::{Misfit, is_open};
use serde_json::Value;

use crate::stages::record::{Path, Projection, Slots, shown, string};

use super::apply::{Cell, Change};
use super::options::{Field, Fields, Missing, Options};

/// What is written for a record.
#[derive(Debug)]
pub(super) struct Plan {
    projection: Projection,
    fields: Vec<Made>,
    rest: bool,
    /// Fields of the record that do not go on by themselves.
    taken: BTreeSet<String>,
}

/// A field.
#[derive(Debug)]
struct Made {
    name: String,
    /// The name as JSON, and a colon.
    key: Vec<u8>,
    from: From,
}

/// Where its value comes from.
#[derive(Debug)]
enum From {
    Path {
        slot: usize,
        default: Option<Vec<u8>>,
        changes: Vec<Change>,
        missing: Missing,
    },
    Constant(Vec<u8>),
    Object(Vec<Made>),
}

impl Plan {
    /// Makes it.
    ///
    /// # Errors
    /// All that does not fit.
    pub(super) fn of(options: &Options) -> Result<Self, Vec<Misfit>> {
        let mut making = Making {
            projection: Projection::default(),
            taken: BTreeSet::new(),
            missing: options.missing,
            misfits: Vec::new(),
        };
        if options.fields.0.is_empty() && !options.rest {
            let message =
                "there are no fields, and `rest` is not true: every record would be empty";
            making.misfits.push(Misfit::new("/fields", message));
        }
        let fields = making.fields(&options.fields, "/fields");
        if !making.misfits.is_empty() {
            return Err(making.misfits);
        }
        let mut taken = making.taken;
        taken.extend(options.fields.0.iter().map(|(name, _)| name.clone()));
        Ok(Self {
            projection: making.projection,
            fields,
            rest: options.rest,
            taken,
        })
    }

    pub(super) fn projection(&self) -> &Projection {
        &self.projection
    }

    pub(super) fn slots(&self) -> Slots {
        self.projection.slots()
    }

    /// Are the other fields kept?
    pub(super) fn rest(&self) -> bool {
        self.rest
    }

    /// Is a field of the old record not kept by itself?
    pub(super) fn takes(&self, name: &str) -> bool {
        self.taken.contains(name)
    }

    /// Writes the members of the new record, without braces. Returns whether there was none.
    ///
    /// # Errors
    /// Why the record is rejected.
    pub(super) fn write(
        &self,
        line: &[u8],
        slots: &Slots,
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<bool, String> {
        let record = Record {
            projection: &self.projection,
            line,
            slots,
            most,
            full: out.len().saturating_add(most),
        };
        members(&self.fields, &record, out)
    }
}

/// What is the same for all fields of a record.
struct Record<'a> {
    projection: &'a Projection,
    line: &'a [u8],
    slots: &'a Slots,
    /// Bytes that the new record may have, and where it has them.
    most: usize,
    full: usize,
}

struct Making {
    projection: Projection,
    taken: BTreeSet<String>,
    missing: Missing,
    misfits: Vec<Misfit>,
}

impl Making {
    fn fields(&mut self, fields: &Fields, pointer: &str) -> Vec<Made> {
        let mut made = Vec::with_capacity(fields.0.len());
        for (name, field) in &fields.0 {
            let here = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            let mut key = Vec::new();
            string(&mut key, name);
            key.push(b':');
            let from = match field {
                Field::Path { path, .. } if is_open(path) => continue,
                Field::Path {
                    path,
                    default,
                    apply,
                    missing,
                } => match Path::parse(path) {
                    Ok(path) => {
                        self.taken.extend(path.top().map(str::to_owned));
                        From::Path {
                            slot: self.projection.want(&path),
                            default: default.as_ref().map(json),
                            changes: apply.iter().map(Change::of).collect(),
                            missing: missing.unwrap_or(self.missing),
                        }
                    }
                    Err(message) => {
                        self.misfits.push(Misfit::new(here, message));
                        continue;
                    }
                },
                Field::Constant(value) => From::Constant(json(value)),
                Field::Object(fields) => {
                    From::Object(self.fields(fields, &format!("{here}/fields")))
                }
            };
            made.push(Made {
                name: name.clone(),
                key,
                from,
            });
        }
        made
    }
}

fn json(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn members(fields: &[Made], record: &Record<'_>, out: &mut Vec<u8>) -> Result<bool, String> {
    let mut first = true;
    for field in fields {
        let before = out.len();
        if !first {
            out.push(b',');
        }
        out.extend_from_slice(&field.key);
        if field.value(record, out)? {
            first = false;
            if out.len() > record.full {
                return Err(format!(
                    "the record it makes has more than {} bytes, which `limits.record_bytes` allows",
                    record.most
                ));
            }
        } else {
            out.truncate(before);
        }
    }
    Ok(first)
}

impl Made {
    /// Writes its value; false: it has none.
    #[inline]
    fn value(&self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<bool, String> {
        let (slot, default, changes, missing) = match &self.from {
            From::Constant(value) => {
                out.extend_from_slice(value);
                return Ok(true);
            }
            From::Object(fields) => {
                out.push(b'{');
                members(fields, record, out)?;
                out.push(b'}');
                return Ok(true);
            }
            From::Path {
                slot,
                default,
                changes,
                missing,
            } => (*slot, default, changes, *missing),
        };
        let raw = match (record.slots.get(record.line, slot), default) {
            (Some(b"null") | None, Some(default)) => default,
            (Some(raw), _) => raw,
            (None, None) => match missing {
                Missing::Null => b"null".as_slice(),
                Missing::Omit => return Ok(false),
                Missing::Reject => {
                    let path = record.projection.path(slot).map(ToString::to_string);
                    return Err(format!(
                        "field {}: the record has nothing at {}",
                        self.name,
                        path.unwrap_or_default()
                    ));
                }
            },
        };
        if changes.is_empty() {
            out.extend_from_slice(raw);
            return Ok(true);
        }
        let mut cell = Cell::Raw(raw);
        for change in changes {
            cell = change.apply(cell, record.most).map_err(|wrong| {
                format!(
                    "field {}: {wrong}, and the record has {}",
                    self.name,
                    shown(raw)
                )
            })?;
        }
        cell.write(out)
            .map_err(|wrong| format!("field {}: {wrong}", self.name))?;
        Ok(true)
    }
}
