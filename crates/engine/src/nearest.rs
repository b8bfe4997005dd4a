//! Names in errors: the one that was probably meant, and those there are. Looking names up is others' business.

use std::fmt::Write as _;

/// Most names that a list in an error shows.
const SHOWN: usize = 12;

/// The name that was probably meant: at most a third of its letters differ, or its end is missing.
pub(crate) fn nearest<'a>(
    given: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let given: String = given
        .chars()
        .take(64)
        .flat_map(char::to_lowercase)
        .collect();
    let far = |name: &str| strsim::damerau_levenshtein(&given, &name.to_lowercase());
    let count = given.chars().count();
    let cut_short = |name: &str| count >= 3 && name.to_lowercase().starts_with(&given);
    let most = (count / 3).max(1);
    let close = |name: &'a str| match far(name) {
        letters if letters <= most => Some((letters, name)),
        _ => cut_short(name).then_some((usize::MAX, name)),
    };
    names
        .into_iter()
        .filter_map(close)
        .min()
        .map(|found| found.1)
}

/// `; did you mean "x"?`, or else `; there are: …`, for the end of a sentence about a name that there is not.
pub(crate) fn instead<'a>(given: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(given, names.clone()) {
        Some(name) => format!("; did you mean {name:?}?"),
        None => format!("; {}", listed(names)),
    }
}

/// `there are: a, b and 3 more`, or `there are none`.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    let (shown, rest) = names.split_at(SHOWN.min(names.len()));
    if shown.is_empty() {
        return "there are none".into();
    }
    let mut text = format!("there are: {}", shown.join(", "));
    if !rest.is_empty() {
        // Writing to a string cannot fail.
        let _infallible = write!(text, " and {} more", rest.len());
    }
    text
}

/// A text for an error: quoted, and cut after 64 characters.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((at, _)) => format!("{:?}…", text.split_at(at).0),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant() {
        let names = ["source", "sinks", "sink", "trigger"];
        for (given, meant) in [
            ("sorce", Some("source")),
            ("Sinks", Some("sinks")),
            ("triger", Some("trigger")),
            ("x", None),
            ("limits", None),
            ("trig", Some("trigger")),
        ] {
            assert_eq!(nearest(given, names), meant, "{given}");
        }
        assert_eq!(instead("q", std::iter::empty()), "; there are none");
        assert!(listed((0..20).map(|_| "n")).ends_with("n and 8 more"));
        assert!(quoted(&"ü".repeat(70)).chars().count() < 70);
    }
}
