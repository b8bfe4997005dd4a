//! A string of a stage's options, cut into what stands as it is, templates and references. What they stand for is decided elsewhere.

use crate::nearest::quoted;

/// Most bytes between `{{` and `}}`.
const MAX_EXPRESSION: usize = 512;

/// A part of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Stands as it is.
    Text(&'a str),
    /// Between `{{` and `}}`, without white space around it.
    Expression(&'a str),
    /// Between `${` and `}`: `env:NAME` or `file:path`.
    Reference(&'a str),
}

/// Cuts a string.
///
/// # Errors
/// What is not closed, or not allowed.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '$']) {
        let (before, from) = rest.split_at(at);
        push_text(&mut pieces, before);
        if let Some(after) = from.strip_prefix("$${") {
            pieces.push(Piece::Text("${"));
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            let (name, after) = after
                .split_once('}')
                .ok_or("`${` is not closed by `}`; write `$${` for the characters themselves")?;
            pieces.push(Piece::Reference(reference(name)?));
            rest = after;
        } else if let Some(after) = from.strip_prefix("{{") {
            let (expression, after) = expression(after)?;
            pieces.push(Piece::Expression(expression));
            rest = after;
        } else {
            let (one, after) = from.split_at(1);
            push_text(&mut pieces, one);
            rest = after;
        }
    }
    push_text(&mut pieces, rest);
    Ok(pieces)
}

fn push_text<'a>(pieces: &mut Vec<Piece<'a>>, text: &'a str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
}

fn reference(name: &str) -> Result<&str, String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let good = match name.split_once(':') {
        Some(("env", variable)) => {
            !variable.is_empty()
                && variable.chars().all(word)
                && !variable.starts_with(|c: char| c.is_ascii_digit())
        }
        Some(("file", path)) => !path.is_empty() && !path.contains(['{', '\0']),
        _ => false,
    };
    if good {
        return Ok(name);
    }
    Err(format!(
        "{} is no reference: `${{env:NAME}}` and `${{file:path}}` are; write `$${{` for the characters themselves",
        quoted(&format!("${{{name}}}"))
    ))
}

/// What stands before the closing `}}`, and what follows it. Strings and braces within do not close it.
fn expression(text: &str) -> Result<(&str, &str), String> {
    let (mut quote, mut escaped, mut depth) = (None, false, 0_u32);
    for (at, c) in text
        .char_indices()
        .take_while(|(at, _)| *at <= MAX_EXPRESSION)
    {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) => quote = quote.filter(|_| c != open),
            (None, '"' | '\'') => quote = Some(c),
            // Repeating a string is the one operation whose result has no bound.
            (None, '*') => return Err("`*` cannot be used in a template".into()),
            (None, '{') => depth += 1,
            (None, '}') if depth > 0 => depth -= 1,
            (None, '}') => {
                let (inner, from) = text.split_at(at);
                let rest = from
                    .strip_prefix("}}")
                    .ok_or("`}` closes nothing in `{{…}}`")?;
                return Ok((inner.trim(), rest));
            }
            (None, _) => {}
        }
    }
    Err(format!(
        "`{{{{` is not closed by `}}}}` within {MAX_EXPRESSION} bytes; write `{{{{ \"{{{{\" }}}}` for the characters themselves"
    ))
}
