//! From what wasmtime reports to a [`Fault`]: one place, so that callers never look at error texts.

use model::error::Fault;
use model::limits::{Limit, Limits};
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::bindings::weir::types::values::{Failure, Transience};
use crate::budget::Reached;
use crate::exports::Lacks;

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
    if let Some(lacks) = error.downcast_ref::<Lacks>() {
        return Fault::Unavailable {
            reason: lacks.to_string(),
            retry_after_ms: None,
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

/// What another plugin, or the host in its place, answered, in the words of the contract: for a plugin that waits for it. What a plugin
/// said stays as it is; what may work later is `transient`.
///
/// # Errors
/// A crash: its code and limit, and never what the trap said.
pub(crate) fn failure(fault: Fault) -> Result<Failure, String> {
    let retryable = fault.is_retryable();
    let (inner, prefix) = unwrap(fault);
    let retry_after_ms = match &inner {
        Fault::Transient { retry_after_ms, .. } | Fault::Unavailable { retry_after_ms, .. } => {
            *retry_after_ms
        }
        Fault::RateLimited { retry_after_ms, .. } => Some(*retry_after_ms),
        _ => None,
    };
    let text = format!("{prefix}{}", public(&inner));
    match inner {
        Fault::Invalid(_) => Ok(Failure::Invalid(text)),
        Fault::Refused(_) => Ok(Failure::Refused(text)),
        Fault::Internal(_) => Ok(Failure::Internal(text)),
        _ if retryable => Ok(Failure::Transient(Transience {
            message: text,
            retry_after_ms,
        })),
        _ => Err(text),
    }
}

/// The same, where a crash is the answerer's own fault: `internal`.
pub(crate) fn answer(fault: Fault) -> Failure {
    failure(fault).unwrap_or_else(Failure::Internal)
}

/// What happened at the end of a chain of hooks, and where.
fn unwrap(mut fault: Fault) -> (Fault, String) {
    let mut prefix = String::new();
    while let Fault::Hook {
        point,
        fault: inner,
    } = fault
    {
        prefix = format!("{prefix}hook-error at {point}: ");
        fault = *inner;
    }
    (fault, prefix)
}

/// A fault in words for another plugin.
fn public(fault: &Fault) -> String {
    match fault {
        Fault::Trapped(_) | Fault::Denied(_) => fault.code().into(),
        Fault::Unavailable { reason, .. } => reason.clone(),
        other => other
            .said()
            .map_or_else(|| other.to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(fault: Fault) -> Fault {
        Fault::Hook {
            point: "inlet".into(),
            fault: Box::new(fault),
        }
    }

    #[test]
    fn what_a_plugin_said_stays() {
        assert!(matches!(
            failure(Fault::Refused("no".into())),
            Ok(Failure::Refused(t)) if t == "no"
        ));
        assert!(matches!(
            failure(hook(Fault::Invalid("x".into()))),
            Ok(Failure::Invalid(t)) if t == "hook-error at inlet: x"
        ));
        let transient = Fault::Transient {
            message: "later".into(),
            retry_after_ms: Some(5),
        };
        assert!(matches!(
            failure(hook(transient)),
            Ok(Failure::Transient(t)) if t.retry_after_ms == Some(5)
        ));
    }

    #[test]
    fn what_may_work_later_says_when() {
        let limited = Fault::RateLimited {
            limit: Limit::CallsPerMinute,
            value: 3,
            retry_after_ms: 700,
        };
        let Ok(Failure::Transient(t)) = failure(limited) else {
            panic!("not transient")
        };
        assert_eq!(t.retry_after_ms, Some(700));
        assert!(t.message.contains("calls_per_minute = 3"), "{}", t.message);
    }

    #[test]
    fn a_crash_names_its_code_and_never_what_the_trap_said() {
        let trapped = || Fault::Trapped("at 0x1234 in secret_function".into());
        for fault in [trapped(), hook(trapped()), hook(hook(trapped()))] {
            let Failure::Internal(text) = answer(fault) else {
                panic!("not internal")
            };
            assert!(text.ends_with("trapped"), "{text}");
        }
        let out = Fault::OutOfFuel { limit: 9 };
        assert!(failure(out).unwrap_err().contains("fuel = 9"));
    }
}
