//! Template `rubbish`: hooks that return no JSON. `does` is what every mode returns: `{"text": ..}`, `{"repeat": <text>, "times": ..}`, or `{"claim": <bytes>}`, a
//! text that is said to be as long but lies past the end of the memory.

use actors::does;
use weir_sdk::{
    Continuation,
    bindings::{
        base::{exports::weir::plugin::lifecycle, weir::types::values::Failure},
        hooks::exports::weir::plugin::hooks,
    },
    serde_json::Value,
};

struct Rubbish;

impl lifecycle::Guest for Rubbish {
    fn describe() -> String {
        actors::manifest()
    }
    fn init(_: String) -> Result<(), Failure> {
        Ok(())
    }
    fn start() -> Result<(), Failure> {
        Ok(())
    }
    fn stop() {}
}

impl hooks::Guest for Rubbish {
    fn before(_: String, _: String) -> Result<String, Failure> {
        Ok(rubbish())
    }
    fn after(_: String, _: String) -> Result<String, Failure> {
        Ok(rubbish())
    }
    fn around(_: String, _: String, _: &Continuation) -> Result<String, Failure> {
        Ok(rubbish())
    }
    fn replace(_: String, _: String) -> Result<String, Failure> {
        Ok(rubbish())
    }
}

fn rubbish() -> String {
    let does = does();
    let number = |key| {
        does.get(key)
            .and_then(Value::as_u64)
            .and_then(|n| usize::try_from(n).ok())
    };
    if let Some(claimed) = number("claim") {
        let here = Box::leak(Box::new(*b"rubbish")).as_mut_ptr();
        // SAFETY: there is none. It is the attack: the bindings hand on address and length as they are, and the host must not believe them.
        return unsafe { String::from_raw_parts(here, claimed, claimed) };
    }
    let text = |key| does.get(key).and_then(Value::as_str).unwrap_or_default();
    match number("times") {
        Some(times) => text("repeat").repeat(times),
        None => text("text").to_owned(),
    }
}

weir_sdk::bindings::base::__export_base!(Rubbish with_types_in weir_sdk::bindings::base);
weir_sdk::bindings::hooks::__export_hooks!(Rubbish with_types_in weir_sdk::bindings::hooks);
