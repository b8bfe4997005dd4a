//! Is a text one JSON document that every reader takes? Nothing is kept of it.

/// Most arrays and objects inside one another: with the value in the innermost one, 128 levels. serde_json refuses more, too.
const MAX_DEPTH: usize = 127;

/// Checks that a text is one JSON document and not nested too deep.
///
/// # Errors
/// What is wrong, and where, to be put after the name of the text; it holds nothing of the text.
pub(crate) fn check(text: &str) -> Result<(), String> {
    // Neither this nor the look at its depth is recursive.
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|e| format!("is not JSON: {e}"))?;
    let depth = depth(text);
    if depth > MAX_DEPTH {
        return Err("is nested more than 128 levels deep".into());
    }
    Ok(())
}

/// How deep arrays and objects lie inside one another, in a document that is JSON.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut in_text = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if in_text => {
                bytes.next();
            }
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_taken() {
        for good in ["1", "null", r#""\"[[""#, r#"{"a":[{"b":"}]"}]}"#, " [ ] "] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(depth(r#"["[[", "\"[[[\\", {"a":[]}]"#), 3);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bad in ["", "{", "[1,]", "{} {}", "nul", "\u{0}"] {
            assert!(check(bad).unwrap_err().contains("not JSON"), "{bad}");
        }
    }

    #[test]
    fn depth_is_bounded_as_in_every_other_reader() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        for levels in [1, 127, 128, 129, 1_000_000] {
            let json = nested(levels);
            let read = serde_json::from_str::<serde_json::Value>(&json).is_ok();
            assert_eq!(check(&json).is_ok(), read, "{levels}");
        }
    }
}
