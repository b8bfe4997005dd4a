//! The order of texts by their likeness to a first text, from embeddings of all of them.

use weir_sdk::{
    Failure,
    serde::Deserialize,
    serde_json::{self, Value},
};

/// The places of `count` texts, from 0, best first. `answer` is what `embed` answered for the words and then each text. Texts of the same likeness keep
/// their order.
pub fn order(answer: Value, count: usize) -> Result<Vec<usize>, Failure> {
    #[derive(Deserialize)]
    #[serde(crate = "weir_sdk::serde")]
    struct Answer {
        embeddings: Vec<Vec<f32>>,
    }
    let Answer { embeddings } = serde_json::from_value(answer)?;
    let Some((words, texts)) = embeddings
        .split_first()
        .filter(|(_, texts)| texts.len() == count)
    else {
        return Err(Failure::internal("the provider did not embed every text"));
    };
    let likeness = |text: &Vec<f32>| words.iter().zip(text).map(|(a, b)| a * b).sum::<f32>();
    let mut ranked: Vec<_> = texts.iter().map(likeness).enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(ranked.into_iter().map(|(place, _)| place).collect())
}

#[cfg(test)]
mod tests {
    use weir_sdk::serde_json::json;

    use super::*;

    #[test]
    fn best_first() {
        let answer = json!({"embeddings": [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, 1.0]]});
        assert_eq!(order(answer, 3), Ok(vec![1, 0, 2]));
    }

    #[test]
    fn an_answer_that_does_not_fit_is_internal() {
        for answer in [
            json!({"embeddings": []}),
            json!({"embeddings": [[1.0]]}),
            json!({}),
        ] {
            assert!(matches!(order(answer, 1), Err(Failure::Internal(_))));
        }
    }
}
