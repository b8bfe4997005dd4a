//! A manifold: one plugin, two models. People see `{{name}}.loud` and `{{name}}.quiet`; the pipe is told which one was asked for.

use weir_sdk::{Failure, Manifest, Manifold, Model, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct {{Type}};

impl Plugin for {{Type}} {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .name("{{Title}}: ")
            {{manifest}}
    }
}

impl Manifold for {{Type}} {
    fn models(&mut self) -> Result<Vec<Model>, Failure> {
        Ok(vec![
            Model::new("loud", "Loud"),
            Model::new("quiet", "Quiet"),
        ])
    }
}

impl Pipe for {{Type}} {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        {{use}}
        reply.text(answer(request.model(), &request.user_text())?)?;
        Ok(())
    }
}

/// What this model says to these words.
fn answer(model: &str, words: &str) -> Result<String, Failure> {
    match model {
        "loud" => Ok(words.to_uppercase()),
        "quiet" => Ok(words.to_lowercase()),
        other => Err(Failure::invalid(format!(
            "no model is called '{other}'; there are loud and quiet"
        ))),
    }
}

weir_sdk::plugin!({{Type}}: pipe, manifold);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(answer("loud", "Hi"), Ok("HI".to_owned()));
        assert_eq!(answer("quiet", "Hi"), Ok("hi".to_owned()));
        assert!(answer("shrill", "Hi").is_err());
    }
}
