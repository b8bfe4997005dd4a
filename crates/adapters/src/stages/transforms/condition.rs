//! A condition on a record, written in CEL. Comparisons of a field with a constant, `in` a list of constants, `has`, `startsWith`, `endsWith`, `contains`, `&&`, `||` and `!` of them
//! run over the bytes of the record; every other part runs in the CEL interpreter, which gets only the fields it names. Both say the same; the tests hold them side by side.

mod bound;
mod evaluate;
mod interpret;
mod native;

use crate::stages::record::{Projection, Slots};

use evaluate::Node;

/// Most bytes of a condition.
const LONGEST: usize = 4096;

/// A condition, ready to be asked.
#[derive(Debug)]
pub(super) struct Condition {
    projection: Projection,
    root: Node,
}

/// What conditions can call. CEL's standard library, without what concerns its own kinds of bytes and protocol buffers.
const FUNCTIONS: [&str; 28] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "has",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
    "all",
    "exists",
];

impl Condition {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence with what is wrong and where.
    pub(super) fn compile(source: &str) -> Result<Self, String> {
        let program = parse(source)?;
        let mut projection = Projection::default();
        let root = native::compile(program.expression(), &mut projection, true);
        Ok(Self { projection, root })
    }

    /// The same with no part run over the bytes: what tests compare with.
    #[cfg(test)]
    pub(super) fn interpreted(source: &str) -> Result<Self, String> {
        let program = parse(source)?;
        let mut projection = Projection::default();
        let root = native::compile(program.expression(), &mut projection, false);
        Ok(Self { projection, root })
    }

    /// Room for one record.
    pub(super) fn slots(&self) -> Slots {
        self.projection.slots()
    }

    /// Does it hold for this record, whose UTF-8 was checked? An error is a sentence: the line is no record, or the condition has no answer for it.
    pub(super) fn holds(&self, line: &[u8], slots: &mut Slots) -> Result<bool, String> {
        self.projection
            .scan(line, slots)
            .map_err(|malformed| malformed.to_string())?;
        self.root
            .holds(line, slots)
            .map_err(|trouble| trouble.say(&self.projection))
    }
}

fn parse(source: &str) -> Result<cel::Program, String> {
    if source.len() > LONGEST {
        return Err(format!(
            "the condition has {} bytes, allowed are {LONGEST}",
            source.len()
        ));
    }
    let program = cel::Env::stdlib().compile(source).map_err(|errors| {
        let said = errors.errors.iter();
        let said = said.map(|e| (e.pos.0, e.pos.1, e.msg.as_str()));
        format!("the condition {}", model::cel::wrong(said))
    })?;
    bound::check(program.expression())?;
    let references = program.references();
    let mut unknown: Vec<_> = references
        .functions()
        .into_iter()
        .filter(|name| !name.contains(['_', '@', '.']) && !FUNCTIONS.contains(name))
        .collect();
    unknown.sort_unstable();
    if let Some(name) = unknown.first() {
        return Err(format!(
            "the condition calls {name}, and there is no such function; there are {}",
            FUNCTIONS.join(", ")
        ));
    }
    Ok(program)
}

#[cfg(test)]
mod tests;
