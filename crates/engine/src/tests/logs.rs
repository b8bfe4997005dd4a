//! What is logged of a change has the span of the request that asked for it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing::Instrument as _;

use super::fake::{chat, install, world};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines with this text.
    fn with(&self, text: &str) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        let all = String::from_utf8(bytes).unwrap();
        all.lines()
            .filter(|l| l.contains(text))
            .map(String::from)
            .collect()
    }
}

#[tokio::test]
async fn every_line_of_a_request_has_its_id() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let world = world();
    let engine = world.engine();
    let request = |id: &'static str| tracing::info_span!("request", id);
    let plugin = json!({"id": "p", "version": "1.0.0", "roles": ["pipe", "manifold", "valves"]});
    world
        .settings
        .lock()
        .unwrap()
        .insert("models".into(), "fail".into());
    install(&engine, "p.wasm", &plugin)
        .instrument(request("r-load"))
        .await
        .unwrap();
    install(&engine, "p.wasm", &json!("junk"))
        .instrument(request("r-broken"))
        .await
        .unwrap_err();
    engine
        .update_valves("p", serde_json::Map::new())
        .instrument(request("r-valves"))
        .await
        .unwrap();
    let pipe = json!({"id": "q", "version": "1.0.0", "roles": ["pipe"]});
    install(&engine, "q.wasm", &pipe).await.unwrap();
    chat(&engine, "q", "trap")
        .instrument(request("r-chat"))
        .await
        .unwrap_err();
    engine
        .delete("p", false)
        .instrument(request("r-delete"))
        .await
        .unwrap();
    for (text, ids) in [
        (
            "a plugin is at work state=\"started\" plugin=p",
            vec!["r-load"],
        ),
        ("a manifold did not say", vec!["r-load", "r-valves"]),
        ("state=\"failed\"", vec!["r-broken"]),
        ("valves were changed", vec!["r-valves"]),
        ("call ended in a fault", vec!["r-chat"]),
        ("was deleted", vec!["r-delete"]),
    ] {
        let found = lines.with(text);
        assert_eq!(found.len(), ids.len(), "{text}: {found:?}");
        for (line, id) in found.iter().zip(ids) {
            assert!(line.contains(&format!("request{{id=\"{id}\"}}")), "{line}");
        }
    }
}
