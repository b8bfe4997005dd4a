//! The log: every line of a request names it, and no line shows the key.

use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::client::Request;
use crate::world::{KEY, world};

/// A log in memory.
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

#[tokio::test]
async fn every_line_of_a_request_names_it() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_env_filter("server=debug,engine=warn")
        .with_writer(move || writer.clone())
        .finish();
    // Tests run on one thread each, and so does their server.
    let _here = tracing::subscriber::set_default(subscriber);
    let world = world().await;
    for (n, told) in ["late", "fail trapped", "words"].iter().enumerate() {
        let body =
            serde_json::json!({"model": "echo", "messages": [{"role": "user", "content": told}]});
        let request = Request::new("POST", "/v1/chat/completions").json(body.to_string());
        world
            .send(request.header("X-Request-Id", &format!("id-{n}")))
            .await;
    }
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains(KEY));
    let about: Vec<_> = text
        .lines()
        .filter(|l| !l.contains("a connection ended"))
        .collect();
    assert!(about.len() >= 5, "{text}");
    for line in &about {
        assert!(line.contains("\"request_id\":\"id-"), "{line}");
    }
    let traps: Vec<_> = about
        .iter()
        .filter(|l| l.contains("secret backtrace") && l.contains("\"level\":\"WARN\""))
        .collect();
    assert_eq!(traps.len(), 1, "a fault is told once: {traps:?}");
    assert!(traps[0].contains("id-1"), "{traps:?}");
}
