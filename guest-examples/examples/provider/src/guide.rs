//! A small guide: some sentences about plugins, and which is nearest to a question.

use crate::embedding;

const SENTENCES: &[&str] = &[
    "A pipe answers chats: implement the role pipe and write to the reply.",
    "A filter changes requests before and answers after a model.",
    "A manifold offers several models from one plugin.",
    "A hook runs code before, after, around or in place of a step of the host.",
    "A subscriber hears events on the topics that its manifest names.",
    "A peer answers calls from other plugins that declare it as a dependency.",
    "A grant in the host's configuration lets a plugin use HTTP, state, secrets or metrics.",
    "Fuel, memory, time and output of every call are limited, and the limits can be set for each plugin.",
    "A source reads records, a transform changes them and a sink writes them.",
];

/// The nearest sentence; all of them, for a question that is like none.
pub fn answer(question: &str) -> String {
    let question = embedding::of(question);
    let ranked = SENTENCES
        .iter()
        .map(|sentence| {
            (
                embedding::likeness(&question, &embedding::of(sentence)),
                sentence,
            )
        })
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match ranked {
        Some((likeness, sentence)) if likeness > 0.1 => (*sentence).to_owned(),
        _ => SENTENCES.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_the_nearest_sentence() {
        assert_eq!(answer("What is a manifold?"), SENTENCES[2]);
        assert_eq!(
            answer("how much memory and fuel is there for a call?"),
            SENTENCES[7]
        );
        assert_eq!(answer("xyzzy"), SENTENCES.join("\n"));
    }
}
