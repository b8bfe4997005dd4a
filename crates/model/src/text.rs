//! Texts for people: cut where they grow too long, and bytes as digits.

/// What stands where a text was cut.
const CUT: char = '…';

/// At most so many bytes of a text, the `…` that tells of a cut among them.
#[must_use]
pub fn clipped(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = most.saturating_sub(CUT.len_utf8());
        text.truncate(text.floor_char_boundary(end));
        text.push(CUT);
        text.shrink_to_fit();
    }
    text
}

/// Bytes as lower-case hexadecimal digits, two each.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let check = |text: &str, most, want: &str| {
            assert_eq!(clipped(text.to_owned(), most), want);
        };
        check("four", 4, "four");
        check("fives", 4, "f…");
        check("éééé", 8, "éééé");
        check("ééééé", 8, "éé…");
        check("aé", 0, "…");
    }

    #[test]
    fn a_byte_has_two_digits() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
