//! Embeddings of texts without a model: hashed trigrams of characters. Texts that share many trigrams are near each other; meaning plays no part.

/// Length of an embedding.
pub const DIMENSIONS: usize = 256;

/// The embedding of a text: a vector of length 1, or of zeros for a text without letters and digits. Case and everything but letters and digits do not
/// matter.
pub fn of(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0_f32; DIMENSIONS];
    let letters = letters(text);
    for trigram in letters.windows(3) {
        let hash = hash(trigram);
        // The lowest bits choose the place, the highest the sign: so that trigrams which share a place cancel each other out on average.
        let place = usize::try_from(hash % DIMENSIONS as u64).unwrap_or_default();
        if let Some(value) = vector.get_mut(place) {
            *value += if hash >> 63 == 0 { 1.0 } else { -1.0 };
        }
    }
    normalise(&mut vector);
    vector
}

/// How near two embeddings are: the cosine of their angle, from -1 to 1.
pub fn likeness(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Words in lower case with one space before, between and after them.
fn letters(text: &str) -> Vec<char> {
    let mut letters = vec![' '];
    for letter in text.chars().flat_map(char::to_lowercase) {
        if letter.is_alphanumeric() {
            letters.push(letter);
        } else if letters.last() != Some(&' ') {
            letters.push(' ');
        }
    }
    if letters.last() != Some(&' ') {
        letters.push(' ');
    }
    letters
}

/// FNV-1a, 64 bits, over the code points.
fn hash(trigram: &[char]) -> u64 {
    trigram.iter().fold(0xcbf2_9ce4_8422_2325, |hash, letter| {
        (hash ^ u64::from(u32::from(*letter))).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn normalise(vector: &mut [f32]) {
    let length = likeness(vector, vector).sqrt();
    if length > 0.0 {
        for value in vector {
            *value /= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_length_one_or_is_zero() {
        for text in ["a", "The quick brown fox", "jörg 漢字"] {
            let vector = of(text);
            assert!((likeness(&vector, &vector) - 1.0).abs() < 1e-5, "{text}");
        }
        assert_eq!(of(" ?! "), vec![0.0; DIMENSIONS]);
        assert_eq!(of(""), vec![0.0; DIMENSIONS]);
    }

    #[test]
    fn case_and_punctuation_do_not_matter() {
        assert_eq!(of("Hello,  World!"), of("hello world"));
    }

    #[test]
    fn what_reads_alike_is_near() {
        let plugin = of("how do I write a plugin");
        assert!(
            likeness(&plugin, &of("writing plugins"))
                > likeness(&plugin, &of("banana bread recipe"))
        );
    }
}
