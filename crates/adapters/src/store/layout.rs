//! The tables, as steps that a database has taken or not. A step that was released is never changed; what is to be different is a further one.
//!
//! `{int}`, `{text}`, `{bytes}` are what the database calls those; `{serial}` is a key it gives out itself and never twice; `{end}` closes a table.

/// The steps, from 1.
pub(super) const ALL: Steps = &[concat!(
    include_str!("layout/1.sql"),
    include_str!("layout/plugins.sql")
)];
/// Those of a database that keeps only what plugins keep.
pub(super) const PLUGINS: Steps = &[include_str!("layout/plugins.sql")];

pub(super) type Steps = &'static [&'static str];

/// What a database calls things.
pub(super) struct Dialect {
    pub(super) int: &'static str,
    pub(super) text: &'static str,
    pub(super) bytes: &'static str,
    pub(super) serial: &'static str,
    pub(super) end: &'static str,
}

impl Dialect {
    /// A step in its words.
    pub(super) fn say(&self, step: &str) -> String {
        step.replace("{int}", self.int)
            .replace("{text}", self.text)
            .replace("{bytes}", self.bytes)
            .replace("{serial}", self.serial)
            .replace("{end}", self.end)
    }
}

/// The steps still to take by a database that took `taken`, with their numbers.
///
/// # Errors
/// A sentence, when it took steps that are not known here.
pub(super) fn missing(
    steps: Steps,
    taken: i64,
) -> Result<impl Iterator<Item = (i64, &'static str)>, String> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if taken > known {
        return Err(format!(
            "it has layout {taken}, made by a newer version of Weir; this one knows {known}"
        ));
    }
    let numbered = (1..).zip(steps.iter().copied());
    Ok(numbered.filter(move |(number, _)| *number > taken))
}
