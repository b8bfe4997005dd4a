//! Where letters wait: one key of the state for each, `<receiver>|<number>`. A `|` cannot be in a plugin's id, so nobody's keys begin with another's.

use weir_sdk::{
    Failure,
    serde::{Deserialize, Serialize},
    state,
};

/// Most letters that wait for one plugin.
const MAX_WAITING: u32 = 100;
/// Longest text, in bytes.
const MAX_TEXT: usize = 16 * 1024;

/// A letter, as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(crate = "weir_sdk::serde")]
pub struct Letter {
    pub from: String,
    pub text: String,
}

/// Puts a letter away, and returns its number.
pub fn put(to: &str, letter: &Letter) -> Result<i64, Failure> {
    check(to, letter)?;
    let waiting = state::list_keys(&prefix(to), None, MAX_WAITING)?.len();
    if u32::try_from(waiting)? >= MAX_WAITING {
        return Err(Failure::transient(format!(
            "{MAX_WAITING} letters wait for '{to}' already"
        )));
    }
    let number = state::add("number", 1)?;
    state::set_json(&key(to, number), letter)?;
    Ok(number)
}

/// Takes the oldest letters out.
pub fn take(to: &str, most: u32) -> Result<Vec<Letter>, Failure> {
    let mut letters = Vec::new();
    for key in state::list_keys(&prefix(to), None, most.min(MAX_WAITING))? {
        let letter = state::get_json(&key)?;
        // Of two calls at once only one removes it, and has it.
        if let (Some(letter), true) = (letter, state::delete(&key)?) {
            letters.push(letter);
        }
    }
    Ok(letters)
}

fn check(to: &str, letter: &Letter) -> Result<(), Failure> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    if !(1..=128).contains(&to.len()) || !to.bytes().all(fits) {
        return Err(Failure::invalid(format!("to: {to:?} is no id of a plugin")));
    }
    if letter.text.len() > MAX_TEXT {
        return Err(Failure::invalid(format!(
            "text: {} bytes; at most {MAX_TEXT} are allowed",
            letter.text.len()
        )));
    }
    Ok(())
}

fn prefix(to: &str) -> String {
    format!("{to}|")
}

/// Keys are listed in byte order: with as many digits as the largest number has, that is the order of numbers.
fn key(to: &str, number: i64) -> String {
    format!("{}{number:019}", prefix(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_numbers() {
        assert!(key("a", 9) < key("a", 10));
        assert_eq!(key("a", i64::MAX).len(), key("a", 1).len());
        assert!(!key("a/b", 1).starts_with(&prefix("a")));
    }

    #[test]
    fn letters_are_checked() {
        let letter = |text: String| Letter {
            from: "a".into(),
            text,
        };
        assert_eq!(check("org/p", &letter("x".into())), Ok(()));
        for to in ["", "a|b", "a b", &"x".repeat(129)] {
            let failure = check(to, &letter("x".into())).unwrap_err();
            assert_eq!(
                failure,
                Failure::invalid(format!("to: {to:?} is no id of a plugin"))
            );
        }
        let failure = check("a", &letter("x".repeat(16 * 1024 + 1))).unwrap_err();
        assert_eq!(
            failure,
            Failure::invalid("text: 16385 bytes; at most 16384 are allowed")
        );
    }
}
