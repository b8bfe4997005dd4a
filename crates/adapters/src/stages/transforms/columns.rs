//! `columns`: keeps, drops, renames, adds and orders the fields of a record itself. Values are not looked at.

use std::collections::{BTreeMap, BTreeSet};

use model::BoxFuture;
use model::data::Transformer;
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, TransformKind};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::each::{Became, Each, transformer};
use crate::stages::options;
use crate::stages::record::{Member, Projection, Slots, string};

/// The kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns;

/// Options of `columns`. What they say is done in the order they stand here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Only these fields stay, in the order of the record. Default: all. Not together with `drop`.
    keep: Option<Vec<String>>,
    /// These fields go. Default: none.
    #[serde(default)]
    drop: Vec<String>,
    /// Old names and new names of fields; a field keeps its place. A record that has a field of the new name already is rejected. Default: none.
    #[serde(default)]
    rename: BTreeMap<String, String>,
    /// Fields and their values for records that have no field of that name, by now; they come last. Default: none.
    #[serde(default)]
    add: Map<String, Value>,
    /// These fields come first, in this order; the others follow as they stood. Names are the new ones. Default: none.
    #[serde(default)]
    reorder: Vec<String>,
}

impl Options {
    fn misfits(&self) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        if self.keep.is_some() && !self.drop.is_empty() {
            misfits.push(Misfit::new(
                "/drop",
                "`keep` and `drop` do not go together: what is not kept is dropped",
            ));
        }
        let mut names = BTreeSet::new();
        for (old, new) in &self.rename {
            if !names.insert(new) {
                misfits.push(Misfit::new(
                    format!("/rename/{old}"),
                    format!("two fields would be called {new:?}"),
                ));
            }
            let stays = self.keep.as_ref().is_none_or(|keep| keep.contains(old))
                && !self.drop.contains(old);
            if !stays {
                misfits.push(Misfit::new(
                    format!("/rename/{old}"),
                    format!("{old:?} is dropped before; `keep` and `drop` take the old names"),
                ));
            }
        }
        let mut seen = BTreeSet::new();
        for (at, name) in self.reorder.iter().enumerate() {
            if !seen.insert(name) {
                misfits.push(Misfit::new(
                    format!("/reorder/{at}"),
                    format!("{name:?} is there twice"),
                ));
            }
        }
        misfits
    }
}

impl Kind for Columns {
    fn described(&self) -> Described {
        Described {
            name: "columns",
            summary: "Keeps, drops, renames, adds and orders the fields of a record.",
            options: options::schema::<Options>(),
        }
    }

    fn is_data(&self, pointer: &str) -> bool {
        pointer.starts_with("/add/")
    }

    fn check(&self, given: &Value) -> Vec<Misfit> {
        options::check(given, |options: Options| options.misfits())
    }
}

impl TransformKind for Columns {
    fn parses(&self, _: &Value) -> bool {
        true
    }

    fn open(
        &self,
        config: String,
        _: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Transformer>, Fault>> {
        Box::pin(async move {
            let options: Options = options::read(&config)?;
            let misfits = options.misfits();
            options::refuse(misfits)?;
            Ok(transformer(Arranging::of(options)))
        })
    }
}

/// A field as it goes on.
struct Field<'a> {
    /// Its new name as JSON; none: as it stands.
    renamed: Option<&'a str>,
    member: Member<'a>,
}

#[derive(Debug)]
struct Arranging {
    keep: Option<BTreeSet<String>>,
    drop: BTreeSet<String>,
    rename: BTreeMap<String, String>,
    /// The name, and the whole member as JSON.
    add: Vec<(String, Vec<u8>)>,
    first: Vec<String>,
    projection: Projection,
    slots: Slots,
}

impl Arranging {
    fn of(options: Options) -> Self {
        let add = options.add.into_iter().map(|(name, value)| {
            let mut member = Vec::new();
            string(&mut member, &name);
            member.push(b':');
            member.extend_from_slice(value.to_string().as_bytes());
            (name, member)
        });
        Self {
            keep: options.keep.map(|keep| keep.into_iter().collect()),
            drop: options.drop.into_iter().collect(),
            rename: options.rename,
            add: add.collect(),
            first: options.reorder,
            projection: Projection::default(),
            slots: Slots::default(),
        }
    }

    /// The fields that go on, with the names they go on with.
    fn fields<'a>(
        &'a self,
        members: &[Member<'a>],
    ) -> Result<Vec<(std::borrow::Cow<'a, str>, Field<'a>)>, String> {
        let mut fields: Vec<(std::borrow::Cow<'a, str>, Field<'a>)> =
            Vec::with_capacity(members.len());
        for member in members {
            let name = member.name();
            let dropped = self.drop.contains(name.as_ref())
                || self
                    .keep
                    .as_ref()
                    .is_some_and(|keep| !keep.contains(name.as_ref()));
            if dropped {
                continue;
            }
            let renamed = self.rename.get(name.as_ref()).map(String::as_str);
            let name = renamed.map_or(name, Into::into);
            fields.push((
                name,
                Field {
                    renamed,
                    member: *member,
                },
            ));
        }
        for new in self.rename.values() {
            let mut same = fields.iter().filter(|(name, _)| name == new);
            let renamed = same.clone().any(|(_, field)| field.renamed.is_some());
            if renamed && same.any(|(_, field)| field.renamed.is_none()) {
                return Err(format!(
                    "a field would be renamed to {new}, and the record has one of that name"
                ));
            }
        }
        Ok(fields)
    }

    fn write(&self, fields: &[(std::borrow::Cow<'_, str>, Field<'_>)], out: &mut Vec<u8>) {
        let mut first = true;
        let mut comma = |out: &mut Vec<u8>| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
        };
        out.push(b'{');
        let added = |name: &str| {
            let there = fields.iter().any(|(n, _)| n == name);
            let add = self.add.iter().find(|(n, _)| n == name);
            add.filter(|_| !there)
        };
        for wanted in &self.first {
            for (_, field) in fields.iter().filter(|(name, _)| name == wanted) {
                comma(out);
                field.write(out);
            }
            if let Some((_, member)) = added(wanted) {
                comma(out);
                out.extend_from_slice(member);
            }
        }
        let placed = |name: &str| self.first.iter().any(|n| n == name);
        for (_, field) in fields.iter().filter(|(name, _)| !placed(name)) {
            comma(out);
            field.write(out);
        }
        for (name, member) in &self.add {
            if !placed(name) && added(name).is_some() {
                comma(out);
                out.extend_from_slice(member);
            }
        }
        out.push(b'}');
    }
}

impl Field<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self.renamed {
            Some(name) => string(out, name),
            None => out.extend_from_slice(self.member.key),
        }
        out.push(b':');
        out.extend_from_slice(self.member.value);
    }
}

impl Each for Arranging {
    const WRITES: bool = true;

    fn record(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<Became, Fault> {
        let mut members = Vec::new();
        if let Err(malformed) = self
            .projection
            .scan_members(line, &mut self.slots, &mut members)
        {
            return Ok(Became::Rejected(malformed.to_string()));
        }
        Ok(match self.fields(&members) {
            Ok(fields) => {
                self.write(&fields, out);
                Became::Written
            }
            Err(reason) => Became::Rejected(reason),
        })
    }
}
