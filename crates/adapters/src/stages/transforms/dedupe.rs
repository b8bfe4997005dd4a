//! `dedupe`: lets the first record of each key through and leaves the others out.
//!
//! What is kept of a key is the first half of its SHA-256: 128 bits, so that of 10^9 different keys two are taken for one with a probability below 2^-68, whoever chose them.

use std::collections::HashSet;

use model::BoxFuture;
use model::data::Transformer;
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, TransformKind, is_open};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::each::{Became, Each, transformer};
use crate::stages::options;
use crate::stages::record::{self, Path, Projection, Slots};

/// The kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dedupe;

/// Options of `dedupe`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Paths of the fields that make the key: `id`, `user.id`. Records with the same values there are the same; nothing there and null are the same, `1` and `1.0` are, `1` and `"1"` are
    /// not, and the order of an object's members does not count. Default: all fields, that is the whole record.
    #[serde(default)]
    keys: Vec<String>,
    /// Most keys that are remembered; each takes up to 40 bytes of memory. From 2 to 100,000,000. Default: 1,000,000.
    #[serde(default = "one_million")]
    #[schemars(range(min = 2, max = 100_000_000))]
    max_keys: u32,
    /// What to do when there are more keys than that. Default: fail.
    #[serde(default)]
    when_full: WhenFull,
}

fn one_million() -> u32 {
    1_000_000
}

/// What to do when all places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WhenFull {
    /// The run fails, with a sentence that says so.
    #[default]
    Fail,
    /// The older half of the keys is forgotten: a record that comes again much later goes through again.
    Forget,
}

impl Options {
    fn paths(&self) -> Result<Vec<Path>, Vec<Misfit>> {
        let mut misfits = Vec::new();
        let mut paths = Vec::new();
        for (at, key) in self.keys.iter().enumerate() {
            if is_open(key) {
                continue;
            }
            match Path::parse(key) {
                Ok(path) => paths.push(path),
                Err(message) => misfits.push(Misfit::new(format!("/keys/{at}"), message)),
            }
        }
        if !(2..=100_000_000).contains(&self.max_keys) {
            let message = format!("{} is not from 2 to 100000000", self.max_keys);
            misfits.push(Misfit::new("/max_keys", message));
        }
        if misfits.is_empty() {
            Ok(paths)
        } else {
            Err(misfits)
        }
    }
}

impl Kind for Dedupe {
    fn described(&self) -> Described {
        Described {
            name: "dedupe",
            summary: "Lets the first record of each key through and leaves the others out.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, given: &Value) -> Vec<Misfit> {
        options::check(given, |options: Options| {
            options.paths().err().unwrap_or_default()
        })
    }
}

impl TransformKind for Dedupe {
    fn sees_all(&self, _: &Value) -> bool {
        true
    }

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
            let paths = options.paths().map_err(options::misfits)?;
            let mut projection = Projection::default();
            let keys = paths.iter().map(|path| projection.want(path)).collect();
            Ok(transformer(Deduping {
                slots: projection.slots(),
                projection,
                keys,
                max_keys: usize::try_from(options.max_keys).unwrap_or(usize::MAX),
                when_full: options.when_full,
                seen: HashSet::new(),
                before: HashSet::new(),
                key: Vec::new(),
            }))
        })
    }
}

#[derive(Debug)]
struct Deduping {
    projection: Projection,
    slots: Slots,
    keys: Vec<usize>,
    max_keys: usize,
    when_full: WhenFull,
    seen: HashSet<u128>,
    /// With [`WhenFull::Forget`], the older half.
    before: HashSet<u128>,
    key: Vec<u8>,
}

impl Deduping {
    /// Writes the key of a record in one way for all that are the same.
    fn key(&mut self, line: &[u8]) {
        self.key.clear();
        if self.keys.is_empty() {
            value(&mut self.key, line.trim_ascii());
            return;
        }
        for slot in &self.keys {
            value(
                &mut self.key,
                self.slots.get(line, *slot).unwrap_or(b"null"),
            );
            self.key.push(b'\n');
        }
    }

    /// Is the key new? It is remembered.
    fn is_new(&mut self) -> Result<bool, Fault> {
        let digest = Sha256::digest(&self.key);
        let Some(half) = digest.first_chunk::<16>() else {
            return Err(Fault::Internal("a digest without bytes".into()));
        };
        let hash = u128::from_le_bytes(*half);
        if self.seen.contains(&hash) || self.before.contains(&hash) {
            return Ok(false);
        }
        match self.when_full {
            WhenFull::Fail if self.seen.len() >= self.max_keys => {
                return Err(Fault::Invalid(format!(
                    "there are more than {} different keys; `max_keys` allows more, and `when_full: forget` goes on with the newer half",
                    self.max_keys
                )));
            }
            WhenFull::Forget if self.seen.len() >= self.max_keys / 2 => {
                self.before = std::mem::take(&mut self.seen);
            }
            WhenFull::Fail | WhenFull::Forget => (),
        }
        Ok(self.seen.insert(hash))
    }
}

/// Writes a value in one way. A line break ends it, and there is none inside.
fn value(out: &mut Vec<u8>, raw: &[u8]) {
    match record::kind(raw) {
        record::Kind::Null | record::Kind::Boolean => out.extend_from_slice(raw),
        record::Kind::Number => match record::canonical(raw) {
            Some(number) => out.extend_from_slice(number.as_bytes()),
            None => out.extend_from_slice(raw),
        },
        record::Kind::String => match record::text(raw) {
            Some(text) => record::string(out, &text),
            None => out.extend_from_slice(raw),
        },
        record::Kind::List | record::Kind::Object => match serde_json::from_slice(raw) {
            Ok(tree) => ordered(out, &tree),
            Err(_) => out.extend_from_slice(raw),
        },
    }
}

fn ordered(out: &mut Vec<u8>, tree: &Value) {
    match tree {
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                ordered(out, item);
                out.push(b',');
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            for (name, item) in members {
                record::string(out, name);
                out.push(b':');
                ordered(out, item);
                out.push(b',');
            }
            out.push(b'}');
        }
        leaf => value(out, leaf.to_string().as_bytes()),
    }
}

impl Each for Deduping {
    const WRITES: bool = false;

    fn record(&mut self, line: &[u8], _: &mut Vec<u8>) -> Result<Became, Fault> {
        if let Err(malformed) = self.projection.scan(line, &mut self.slots) {
            return Ok(Became::Rejected(malformed.to_string()));
        }
        self.key(line);
        Ok(if self.is_new()? {
            Became::Same
        } else {
            Became::LeftOut
        })
    }
}
