//! What the user wants.

/// What can be said.
pub const HELP: &str = "Say: send <plugin> <text>, letters, or letters like <text>.";

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Send { to: String, text: String },
    Letters { like: Option<String> },
    Help,
}

impl Command {
    /// Understands the user's words; anything else is a call for help.
    pub fn parse(words: &str) -> Self {
        let words = words.trim();
        let (verb, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
        let rest = rest.trim();
        match (verb, rest.split_once(char::is_whitespace)) {
            ("send", Some((to, text))) => Self::Send {
                to: to.to_owned(),
                text: text.trim().to_owned(),
            },
            ("letters", None) if rest.is_empty() => Self::Letters { like: None },
            ("letters", Some(("like", like))) => Self::Letters {
                like: Some(like.trim().to_owned()),
            },
            _ => Self::Help,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands() {
        let letters = |like: Option<&str>| Command::Letters {
            like: like.map(Into::into),
        };
        for (words, expected) in [
            (
                "send audit  hi there ",
                Command::Send {
                    to: "audit".into(),
                    text: "hi there".into(),
                },
            ),
            ("letters", letters(None)),
            ("  letters like  a b", letters(Some("a b"))),
            ("send audit", Command::Help),
            ("letters from", Command::Help),
            ("", Command::Help),
        ] {
            assert_eq!(Command::parse(words), expected, "{words}");
        }
    }
}
