//! What is wrong with a text that should be CEL, told to people. The parser's own words are of its grammar; parsing is done elsewhere.

/// A sentence for what the parser says, by place (line and column, from 1) and in its words: of all it says, the first that can be understood.
///
/// ```
/// let said = [(1, 5, "Syntax error: mismatched input '<EOF>' expecting {'[', IDENTIFIER}")];
/// assert_eq!(model::cel::wrong(said), "is no CEL: it ends too early");
/// ```
#[must_use]
pub fn wrong<'a>(said: impl IntoIterator<Item = (isize, isize, &'a str)>) -> String {
    let mut first = None;
    for (line, column, words) in said {
        let place = match line {
            ..=1 => format!("at character {column}"),
            _ => format!("at character {column} of line {line}"),
        };
        if let Some(clear) = clear(words) {
            return match clear {
                Clear::Ends => "is no CEL: it ends too early".into(),
                Clear::Here(what) => format!("is no CEL {place}: {what}"),
            };
        }
        first.get_or_insert(place);
    }
    match first {
        Some(place) => format!("is no CEL {place}: it cannot be read there"),
        None => "is no CEL".into(),
    }
}

/// What is clear of the parser's words.
enum Clear {
    Ends,
    Here(String),
}

fn clear(words: &str) -> Option<Clear> {
    let first = words.lines().next().unwrap_or_default().trim();
    let Some(syntax) = first.strip_prefix("Syntax error: ") else {
        // Its other sentences are short and plain, unless they show its own types.
        let plain = !first.is_empty() && !first.contains(['{', '`', '(', '<']);
        return plain.then(|| Clear::Here(first.to_owned()));
    };
    let quoted = |after: &str| {
        let (_, rest) = syntax.split_once(after)?;
        let rest = rest.strip_prefix('\'')?;
        let end = rest.find("' expecting").or_else(|| rest.rfind('\''));
        let text: String = rest.get(..end?)?.chars().take(SHOWN).collect();
        Some(text)
    };
    if let Some(missing) = quoted("missing ") {
        let missing = missing.split('\'').next().unwrap_or_default();
        return Some(Clear::Here(format!("`{missing}` is missing")));
    }
    if let Some(text) = quoted("token recognition error at: ") {
        return Some(Clear::Here(format!("`{text}` cannot be read")));
    }
    let unexpected = [
        "mismatched input ",
        "extraneous input ",
        "no viable alternative at input ",
    ];
    let text = unexpected.into_iter().find_map(quoted)?;
    Some(match text.as_str() {
        "<EOF>" => Clear::Ends,
        text => Clear::Here(format!("`{text}` is not expected")),
    })
}

/// Characters of the text that are shown.
const SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parser_says_becomes_a_sentence() {
        let check = |said: &[(isize, isize, &str)], want: &str| {
            assert_eq!(wrong(said.iter().copied()), want);
        };
        check(
            &[(1, 3, "Syntax error: missing ')' at '<EOF>'")],
            "is no CEL at character 3: `)` is missing",
        );
        check(
            &[(
                2,
                5,
                "Syntax error: extraneous input '==' expecting {'[', NUM_INT}",
            )],
            "is no CEL at character 5 of line 2: `==` is not expected",
        );
        check(
            &[(1, 1, "Syntax error: token recognition error at: '\"x'")],
            "is no CEL at character 1: `\"x` cannot be read",
        );
        check(
            &[(1, 6, "invalid int literal")],
            "is no CEL at character 6: invalid int literal",
        );
        check(
            &[
                (1, 1, "Incomplete `ExprContext` for `_?_:_` expression!"),
                (
                    1,
                    6,
                    "Syntax error: mismatched input '<EOF>' expecting {'==', '!='}",
                ),
            ],
            "is no CEL: it ends too early",
        );
        check(
            &[(1, 7, "OtherError(ParseError { source: None, pos: (1, 7) })")],
            "is no CEL at character 7: it cannot be read there",
        );
        check(&[], "is no CEL");
    }
}
