//! A manifold: one plugin, two models. People see `manifold.loud` and `manifold.quiet`; the pipe is told which one was asked for.

use weir_sdk::{Failure, Manifest, Manifold, Model, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Voices;

impl Plugin for Voices {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.name("Voice: ")
    }
}

impl Manifold for Voices {
    fn models(&mut self) -> Result<Vec<Model>, Failure> {
        Ok(vec![
            Model::new("loud", "Loud"),
            Model::new("quiet", "Quiet"),
        ])
    }
}

impl Pipe for Voices {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        let text = request.user_text();
        match request.model() {
            "loud" => reply.text(text.to_uppercase())?,
            "quiet" => reply.text(text.to_lowercase())?,
            other => {
                return Err(Failure::invalid(format!(
                    "no model is called '{other}'; there are loud and quiet"
                )));
            }
        }
        Ok(())
    }
}

weir_sdk::plugin!(Voices: pipe, manifold);
