//! Hooks at the host's points and at other plugins' own: what they change, in which order, and what their refusals look like.

use e2e::actors::stamp;
use e2e::guests;
use e2e::http::Answer;
use e2e::load::Load;
use e2e::server::{Server, Setup};
use e2e::upstream::{Upstream, openai_stream};
use e2e::wait::PATIENCE;
use serde_json::{Value, json};

/// The hooks at a point in the order they run, as the API shows them.
async fn order(server: &Server, point: &str) -> Vec<Value> {
    let answer = server.get(&format!("/api/v1/hooks/{point}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["hooks"].as_array().unwrap().clone()
}

/// The text of a stream.
fn streamed(answer: &Answer) -> String {
    let events = answer.events();
    assert_eq!(events.last().unwrap(), "[DONE]", "{}", answer.text());
    let chunks = events.iter().filter_map(|e| serde_json::from_str(e).ok());
    chunks
        .filter_map(|e: Value| {
            let text = e["choices"][0]["delta"]["content"].as_str()?;
            Some(text.to_owned())
        })
        .collect()
}

/// Is it a hook's no, with this status and this text, told in all three ways?
fn assert_refused(answer: &Answer, status: u16, message: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["error"]["code"], "hook_error", "{body}");
    assert_eq!(body["error"]["message"], message, "{body}");
    assert_eq!(body["detail"], message, "{body}");
}

#[tokio::test]
async fn hooks_of_every_mode_lie_around_a_chat() {
    let server = Setup::new()
        .guest("examples/echo.wasm")
        .guest("system/hook-before.wasm")
        .guest("system/hook-after.wasm")
        .guest("system/hook-around.wasm")
        .guest("system/hook-replace-a.wasm")
        .guest("system/hook-replace-b.wasm")
        .start()
        .await;
    let hooks = order(&server, "chat_request").await;
    let text = |hook: &Value, key: &str| hook[key].as_str().unwrap().to_owned();
    let names: Vec<_> = hooks.iter().map(|h| text(h, "plugin")).collect();
    let resolved = [
        "hook-after",
        "hook-around",
        "hook-before",
        "hook-replace-a",
        "hook-replace-b",
    ];
    assert_eq!(
        names, resolved,
        "by priority, then by id; replace innermost"
    );
    let modes: Vec<_> = hooks.iter().map(|h| text(h, "mode")).collect();
    assert_eq!(modes, ["after", "around", "before", "replace", "replace"]);
    // Two want to replace the step: one does, and all can see which.
    let beaten = &hooks[4];
    assert_eq!(beaten["active"], false, "{beaten}");
    assert_eq!(beaten["beaten_by"], "hook-replace-a", "{beaten}");
    let notes = server.get("/api/v1/plugins/hook-replace-b").await.json()["notes"].to_string();
    assert!(notes.contains("hook-replace-a"), "{notes}");

    let answer = server.chat("echo", "hi").await;
    assert_eq!(
        answer.content(),
        "answered by hook-replace-a [around out] [after]"
    );
    server.stop("hook-replace-a").await;
    assert_eq!(
        server.chat("echo", "hi").await.content(),
        "answered by hook-replace-b [around out] [after]"
    );
    server.stop("hook-replace-b").await;
    let all = "hi [around in] [before] [around out] [after]";
    assert_eq!(server.chat("echo", "hi").await.content(), all);
    assert_eq!(streamed(&server.stream("echo", "hi").await), all);
    for plugin in ["hook-before", "hook-after", "hook-around"] {
        server.stop(plugin).await;
    }
    assert_eq!(order(&server, "chat_request").await, Vec::<Value>::new());
    assert_eq!(server.chat("echo", "hi").await.content(), "hi");
}

#[tokio::test]
async fn the_operators_priorities_decide_who_is_outermost() {
    let hook = |id: &str, priority: i32, word: &str| {
        json!({"id": id, "version": "1.0.0",
            "hooks": [{"point": "chat_request", "mode": "before", "priority": priority}],
            "does": {"before": {"edit": {"append": {"/body/messages/-/content": word}}}}})
    };
    let granted = "[grants]\nhooks = [\"chat_request\"]\n";
    let server = Setup::new()
        .guest("examples/echo.wasm")
        .actor("hook", granted, &hook("a-last", 90, " third"))
        .actor("hook", granted, &hook("b-first", -5, " first"))
        .actor("hook", granted, &hook("c-middle", 50, " second"))
        .start()
        .await;
    let answer = server.chat("echo", "zero").await;
    assert_eq!(answer.content(), "zero first second third");
}

#[tokio::test]
async fn hooks_change_replies_and_what_filters_see() {
    let server = Setup::new()
        .guest("examples/echo.wasm")
        .guest("examples/redact.wasm")
        .guest("system/hook-reply.wasm")
        .guest("system/hook-inlet.wasm")
        .guest("system/hook-outlet.wasm")
        .start()
        .await;
    assert_eq!(server.chat("echo", "hi").await.content(), "hi [reply]");
    let sent = streamed(&server.stream("echo", "hi").await);
    assert_eq!(
        sent, "hi",
        "what a client has got already cannot be changed"
    );
    for (way, word) in [("inlet", "hi [inlet]"), ("outlet", "hi [outlet]")] {
        let body = json!({"body": {"model": "m", "messages": [{"role": "user", "content": "hi"}]}, "user": {"id": "u", "role": "user"}});
        let answer = server.post(&format!("/redact/filter/{way}"), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["messages"][0]["content"], word);
    }
}

/// What a plugin passes on from an upstream, line by line, is a reply like any other.
#[tokio::test]
async fn hooks_see_replies_that_are_passed_on_raw() {
    let upstream = Upstream::start(vec![(
        "/v1/chat/completions",
        openai_stream(&["from", " upstream"]),
    )])
    .await;
    let host = upstream.host;
    let settings = format!(
        "valves = {{ base_url = \"http://{host}/v1\", api_key = \"k\" }}\n[grants.http]\nallow = [\"http://{host}\"]\nprivate = [\"127.0.0.0/8\"]\n"
    );
    let server = Setup::new()
        .guest("examples/openai-proxy.wasm")
        .file("openai-proxy.toml", settings.as_bytes())
        .guest("system/hook-reply.wasm")
        .start()
        .await;
    let answer = server.chat("openai-proxy", "hi").await;
    assert_eq!(answer.content(), "from upstream [reply]");
    let answer = server.stream("openai-proxy", "hi").await;
    assert_eq!(streamed(&answer), "from upstream");
}

#[tokio::test]
async fn a_refusal_is_a_hook_error_with_its_reason() {
    let server = Setup::new()
        .guest("examples/echo.wasm")
        .guest("system/hook-refuse.wasm")
        .start()
        .await;
    let said = "hook-error at chat_request: told to fail: refused";
    assert_refused(&server.chat("echo", "hi").await, 403, said);
    assert_refused(&server.stream("echo", "hi").await, 403, said);
    let refused = server.plugin("hook-refuse").await.unwrap();
    assert_eq!(
        refused["faults"],
        json!([]),
        "saying no is no fault: {refused}"
    );
    let refused = server.get("/api/v1/plugins/echo").await.json();
    assert_eq!(refused["calls"]["total"], 0, "the step did not happen");
    let setup = server.into_setup().await;
    let mut strict = setup.strict().start().await;
    strict.key = "0p3n-w3bu!".into();
    let answer = strict.chat("echo", "hi").await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(answer.json(), json!({"detail": said}));
}

#[tokio::test]
async fn each_kind_of_refusal_has_its_status() {
    let manifest = json!({"id": "no", "version": "1.0.0",
        "hooks": [
            {"point": "inlet", "mode": "before"},
            {"point": "outlet", "mode": "around"},
            {"point": "chat_request", "mode": "replace"},
        ],
        "does": {"before": {"fail": "invalid"}, "around": {"fail": "transient"}, "replace": {"fail": "internal"}}});
    let late = json!({"id": "late", "version": "1.0.0", "hooks": [{"point": "chat_request", "mode": "around"}],
        "does": {"around": {"then": {"fail": "refused"}}}});
    let server = Setup::new()
        .guest("examples/echo.wasm")
        .guest("examples/redact.wasm")
        .actor("hook", "[grants]\nhooks = true\n", &manifest)
        .actor("hook", "[grants]\nhooks = true\n", &late)
        .start()
        .await;
    let body = json!({"body": {"messages": [{"role": "user", "content": "hi"}]}});
    let inlet = server.post("/redact/filter/inlet", &body).await;
    assert_refused(&inlet, 400, "hook-error at inlet: told to fail: invalid");
    let outlet = server.post("/redact/filter/outlet", &body).await;
    let said = "hook-error at outlet: told to fail: transient";
    assert_refused(&outlet, 503, said);
    assert_eq!(outlet.header("retry-after"), Some("1"));
    let said = "hook-error at chat_request: told to fail: internal";
    assert_refused(&server.chat("echo", "hi").await, 500, said);
    server.stop("no").await;
    // Once the stream has begun, the refusal is its last event before the end.
    let answer = server.stream("echo", "hi").await;
    assert_eq!((answer.status, answer.complete), (200, true));
    let events = answer.events();
    let [.., error, done] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(done, "[DONE]");
    let error: Value = serde_json::from_str(error).unwrap();
    assert_eq!(error["error"]["code"], "hook_error", "{error}");
    let said = "hook-error at chat_request: told to fail: refused";
    assert_eq!(error["error"]["message"], said);
}

/// Whoever may upload may not look into chats: hooks are granted by the operator or not at all.
#[tokio::test]
async fn hooks_that_were_not_granted_are_refused() {
    let spy = |id: &str| {
        json!({"id": id, "version": "1.0.0", "hooks": [{"point": "chat_request", "mode": "before"}],
            "does": {"before": {"edit": {"append": {"/body/messages/-/content": " [spied]"}}}}})
    };
    let server = Setup::new()
        .guest("examples/echo.wasm")
        .actor("hook", "", &spy("spy"))
        .actor("hook", "[grants]\nhooks = [\"inlet\"]\n", &spy("elsewhere"))
        .actor("hook", "[grants]\noptional = [\"hooks\"]\n", &spy("humble"))
        .start()
        .await;
    for file in ["spy.wasm", "elsewhere.wasm"] {
        let (code, message) = server.reason(file).await;
        assert_eq!(code, "missing_grant", "{message}");
        assert!(message.contains("chat_request"), "{message}");
        assert!(message.contains("hooks = "), "the line to write: {message}");
    }
    let humble = server.get("/api/v1/plugins/humble").await.json();
    assert_eq!(humble["state"], "started", "{humble}");
    assert!(
        humble["notes"].to_string().contains("chat_request"),
        "{humble}"
    );
    let upload = server
        .request("POST", "/pipelines/upload")
        .file("uploaded.wasm", &stamp("hook", &spy("uploaded")));
    let answer = server.send(&upload).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "missing_grant");
    assert_eq!(order(&server, "chat_request").await, Vec::<Value>::new());
    assert_eq!(server.chat("echo", "hi").await.content(), "hi");
}

