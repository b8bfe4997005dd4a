//! Paths to a value in a record, as specs write them: `user.id`, `tags[0]`, `user["odd key"]`, or a JSON pointer `/user/id`.

use std::fmt;

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// To the member of an object.
    Key(String),
    /// To the item of a list, from 0.
    Index(usize),
    /// A number in a JSON pointer: either, as the value has it.
    Either(String, usize),
}

/// Where in a record a value is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Path {
    steps: Vec<Step>,
    written: String,
}

/// What a path looks like, for messages.
const ALLOWED: &str =
    "a path is `user.id`, `tags[0]`, `user[\"odd key\"]` or a JSON pointer such as `/user/id`";

impl Path {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence with what was given and what is allowed.
    pub(crate) fn parse(written: &str) -> Result<Self, String> {
        let steps = match written.strip_prefix('/') {
            Some(pointer) => Some(from_pointer(pointer)),
            None => from_dots(written),
        };
        let steps = steps
            .filter(|steps| !steps.is_empty() && steps.len() <= 100)
            .ok_or_else(|| format!("{written:?} is no path; {ALLOWED}"))?;
        Ok(Self {
            steps,
            written: written.into(),
        })
    }

    /// One of these steps, at least one; `written` is for messages.
    pub(crate) fn of_steps(steps: Vec<Step>, written: String) -> Self {
        Self { steps, written }
    }

    /// Its steps, at least one.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The name, where it is one of the record itself.
    pub(crate) fn top(&self) -> Option<&str> {
        match self.steps.as_slice() {
            [Step::Key(name) | Step::Either(name, _)] => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn from_pointer(pointer: &str) -> Vec<Step> {
    pointer
        .split('/')
        .map(|token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match token.parse::<usize>() {
                Ok(index) if index.to_string() == token => Step::Either(token, index),
                _ => Step::Key(token),
            }
        })
        .collect()
}

fn from_dots(written: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = written;
    let mut first = true;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (step, after) = bracket(inside)?;
            steps.push(step);
            rest = after;
        } else {
            let name = if first { rest } else { rest.strip_prefix('.')? };
            let end = name.find(['.', '[', ']']).unwrap_or(name.len());
            let (name, after) = name.split_at_checked(end)?;
            if name.is_empty() {
                return None;
            }
            steps.push(Step::Key(name.into()));
            rest = after;
        }
        first = false;
    }
    Some(steps)
}

/// What is in brackets, and what comes after them: a number, or a string as JSON writes it.
fn bracket(inside: &str) -> Option<(Step, &str)> {
    if inside.starts_with('"') {
        let mut strings = serde_json::Deserializer::from_str(inside).into_iter::<String>();
        let name = strings.next()?.ok()?;
        let after = inside.get(strings.byte_offset()..)?.strip_prefix(']')?;
        return Some((Step::Key(name), after));
    }
    let (number, after) = inside.split_once(']')?;
    Some((Step::Index(number.parse().ok()?), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_or_said_to_be_none() {
        for bad in [
            "", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", "a]b", "a[\"b]", "a[0]b",
        ] {
            let said = Path::parse(bad).unwrap_err();
            assert!(
                said.contains(&format!("{bad:?}")) && said.contains("tags[0]"),
                "{said}"
            );
        }
        let key = |name: &str| Step::Key(name.into());
        let check = |written: &str, steps: &[Step]| {
            assert_eq!(Path::parse(written).unwrap().steps(), steps, "{written}");
        };
        check("a", &[key("a")]);
        check("user.id", &[key("user"), key("id")]);
        check("tags[0]", &[key("tags"), Step::Index(0)]);
        check(
            "a[\"b.c]\"].d[1][2]",
            &[
                key("a"),
                key("b.c]"),
                key("d"),
                Step::Index(1),
                Step::Index(2),
            ],
        );
        check("[\"odd key\"]", &[key("odd key")]);
        check(
            "/a~1b/~0/0",
            &[key("a/b"), key("~"), Step::Either("0".into(), 0)],
        );
        check("/", &[key("")]);
    }
}
