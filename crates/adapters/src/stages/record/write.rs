//! Writing values into a batch.

/// A string, quoted and escaped.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    // A Vec takes all that is written.
    let _never_fails = serde_json::to_writer(out, text);
}

/// A float: as a whole number if it is one below 2^53, otherwise the shortest digits that give it back. JSON has no other than finite ones: none is returned, and nothing written.
pub(crate) fn whole_or_float(out: &mut Vec<u8>, float: f64) -> Option<()> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !float.is_finite() {
        return None;
    }
    if float.fract() == 0.0 && float.abs() < EXACT {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is whole and below 2^53"
        )]
        let whole = float as i64;
        return serde_json::to_writer(out, &whole).ok();
    }
    serde_json::to_writer(out, &float).ok()
}