#[tokio::test]
async fn loads_and_unloads_can_be_refused() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("system/hook-unload-refuse.wasm")
        .start()
        .await;
    server.install("system/hook-load-refuse.wasm");
    server
        .until_plugin("hook-load-refuse", PATIENCE, |p| p["state"] == "started")
        .await;
    let upload = server
        .request("POST", "/pipelines/upload")
        .file("echo.wasm", &guests::bytes("examples/echo.wasm"));
    let said = "The plugin did not load: hook-error at plugin_load: told to fail: refused";
    assert_refused(&server.send(&upload).await, 403, said);
    let reload = server.call("POST", "/api/v1/plugins/ok/reload").await;
    assert_refused(&reload, 403, said);
    assert_eq!(server.chat("ok", "").await.content(), "ok", "as before");

    let said = "hook-error at plugin_unload: told to fail: refused";
    for (method, path) in [
        ("POST", "/api/v1/plugins/hook-load-refuse/stop"),
        ("DELETE", "/api/v1/plugins/ok"),
        ("POST", "/api/v1/plugins/ok/stop"),
    ] {
        assert_refused(&server.call(method, path).await, 403, said);
    }
    // The operator's last word.
    let path = "/api/v1/plugins/hook-load-refuse/stop?force=true";
    assert_eq!(server.call("POST", path).await.status, 200);
    assert_eq!(server.send(&upload).await.status, 200);
    let path = "/api/v1/plugins/ok/stop?force=true";
    assert_eq!(server.call("POST", path).await.status, 200);
    assert_eq!(server.plugin("ok").await.unwrap()["state"], "stopped");
}

