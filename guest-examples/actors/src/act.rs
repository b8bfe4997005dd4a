//! Deeds and misdeeds that every actor can be told to do, in any of its functions.

use std::{hint::black_box, thread, time::Duration};

use weir_sdk::{Failure, serde_json::Value};

/// Does it: null or `"pass"`, nothing; `"trap"`; `"spin"`, works for ever; `"block"`, waits in the host for ever; `{"sleep_ms": 100}`;
/// `{"fail": "invalid" | "transient" | "refused" | "internal"}`.
pub fn act(action: &Value) -> Result<(), Failure> {
    match action {
        Value::Null => Ok(()),
        Value::String(name) => match name.as_str() {
            "pass" => Ok(()),
            "trap" => trap(),
            "spin" => spin(),
            "block" => block(),
            _ => Err(unknown(action)),
        },
        Value::Object(what) => {
            if let Some(ms) = what.get("sleep_ms").and_then(Value::as_u64) {
                thread::sleep(Duration::from_millis(ms));
                return Ok(());
            }
            match what.get("fail").and_then(Value::as_str) {
                Some(kind) => Err(failure(kind)),
                None => Err(unknown(action)),
            }
        }
        _ => Err(unknown(action)),
    }
}

/// Panics.
pub fn trap() -> ! {
    #[expect(clippy::panic, reason = "it is the attack")]
    {
        panic!("told to trap")
    }
}

/// Works for ever.
pub fn spin() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count).wrapping_add(1);
    }
}

/// Waits in the host for ever.
pub fn block() -> ! {
    loop {
        thread::sleep(Duration::from_secs(1_000_000));
    }
}

fn failure(kind: &str) -> Failure {
    let text = format!("told to fail: {kind}");
    match kind {
        "invalid" => Failure::invalid(text),
        "transient" => Failure::retry_after(text, Duration::from_secs(1)),
        "refused" => Failure::refused(text),
        _ => Failure::internal(text),
    }
}

fn unknown(action: &Value) -> Failure {
    Failure::internal(format!("no such action: {action}"))
}

#[cfg(test)]
mod tests {
    use weir_sdk::serde_json::json;

    use super::*;

    #[test]
    fn failures() {
        assert_eq!(
            act(&json!({"fail": "refused"})),
            Err(Failure::refused("told to fail: refused"))
        );
        assert_eq!(act(&json!("pass")), Ok(()));
        assert_eq!(act(&json!({"sleep_ms": 0})), Ok(()));
        assert!(act(&json!({"sleeps": 0})).is_err());
        assert!(act(&json!("dance")).is_err());
    }
}
