//! A pipe: answers chats. People see it as the model `{{name}}`.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct {{Type}};

impl Plugin for {{Type}} {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .name("{{Title}}")
            {{manifest}}
    }
}

impl Pipe for {{Type}} {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        {{use}}
        reply.text(answer(&request.user_text()))?;
        Ok(())
    }
}

/// What it says to these words.
fn answer(words: &str) -> String {
    if words.trim().is_empty() {
        "Say something.".to_owned()
    } else {
        format!("You said: {words}")
    }
}

weir_sdk::plugin!({{Type}}: pipe);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(answer("hi"), "You said: hi");
        assert_eq!(answer(" "), "Say something.");
    }
}