#[tokio::test]
async fn events_are_edited_and_refused() {
    let server = Setup::new()
        .guest("system/emitter.wasm")
        .guest("system/listener.wasm")
        .guest("system/hook-event-edit.wasm")
        .guest("system/hook-event-refuse.wasm")
        .start()
        .await;
    let emit = json!({"emit": "orders.new", "payload": {"a": 1}});
    assert_eq!(server.tell("emitter", &emit).await, json!({"denied": 1}));
    server.stop("hook-event-refuse").await;
    let mut listener = server.listen("?topic=orders.*", None).await;
    assert_eq!(server.tell("emitter", &emit).await, json!({"ok": 1}));
    let edited = json!({"a": 1, "number": 0, "edited": true});
    assert_eq!(listener.next().await.payload(), &edited);
    let heard = super::events::heard(&server, "listener", 1).await;
    assert_eq!(heard[0]["payload"], edited, "the refused one was not heard");
}

#[tokio::test]
async fn a_plugins_own_point_has_its_hooks() {
    let server = Setup::new()
        .guest("examples/bridge.wasm")
        .guest("examples/provider.wasm")
        .guest("examples/integration.wasm")
        .guest("system/hook-at-own-point.wasm")
        .start()
        .await;
    let point = server.get("/api/v1/hooks/bridge/before_send").await.json();
    assert_eq!(point["defined_by"], "bridge", "{point}");
    assert_eq!(point["fires"], true, "{point}");
    assert_eq!(point["hooks"][0]["plugin"], "hook-at-own-point", "{point}");
    let sent = server.chat("integration", "send integration hi").await;
    assert_eq!(sent.status, 200, "{}", sent.text());
    let letters = server.chat("integration", "letters").await.content();
    assert!(letters.contains("hi [hooked]"), "{letters}");
}

