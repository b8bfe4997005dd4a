//! Every fault, and what a client sees of it.

use super::*;
use http_body_util::BodyExt;
use model::id::{PluginId, PluginRef};

fn error(fault: Fault) -> StageError {
    StageError {
        plugin: PluginRef {
            id: PluginId::new("p").unwrap(),
            version: semver::Version::new(1, 2, 3),
        },
        fault,
    }
}

async fn check(fault: Fault, status: u16, code: &str, words: &str, retry: Option<&str>) {
    let response = stage(&error(fault)).into_response(false);
    assert_eq!(response.status().as_u16(), status, "{code}");
    let header = response.headers().get("retry-after");
    assert_eq!(header.map(|v| v.to_str().unwrap()), retry, "{code}");
    let reason = response.extensions().get::<ReasonPhrase>().unwrap().clone();
    #[allow(clippy::disallowed_methods, reason = "a short body of our own")]
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(body["error"]["type"], code);
    assert_eq!(body["error"]["message"], body["detail"]);
    assert_eq!(body["error"]["detail"], body["detail"]);
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains(words), "{words:?} in {detail:?}");
    assert_eq!(reason.as_bytes(), detail.as_bytes(), "{code}");
}

#[tokio::test]
async fn every_fault_has_its_status_code_and_words() {
    let said = || "No, sorry".to_owned();
    check(Fault::Invalid(said()), 400, "invalid", "No, sorry", None).await;
    let transient = Fault::Transient {
        message: said(),
        retry_after_ms: Some(1500),
    };
    check(transient, 503, "transient", "No, sorry", Some("2")).await;
    check(Fault::Refused(said()), 403, "refused", "No, sorry", None).await;
    check(
        Fault::Internal(said()),
        500,
        "plugin_failed",
        "No, sorry",
        None,
    )
    .await;
    check(
        Fault::OutOfFuel { limit: 5 },
        500,
        "out_of_fuel",
        "fuel = 5",
        None,
    )
    .await;
    check(
        Fault::OutOfMemory { limit: 6 },
        500,
        "out_of_memory",
        "memory_bytes = 6",
        None,
    )
    .await;
    let deadline = Fault::DeadlineExceeded {
        limit_name: Limit::DeadlineMs,
        limit: 7,
    };
    check(deadline, 504, "deadline_exceeded", "deadline_ms = 7", None).await;
    let limit = Fault::LimitReached {
        limit: Limit::OutputBytes,
        value: 8,
    };
    check(limit, 500, "limit_reached", "output_bytes = 8", None).await;
    let large = Fault::LimitReached {
        limit: Limit::InputBytes,
        value: 9,
    };
    check(large, 413, "limit_reached", "input_bytes = 9", None).await;
    check(Fault::Denied("x".into()), 403, "denied", "denied", None).await;
    let gone = Fault::Unavailable {
        reason: "stopped".into(),
        retry_after_ms: Some(1),
    };
    check(gone, 503, "unavailable", "stopped", Some("1")).await;
}

#[tokio::test]
async fn a_hook_answers_with_what_it_said_and_a_budget_with_its_limit() {
    let hook = |fault| Fault::Hook {
        point: "inlet".into(),
        fault: Box::new(fault),
    };
    let said = || "Not today".to_owned();
    let whole = "hook-error at inlet: Not today";
    let refused = hook(Fault::Refused(said()));
    assert_eq!(
        stage(&error(refused.clone())).message(),
        refused.to_string()
    );
    check(refused, 403, "hook_error", whole, None).await;
    check(hook(Fault::Invalid(said())), 400, "hook_error", whole, None).await;
    let later = Fault::Transient {
        message: said(),
        retry_after_ms: Some(1500),
    };
    check(hook(later), 503, "hook_error", whole, Some("2")).await;
    check(
        hook(Fault::Internal(said())),
        500,
        "hook_error",
        whole,
        None,
    )
    .await;
    let fuel = hook(Fault::OutOfFuel { limit: 5 });
    check(fuel, 500, "hook_error", "fuel = 5", None).await;
    let trap = hook(hook(Fault::Trapped("secret_function".into())));
    assert!(
        !stage(&error(trap.clone()))
            .message()
            .contains("secret_function")
    );
    check(trap, 500, "hook_error", "plugin p crashed", None).await;
    let silent = hook(Fault::Refused(String::new()));
    check(
        silent,
        403,
        "hook_error",
        "inlet: plugin p gave no reason",
        None,
    )
    .await;
    let spent = |limit| Fault::RateLimited {
        limit,
        value: 8,
        retry_after_ms: 20_001,
    };
    let calls = spent(Limit::CallsPerMinute);
    check(
        calls,
        429,
        "rate_limited",
        "calls_per_minute = 8",
        Some("21"),
    )
    .await;
    let fuel = hook(spent(Limit::FuelPerMinute));
    check(fuel, 503, "hook_error", "fuel_per_minute = 8", Some("21")).await;
}

#[tokio::test]
async fn the_text_of_a_trap_stays_inside() {
    let fault = Fault::Trapped("wasm backtrace: secret_function".into());
    let problem = stage(&error(fault.clone()));
    assert!(!problem.message().contains("secret_function"));
    check(fault, 500, "trapped", "crashed", None).await;
}

#[test]
fn a_reason_phrase_is_one_bounded_line() {
    let bytes = reason("a\r\nSet-Cookie: x\tü").unwrap();
    assert_eq!(bytes.as_bytes(), "a  Set-Cookie: x ü".as_bytes());
    assert_eq!(
        reason(&"x".repeat(900)).unwrap().as_bytes().len(),
        MAX_REASON
    );
    assert!(reason("\n").is_none());
}

#[test]
fn loading_says_why_but_not_our_own_paths() {
    let problem = load(&LoadError::NotAComponent("it begins with `hello`".into()));
    assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem.message().contains("hello"));
    let problem = load(&LoadError::Host("/var/lib/secret: no space".into()));
    assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!problem.message().contains("secret"));
}
