//! Template `deputy`: a peer that may do more than its callers: HTTP and secrets. If the manifest's `does` has `callers`, a list of plugins, it serves only them;
//! if not, anybody can use its rights.
//!
//! | method | payload | answer |
//! |---|---|---|
//! | `fetch` | a URL | `{"status", "body"}`, at most 64 KiB |
//! | `secret` | a secret's name | the secret |

use actors::does;
use weir_sdk::{
    Failure, Peer, PeerRequest, Plugin, http, secrets,
    serde_json::{Value, json},
};

#[derive(Default)]
struct Deputy;

impl Plugin for Deputy {}

impl Peer for Deputy {
    fn handle(&mut self, request: PeerRequest) -> Result<Value, Failure> {
        let does = does();
        let callers = does.get("callers").and_then(Value::as_array);
        if callers.is_some_and(|callers| {
            !callers
                .iter()
                .any(|caller| *caller == request.caller.as_str())
        }) {
            return Err(Failure::refused(format!(
                "{} may not ask this of me",
                request.caller
            )));
        }
        let what = request.payload.as_str().unwrap_or_default();
        match request.method.as_str() {
            "fetch" => {
                let response = http::get(what).send()?;
                let status = response.status();
                let body = response.bytes(64 * 1024)?;
                Ok(json!({"status": status, "body": String::from_utf8_lossy(&body)}))
            }
            "secret" => Ok(secrets::get(what)?.into()),
            other => Err(Failure::invalid(format!("no method is called '{other}'"))),
        }
    }
}

actors::actor!(Deputy: peer);