/// Calls under way keep the hooks they began with; no reply is lost while hooks come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reply_is_lost_while_hooks_come_and_go() {
    let server = Setup::new()
        .guest("examples/echo.wasm")
        .guest("system/hook-before.wasm")
        .guest("system/hook-around.wasm")
        .start()
        .await;
    let request = server.chat_request("echo", "hi");
    let load = Load::start(server.host, 16, &request, |answer| {
        if answer.status != 200 {
            return Err(format!("{} {}", answer.status, answer.text()));
        }
        match answer.content().as_str() {
            "hi"
            | "hi [before]"
            | "hi [around in] [around out]"
            | "hi [around in] [before] [around out]" => Ok(()),
            other => Err(format!("neither with nor without: {other}")),
        }
    });
    for round in 0..25 {
        let answer = server
            .call("POST", "/api/v1/plugins/hook-before/reload")
            .await;
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
        let content = server.chat("echo", "hi").await.content();
        assert_eq!(content, "hi [around in] [before] [around out]");
        server.stop("hook-around").await;
        assert_eq!(server.chat("echo", "hi").await.content(), "hi [before]");
        server.restart("hook-around").await;
    }
    let outcome = load.stop().await;
    let failures = &outcome.failures;
    assert!(
        failures.is_empty(),
        "{:?}",
        &failures[..failures.len().min(5)]
    );
    assert!(outcome.latencies.len() > 100, "{}", outcome.latencies.len());
}
