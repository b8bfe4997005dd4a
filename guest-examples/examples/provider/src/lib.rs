//! A provider: it offers the capabilities `models` and `embeddings` to other plugins, which find it with `grants::providers` and call it as a peer. For people it
//! is a small guide to plugins: it answers with the sentence that is nearest to the question, by the same embeddings.
//!
//! | method | payload | answer |
//! |---|---|---|
//! | `models` | any | `[{"id", "dimensions"}]` |
//! | `embed` | `{"texts": [..]}`, at most 256 | `{"model", "embeddings": [[..], ..]}`, in the order of the texts |

mod embedding;
mod guide;

use weir_sdk::{
    Failure, Manifest, Peer, PeerRequest, Pipe, Plugin, Reply, Request,
    serde::Deserialize,
    serde_json::{Value, json},
};

/// The one model there is.
const MODEL: &str = "trigrams-256";
/// Most texts in one call.
const MAX_TEXTS: usize = 256;

#[derive(Default)]
struct Provider;

/// The payload of `embed`.
#[derive(Deserialize)]
#[serde(crate = "weir_sdk::serde", deny_unknown_fields)]
struct Embed {
    texts: Vec<String>,
}

impl Plugin for Provider {
    fn manifest(manifest: Manifest) -> Manifest {
        let models = json!([MODEL]);
        manifest
            .name("Guide to plugins")
            .provides("models", json!({"type": "llm", "models": models}))
            .provides(
                "embeddings",
                json!({"type": "llm", "models": models, "dimensions": embedding::DIMENSIONS}),
            )
    }
}

impl Peer for Provider {
    fn handle(&mut self, request: PeerRequest) -> Result<Value, Failure> {
        match request.method.as_str() {
            "models" => Ok(json!([{"id": MODEL, "dimensions": embedding::DIMENSIONS}])),
            "embed" => embed(&request.parse()?),
            other => Err(Failure::invalid(format!(
                "no method is called '{other}'; there are models and embed"
            ))),
        }
    }
}

impl Pipe for Provider {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text(guide::answer(&request.user_text()))?;
        Ok(())
    }
}

fn embed(Embed { texts }: &Embed) -> Result<Value, Failure> {
    if texts.len() > MAX_TEXTS {
        return Err(Failure::invalid(format!(
            "embed: {} texts; at most {MAX_TEXTS} are allowed",
            texts.len()
        )));
    }
    let embeddings: Vec<_> = texts.iter().map(|text| embedding::of(text)).collect();
    Ok(json!({"model": MODEL, "embeddings": embeddings}))
}

weir_sdk::plugin!(Provider: pipe, peer);

#[cfg(test)]
mod tests {
    use super::*;

    fn call(payload: Value) -> Result<Value, Failure> {
        Provider.handle(PeerRequest {
            caller: "test".into(),
            method: "embed".into(),
            payload,
            cast: false,
        })
    }

    #[test]
    fn embeds_each_text() {
        let answer = call(json!({"texts": ["a b", "", "A  B"]})).unwrap();
        let embeddings = answer["embeddings"].as_array().unwrap();
        assert_eq!(embeddings.len(), 3);
        assert_eq!(embeddings[0], embeddings[2]);
        assert_ne!(embeddings[0], embeddings[1]);
    }

    #[test]
    fn says_what_is_wrong_with_a_payload() {
        let failure = call(json!({"text": "a"})).unwrap_err();
        assert_eq!(
            failure,
            Failure::invalid("payload: unknown field `text`, expected `texts`")
        );
        let failure = call(json!({"texts": vec![""; 257]})).unwrap_err();
        assert_eq!(
            failure,
            Failure::invalid("embed: 257 texts; at most 256 are allowed")
        );
    }
}
