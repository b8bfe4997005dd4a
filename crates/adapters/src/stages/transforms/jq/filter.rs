//! A jq filter: compiling it, and running it on a record. Everything that reaches outside is replaced by an error.

use jaq_core::data::JustLut;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::native::{bome, run, v};
use jaq_core::{Compiler, Ctx, Error, Native, Vars, compile, unwrap_valr};
use jaq_json::Val;

use crate::stages::record::{Projection, Slots, check_document, kind, kind_name};

use super::wire::Answer;

/// Most bytes of a filter. It also bounds how deep the parser goes.
const LONGEST: usize = 4096;

/// A stack that is deep enough for any filter of that length.
pub(super) const STACK: usize = 64 << 20;

type Data = JustLut<Val>;
type Compiled = jaq_core::Filter<Data>;

/// Does the filter compile?
///
/// # Errors
/// A sentence.
pub(super) fn check(source: &str) -> Result<(), String> {
    let source = source.to_owned();
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || Filter::compile(&source).map(drop))
        .map_err(|e| format!("the filter could not be checked: {e}"))?
        .join()
        .unwrap_or_else(|_| Err("the filter is no jq".into()))
}

/// A filter, ready.
pub(super) struct Filter {
    compiled: Compiled,
    projection: Projection,
    slots: Slots,
}

impl Filter {
    /// Compiles one.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn compile(source: &str) -> Result<Self, String> {
        if source.len() > LONGEST {
            return Err(format!(
                "the filter has {} bytes, allowed are {LONGEST}",
                source.len()
            ));
        }
        let definitions = jaq_core::defs()
            .chain(jaq_std::defs())
            .chain(jaq_json::defs());
        let arena = Arena::default();
        let file = File {
            code: source,
            path: (),
        };
        let modules = Loader::new(definitions)
            .load(&arena, file)
            .map_err(|errors| format!("the filter is no jq: {}", not_loaded(&errors)))?;
        let compiled = Compiler::default()
            .with_funs(functions())
            .compile(modules)
            .map_err(|errors| format!("the filter is no jq: {}", undefined(&errors)))?;
        let projection = Projection::default();
        Ok(Self {
            compiled,
            slots: projection.slots(),
            projection,
        })
    }

    /// What it makes of a record.
    pub(super) fn answer(&mut self, line: &[u8], most_bytes: u64) -> Answer {
        match self.result(line, most_bytes) {
            Ok(Some(record)) => Answer::Record(record),
            Ok(None) => Answer::LeftOut,
            Err(reason) => Answer::Rejected(reason),
        }
    }

    fn result(&mut self, line: &[u8], most_bytes: u64) -> Result<Option<Vec<u8>>, String> {
        check_utf8(line)?;
        self.projection
            .scan(line, &mut self.slots)
            .map_err(|e| e.to_string())?;
        let record = jaq_json::read::parse_single(line).map_err(|e| format!("not JSON: {e}"))?;
        let context = Ctx::<Data>::new(&self.compiled.lut, Vars::new([]));
        let mut results = self.compiled.id.run((context, record)).map(unwrap_valr);
        let Some(first) = results.next() else {
            return Ok(None);
        };
        let first = first.map_err(|error| format!("the filter gave an error: {error}"))?;
        if results.next().is_some() {
            return Err("the filter gave more than one result, and a record becomes one or none; `[..]` makes one of several".into());
        }
        let mut out = Vec::new();
        jaq_json::write::write(&mut out, &jaq_json::write::Pp::default(), 0, &first)
            .map_err(|e| e.to_string())?;
        if kind(&out) != crate::stages::record::Kind::Object {
            return Err(format!(
                "the filter gave {}, and a record has to be an object",
                kind_name(&out)
            ));
        }
        if u64::try_from(out.len()).is_ok_and(|bytes| bytes > most_bytes) {
            return Err(format!(
                "the filter gave {} bytes, and a record may have {most_bytes}",
                out.len()
            ));
        }
        check_document(&out).map_err(|e| format!("the filter gave what JSON does not have (NaN, infinity, keys that are no strings): {e}"))?;
        Ok(Some(out))
    }
}

fn check_utf8(line: &[u8]) -> Result<(), String> {
    crate::stages::record::check_utf8(line).map_err(|e| e.to_string())
}

/// All functions, with errors in place of those that reach outside.
fn functions() -> impl Iterator<Item = jaq_core::native::Fun<Data>> {
    const OUTSIDE: [&str; 5] = [
        "env",
        "halt",
        "stderr_empty",
        "debug_empty",
        "input_filename",
    ];
    let inside = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let replaced: [jaq_core::native::Fun<Data>; 2] = [
        run(("env", v(0), |_| {
            bome(Err(Error::str("there is no `env` here")))
        })),
        run(("halt", v(1), |_| {
            bome(Err(Error::str("there is no `halt` here")))
        })),
    ];
    let silent: [jaq_core::native::Fun<Data>; 2] = [
        run(("stderr_empty", v(0), |_| Box::new(std::iter::empty()))),
        run(("debug_empty", v(0), |_| Box::new(std::iter::empty()))),
    ];
    inside
        .filter(|(name, _, _): &(&str, _, Native<Data>)| !OUTSIDE.contains(name))
        .chain(replaced)
        .chain(silent)
}

/// What is wrong with a text, and where.
fn not_loaded(errors: &load::Errors<&str, ()>) -> String {
    let near = |rest: &str| {
        let rest: String = rest.chars().take(20).collect();
        if rest.is_empty() {
            "at the end".into()
        } else {
            format!("at {rest:?}")
        }
    };
    let told: Vec<String> = errors
        .iter()
        .flat_map(|(_, error)| match error {
            load::Error::Io(errors) => errors
                .iter()
                .map(|(what, _)| format!("there are no modules here, {what:?} is one"))
                .collect(),
            load::Error::Lex(errors) => errors
                .iter()
                .map(|(expected, rest)| format!("{} expected {}", expected.as_str(), near(rest)))
                .collect::<Vec<_>>(),
            load::Error::Parse(errors) => errors
                .iter()
                .map(|(expected, rest)| format!("{} expected {}", expected.as_str(), near(rest)))
                .collect(),
        })
        .collect();
    told.join("; ")
}

fn undefined(errors: &compile::Errors<&str, ()>) -> String {
    let told: Vec<String> = errors
        .iter()
        .flat_map(|(_, errors)| {
            errors
                .iter()
                .map(|(name, what)| format!("there is no {} {name}", what.as_str()))
        })
        .collect();
    told.join("; ")
}
