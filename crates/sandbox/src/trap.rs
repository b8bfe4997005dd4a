//! From what wasmtime reports to a [`Fault`]: one place, so that callers never look at error texts.

use model::error::Fault;
use model::limits::{Limit, Limits};
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::bindings::weir::types::values::Failure;
use crate::budget::Reached;

/// Limits that wasmtime enforces with errors whose types it keeps to itself, by words of their texts. The hostile suite notices when
/// a new version words them otherwise.
fn by_words(text: &str) -> Option<Limit> {
    const WORDS: [(&str, Limit); 4] = [
        (
            "fuel allocated for hostcalls has been exhausted",
            Limit::OutputBytes,
        ),
        ("resource table has no free keys", Limit::Handles),
        ("store handle limit exceeded", Limit::Handles),
        ("requested len", Limit::RandomBytes),
    ];
    WORDS
        .iter()
        .find(|(words, _)| text.contains(words))
        .map(|(_, limit)| *limit)
}

/// Reads an error of a call. `memory_refused`: a growth was refused during the call, so that what traps after it ran out of memory.
pub(crate) fn fault(error: &wasmtime::Error, limits: &Limits, memory_refused: bool) -> Fault {
    if let Some(reached) = error.downcast_ref::<Reached>() {
        return match reached.limit {
            Limit::Fuel => Fault::OutOfFuel {
                limit: reached.value,
            },
            limit => Fault::LimitReached {
                limit,
                value: reached.value,
            },
        };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Fault::Unavailable {
            reason: "the host has no room for another instance".into(),
            retry_after_ms: Some(1_000),
        };
    }
    if let Some(limit) = by_words(&error.root_cause().to_string()) {
        return Fault::LimitReached {
            limit,
            value: limits.get(limit),
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Fault::OutOfFuel {
            limit: limits.get(Limit::Fuel),
        },
        _ if memory_refused => Fault::OutOfMemory {
            limit: limits.get(Limit::MemoryBytes),
        },
        _ => trapped(error),
    }
}

/// A crash, in one line for the log; the WebAssembly backtrace goes to the log at debug level.
fn trapped(error: &wasmtime::Error) -> Fault {
    tracing::debug!(error = ?error, "plugin trapped");
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return Fault::Trapped(format!("it called exit({})", exit.0));
    }
    Fault::Trapped(error.root_cause().to_string())
}

/// What a plugin says of itself.
pub(crate) fn said(failure: Failure) -> Fault {
    match failure {
        Failure::Invalid(text) => Fault::Invalid(text),
        Failure::Transient(t) => Fault::Transient {
            message: t.message,
            retry_after_ms: t.retry_after_ms,
        },
        Failure::Refused(text) => Fault::Refused(text),
        Failure::Internal(text) => Fault::Internal(text),
    }
}
