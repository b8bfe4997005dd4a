//! `map`: makes a new record of a record's fields: picks, renames, defaults, constants, nested objects, and small changes of values.

mod apply;
mod made;
mod options;

use model::BoxFuture;
use model::data::Transformer;
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, TransformKind};
use serde_json::Value;

use super::each::{Became, Each, transformer};
use crate::stages::options as common;
use crate::stages::record::{Member, Slots, text};

use made::Plan;
use options::Options;

/// The kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map;

impl Kind for Map {
    fn described(&self) -> Described {
        Described {
            name: "map",
            summary: "Makes a new record of a record's fields: picks, renames, defaults, constants, nested objects, small changes of values.",
            options: common::schema::<Options>(),
        }
    }

    fn is_data(&self, pointer: &str) -> bool {
        pointer.starts_with("/fields/")
    }

    fn check(&self, given: &Value) -> Vec<Misfit> {
        common::check(given, |options: Options| {
            Plan::of(&options).err().unwrap_or_default()
        })
    }
}

impl TransformKind for Map {
    fn parses(&self, _: &Value) -> bool {
        true
    }

    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Transformer>, Fault>> {
        Box::pin(async move {
            let options: Options = common::read(&config)?;
            let plan = match Plan::of(&options) {
                Ok(plan) => plan,
                Err(misfits) => return Err(common::misfits(misfits)),
            };
            let slots = plan.slots();
            Ok(transformer(Mapping {
                plan,
                slots,
                most: usize::try_from(context.record_bytes).unwrap_or(usize::MAX),
            }))
        })
    }
}

#[derive(Debug)]
struct Mapping {
    plan: Plan,
    slots: Slots,
    /// Bytes of a record.
    most: usize,
}

impl Each for Mapping {
    const WRITES: bool = true;

    fn record(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<Became, Fault> {
        let mut members = Vec::new();
        let found = if self.plan.rest() {
            let projection = self.plan.projection();
            projection.scan_members(line, &mut self.slots, &mut members)
        } else {
            self.plan.projection().scan(line, &mut self.slots)
        };
        if let Err(malformed) = found {
            return Ok(Became::Rejected(malformed.to_string()));
        }
        Ok(match self.write(line, &members, out) {
            Ok(()) => Became::Written,
            Err(reason) => Became::Rejected(reason),
        })
    }
}

impl Mapping {
    fn write(&self, line: &[u8], members: &[Member<'_>], out: &mut Vec<u8>) -> Result<(), String> {
        out.push(b'{');
        let mut first = self.plan.write(line, &self.slots, out, self.most)?;
        for member in members {
            let kept = match text(member.key) {
                Some(name) => !self.plan.takes(&name),
                None => true,
            };
            if kept {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                out.extend_from_slice(member.key);
                out.push(b':');
                out.extend_from_slice(member.value);
            }
        }
        out.push(b'}');
        Ok(())
    }
}
