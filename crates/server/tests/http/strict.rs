//! Strict mode where a better server would do otherwise.

use serde_json::json;

use crate::client::Request;
use crate::world::strict;

#[tokio::test]
async fn a_failing_stream_is_cut() {
    let world = strict().await;
    let late = world.chat("echo", "late", true).await;
    assert_eq!(
        (late.status, late.complete, late.chunks.len()),
        (200, false, 1),
        "{late:?}"
    );
    let early = world.chat("echo", "fail refused", true).await;
    assert_eq!(
        (early.status, early.complete, early.chunks.len()),
        (200, false, 0),
        "{early:?}"
    );
    assert_eq!(
        early.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    let whole = world.chat("echo", "fail refused", false).await;
    assert_eq!(
        (whole.status, whole.body.as_str()),
        (500, "Internal Server Error")
    );
    assert_eq!(
        whole.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

#[tokio::test]
async fn a_stream_is_printed_as_python_prints() {
    let world = strict().await;
    let words = world.chat("echo", "words", true).await;
    assert_eq!(words.chunks.len(), 5);
    assert!(words.chunks[2].contains(r#""delta": {"content": "drei \u00fc"}, "logprobs": null"#));
    assert!(words.chunks[3].contains(r#""delta": {}, "logprobs": null, "finish_reason": "stop""#));
    assert_eq!(words.chunks[4], "data: [DONE]");
    assert!(words.complete);
    for told in ["nothing", "object"] {
        let empty = world.chat("echo", told, true).await;
        assert_eq!(
            (empty.status, empty.body.as_str(), empty.complete),
            (200, "", true)
        );
    }
    let object = world.chat("echo", "object", false).await;
    assert_eq!(object.body, r#"{"z":1,"a":"ü","big":1.10}"#);
}

#[tokio::test]
async fn bodies_are_refused_in_pydantic_s_words() {
    let world = strict().await;
    let check = async |body: &str, detail: &str| {
        let answer = world.post("/v1/chat/completions", body).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (422, detail),
            "{body}"
        );
    };
    check(r#"{"model": "ok"}"#, r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{"model":"ok"}}]}"#).await;
    check(
        r#"{"model": "ok", "messages": [{"role": "assistant", "content": null, "tool_calls": []}]}"#,
        r#"{"detail":[{"type":"string_type","loc":["body","messages",0,"content","str"],"msg":"Input should be a valid string","input":null},{"type":"list_type","loc":["body","messages",0,"content","list[any]"],"msg":"Input should be a valid list","input":null}]}"#,
    )
    .await;
    check(
        "",
        r#"{"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]}"#,
    )
    .await;
    check(r#"{"model": "#, r#"{"detail":[{"type":"json_invalid","loc":["body",10],"msg":"JSON decode error","input":{},"ctx":{"error":"Expecting value"}}]}"#).await;
    check("[]", r#"{"detail":[{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":[]}]}"#).await;
    let text = Request::new("POST", "/v1/chat/completions")
        .header("Content-Type", "text/plain")
        .body("{}");
    let answer = world.send(text).await;
    assert_eq!(
        (answer.status, &answer.json()["detail"][0]["input"]),
        (422, &json!("{}"))
    );
    let bare = Request::new("POST", "/v1/chat/completions")
        .body(r#"{"model":"echo","messages":[],"stream":"no"}"#);
    assert_eq!(world.send(bare).await.status, 200);
}

#[tokio::test]
async fn filters_see_numbers_as_python_reads_them() {
    let world = strict().await;
    let body = r#"{"body": {"messages": [{"content": "echo"}], "z": 1.0, "a": 12345678901234567890123, "e": 1E5, "n": -0, "f": -0.0, "big": 123456789.123456789123, "dup": 1, "dup": 2, "esc": "\u00fc\ud83d\ude00\/"}}"#;
    let answer = world.post("/filter/filter/inlet", body).await;
    assert_eq!(
        answer.body,
        r#"{"messages":[{"content":"echo"}],"z":1.0,"a":12345678901234567890123,"e":100000.0,"n":0,"f":-0.0,"big":123456789.12345679,"dup":2,"esc":"ü😀/"}"#
    );
    for broken in [r#"{"body": {"x": NaN}}"#, r#"{"body": {"x": "\ud800"}}"#] {
        let answer = world.post("/echo/filter/inlet", broken).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (500, "Internal Server Error")
        );
    }
    let deep = format!(
        r#"{{"body": {{"x": {}{}}}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let answer = world.post("/echo/filter/inlet", deep).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (400, r#"{"detail":"There was an error parsing the body"}"#)
    );
}

#[tokio::test]
async fn manifolds_are_found_as_the_reference_finds_them() {
    let world = strict().await;
    let body =
        |model: &str| json!({"body": {"model": model, "messages": [{"content": "x"}]}}).to_string();
    let check = async |path: &str, model: &str, status, text: &str| {
        let answer = world.post(path, body(model)).await;
        assert_eq!(answer.status, status, "{path} {model}: {answer:?}");
        assert!(answer.body.contains(text), "{answer:?}");
    };
    check("/mani.p1/filter/outlet", "mani.p1", 200, "messages").await;
    check(
        "/mani.p1/filter/inlet",
        "echo",
        500,
        "Internal Server Error",
    )
    .await;
    check(
        "/mani.org/p.2:x/filter/inlet",
        "mani.p1",
        404,
        r#"{"detail":"Not Found"}"#,
    )
    .await;
    check(
        "/mani.org%2Fp.2%3Ax/filter/inlet",
        "mani.p1",
        404,
        r#"{"detail":"Not Found"}"#,
    )
    .await;
    check(
        "/mani/filter/inlet",
        "mani.p1",
        404,
        r#"{"detail":"Filter mani not found"}"#,
    )
    .await;
    let chat = world
        .post("/v1/chat/completions", r#"{"model":"mani","messages":[]}"#)
        .await;
    assert_eq!(
        (chat.status, chat.body.as_str()),
        (404, r#"{"detail":"Pipeline mani not found"}"#)
    );
}
