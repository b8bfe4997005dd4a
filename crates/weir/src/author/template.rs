//! Templates: text with `{{name}}` where something is put in. A line that is nothing but a name stands for any number of lines, none included.

/// What is put in: names and texts. A text may hold names itself.
pub(super) type Values<'a> = [(&'a str, String)];

/// The text with everything put in. What stands for lines keeps the indentation of its name; where it stands for none, its line goes, and a blank line
/// with it if that would leave two in a row.
pub(super) fn expand(text: &str, values: &Values<'_>) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut dropped = false;
    for line in text.lines() {
        match block(line, values) {
            Some("") => dropped = true,
            Some(inserted) => {
                let indent: String = line.chars().take_while(|c| *c == ' ').collect();
                dropped = false;
                for line in expand(inserted, values).lines() {
                    let indent = if line.is_empty() { "" } else { &indent };
                    lines.push(format!("{indent}{line}"));
                }
            }
            None => {
                let doubled = line.is_empty() && lines.last().is_some_and(String::is_empty);
                if !(dropped && doubled) {
                    lines.push(inline(line, values));
                }
                dropped = false;
            }
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.join("\n") + "\n"
}

/// What a line stands for that is nothing but a name.
fn block<'a>(line: &str, values: &'a Values<'_>) -> Option<&'a str> {
    let name = line.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let (_, value) = values.iter().find(|(known, _)| *known == name)?;
    Some(value)
}

fn inline(line: &str, values: &Values<'_>) -> String {
    values.iter().fold(line.to_owned(), |line, (name, value)| {
        line.replace(&format!("{{{{{name}}}}}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, values: &[(&str, &str)], expected: &str) {
        let values: Vec<_> = values.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        assert_eq!(expand(text, &values), expected);
    }

    #[test]
    fn names_in_a_line() {
        check("a {{b}} {{b}}-{{c}}", &[("b", "1"), ("c", "")], "a 1 1-\n");
    }

    #[test]
    fn lines_keep_the_indentation() {
        check(
            "f {\n    {{x}}\n}",
            &[("x", "1\n\n2")],
            "f {\n    1\n\n    2\n}\n",
        );
    }

    #[test]
    fn no_lines_leave_no_hole() {
        check("a\n\n{{x}}\n\nb", &[("x", "")], "a\n\nb\n");
        check("a\n{{x}}\nb", &[("x", "")], "a\nb\n");
        check("a\n\n\nb", &[], "a\n\n\nb\n");
    }

    #[test]
    fn what_is_put_in_may_hold_names() {
        check("{{x}}", &[("x", "{{y}}"), ("y", "z")], "z\n");
    }
}
