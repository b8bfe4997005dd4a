//! `convert`: makes values what they are to be: numbers of strings, instants of dates in many forms, and so on. The rest of a record stays as it stands.

mod dates;
mod options;
mod values;

use model::BoxFuture;
use model::data::Transformer;
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, TransformKind, is_open};
use serde_json::Value;

use super::each::{Became, Each, transformer};
use crate::stages::options as common;
use crate::stages::record::{Path, Projection, Slots, shown, string};

use options::{Mode, Options};
use values::{Done, Target};

/// The kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Convert;

impl Kind for Convert {
    fn described(&self) -> Described {
        Described {
            name: "convert",
            summary: "Makes values of fields integers, numbers, strings, booleans, timestamps, dates or JSON.",
            options: common::schema::<Options>(),
        }
    }

    fn check(&self, given: &Value) -> Vec<Misfit> {
        common::check(given, |options: Options| {
            Converting::of(&options).err().unwrap_or_default()
        })
    }
}

impl TransformKind for Convert {
    fn parses(&self, _: &Value) -> bool {
        true
    }

    fn open(
        &self,
        config: String,
        _: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Transformer>, Fault>> {
        Box::pin(async move {
            let options: Options = common::read(&config)?;
            let converting = Converting::of(&options).map_err(common::misfits)?;
            Ok(transformer(converting))
        })
    }
}

#[derive(Debug)]
struct Converting {
    projection: Projection,
    slots: Slots,
    targets: Vec<(usize, Target)>,
    mode: Mode,
    /// The field that lists what could not be converted: its slot and its name.
    failed: Option<(usize, String)>,
    /// For one record: from, to, and what stands there instead (a part of `written`). Kept to be filled again.
    changes: Vec<(usize, usize, std::ops::Range<usize>)>,
    written: Vec<u8>,
}

impl Converting {
    fn of(options: &Options) -> Result<Self, Vec<Misfit>> {
        let mut misfits = Vec::new();
        let mut projection = Projection::default();
        let mut targets: Vec<(usize, Target)> = Vec::new();
        let mut paths: Vec<Path> = Vec::new();
        for (name, conversion) in &options.fields {
            if is_open(name) {
                continue;
            }
            let here = format!("/fields/{}", name.replace('~', "~0").replace('/', "~1"));
            let path = match Path::parse(name) {
                Ok(path) => path,
                Err(message) => {
                    misfits.push(Misfit::new(here, message));
                    continue;
                }
            };
            if let Some(other) = paths.iter().find(|p| overlap(p, &path)) {
                misfits.push(Misfit::new(here, format!("{path} and {other} are in one another; convert one of them here, and the other in a stage of its own")));
                continue;
            }
            match Target::of(&conversion.0) {
                Ok(target) => targets.push((projection.want(&path), target)),
                Err((key, message)) => misfits.push(Misfit::new(format!("{here}/{key}"), message)),
            }
            paths.push(path);
        }
        let failed = options.failed.clone().map(|name| {
            let steps = vec![crate::stages::record::Step::Key(name.clone())];
            let path = Path::of_steps(steps, name.clone());
            if options.mode == Mode::Strict {
                misfits.push(Misfit::new(
                    "/failed",
                    "`failed` goes with `mode: lenient`: in strict mode the record is rejected",
                ));
            }
            if paths.iter().any(|p| overlap(p, &path)) {
                misfits.push(Misfit::new(
                    "/failed",
                    format!("{name} is converted itself"),
                ));
            }
            (projection.want(&path), name)
        });
        if !misfits.is_empty() {
            return Err(misfits);
        }
        Ok(Self {
            slots: projection.slots(),
            projection,
            targets,
            mode: options.mode,
            failed,
            changes: Vec::new(),
            written: Vec::new(),
        })
    }

    /// Finds what changes; none of it is written to the record yet.
    fn convert(&mut self, line: &[u8]) -> Result<(), String> {
        self.changes.clear();
        self.written.clear();
        let mut failed = Vec::new();
        for (slot, target) in &self.targets {
            let Some(raw) = self.slots.get(line, *slot).filter(|raw| *raw != b"null") else {
                continue;
            };
            let Some((start, end)) = self.slots.place(*slot) else {
                continue;
            };
            let from = self.written.len();
            let path = || {
                self.projection
                    .path(*slot)
                    .map(ToString::to_string)
                    .unwrap_or_default()
            };
            match target.convert(raw, &mut self.written) {
                Done::Same => continue,
                Done::Written => (),
                Done::Impossible if self.mode == Mode::Strict => {
                    return Err(format!(
                        "{}: {} is no {}",
                        path(),
                        shown(raw),
                        target.name()
                    ));
                }
                Done::Impossible => {
                    self.written.truncate(from);
                    self.written.extend_from_slice(b"null");
                    failed.push(path());
                }
            }
            self.changes.push((start, end, from..self.written.len()));
        }
        if let Some((slot, name)) = self.failed.as_ref().filter(|_| !failed.is_empty()) {
            let from = self.written.len();
            let place = self.slots.place(*slot).unwrap_or_else(|| {
                // A record with a field to convert is not empty: before its `}` there is a member.
                let end = line.trim_ascii_end().len().saturating_sub(1);
                self.written.push(b',');
                string(&mut self.written, name);
                self.written.push(b':');
                (end, end)
            });
            let _never_fails = serde_json::to_writer(&mut self.written, &failed);
            self.changes
                .push((place.0, place.1, from..self.written.len()));
        }
        self.changes.sort_unstable_by_key(|(start, _, _)| *start);
        Ok(())
    }

    /// Writes the record with the changes.
    fn write(&self, line: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        for (start, end, change) in &self.changes {
            out.extend_from_slice(line.get(at..*start).unwrap_or_default());
            out.extend_from_slice(self.written.get(change.clone()).unwrap_or_default());
            at = *end;
        }
        out.extend_from_slice(line.get(at..).unwrap_or_default());
    }
}

/// Is one path in the other, or may it be?
fn overlap(a: &Path, b: &Path) -> bool {
    use crate::stages::record::Step;
    let same = |(a, b): (&Step, &Step)| match (a, b) {
        (Step::Either(name, _), Step::Key(key)) | (Step::Key(key), Step::Either(name, _)) => {
            name == key
        }
        (Step::Either(_, at), Step::Index(index)) | (Step::Index(index), Step::Either(_, at)) => {
            at == index
        }
        (a, b) => a == b,
    };
    a.steps().iter().zip(b.steps()).all(same)
}

impl Each for Converting {
    const WRITES: bool = true;

    fn record(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<Became, Fault> {
        if let Err(malformed) = self.projection.scan(line, &mut self.slots) {
            return Ok(Became::Rejected(malformed.to_string()));
        }
        if let Err(reason) = self.convert(line) {
            return Ok(Became::Rejected(reason));
        }
        if self.changes.is_empty() {
            return Ok(Became::Same);
        }
        self.write(line, out);
        Ok(Became::Written)
    }
}
