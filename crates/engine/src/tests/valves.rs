//! Valves: start values in layers, updates, and what is told to whom.

use serde_json::{Map, Value, json};

use super::fake::{install, world};
use crate::{Options, PluginState, ValvesError};
use model::error::LoadError;

fn plugin() -> Value {
    json!({"id": "p", "version": "1.0.0", "roles": ["pipe", "valves"], "valves": {"HOST": "localhost"},
        "spec": {"type": "object", "required": ["HOST"], "properties": {"HOST": {"type": "string"}, "PORT": {"type": "integer", "default": 1}, "n": {"type": "number", "default": 1.5}}}})
}

fn map(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn start_values_come_in_layers() {
    let world = world();
    let mut options = Options::default();
    let written = toml::from_str("valves = { PORT = \"2\", n = 3 }").unwrap();
    options.plugins.insert("p".into(), written);
    let engine = world.engine_with(options.clone());
    install(&engine, "p.wasm", &plugin()).await.unwrap();
    assert_eq!(
        json!(*engine.valves("p").unwrap().values).to_string(),
        r#"{"HOST":"localhost","PORT":2,"n":3.0}"#
    );
    assert_eq!(
        world.count(r#"load p@1.0.0 valves {"HOST":"localhost","PORT":2,"n":3.0} announce false"#),
        1
    );

    world
        .stored
        .lock()
        .unwrap()
        .insert("p".into(), r#"{"n":4,"gone":1}"#.into());
    engine.reload("p").await.unwrap();
    assert_eq!(
        world.count(r#"load p@1.0.0 valves {"HOST":"localhost","PORT":2,"n":4.0} announce true"#),
        1
    );
    // The file beside the component takes the place of the host configuration's entry as a whole.
    world
        .settings
        .lock()
        .unwrap()
        .insert("p.toml".into(), "[valves]\nPORT = 7".into());
    engine.reload("p").await.unwrap();
    assert_eq!(
        json!(*engine.valves("p").unwrap().values).to_string(),
        r#"{"HOST":"localhost","PORT":7,"n":4.0}"#
    );

    options.announce_valves = false;
    let quiet = world.engine_with(options);
    quiet.sync().await;
    assert_eq!(
        world.count(r#"load p@1.0.0 valves {"HOST":"localhost","PORT":7,"n":4.0} announce false"#),
        1
    );
}

#[tokio::test]
async fn values_that_do_not_fit_fail_that_plugin_only() {
    let world = world();
    let engine = world.engine();
    install(
        &engine,
        "q.wasm",
        &json!({"id": "q", "version": "1.0.0", "roles": ["pipe"]}),
    )
    .await
    .unwrap();
    world.put("p.wasm", &plugin());
    let check = async |stored: Option<&str>, settings: Option<&str>, words: &[&str]| {
        world.stored.lock().unwrap().clear();
        world.settings.lock().unwrap().clear();
        if let Some(stored) = stored {
            world
                .stored
                .lock()
                .unwrap()
                .insert("p".into(), stored.into());
        }
        if let Some(settings) = settings {
            world
                .settings
                .lock()
                .unwrap()
                .insert("p.toml".into(), settings.into());
        }
        engine.sync().await;
        let error = engine.reload("p").await.unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word} in {error}");
        }
        assert_eq!(engine.plugin("q").unwrap().state, PluginState::Started);
    };
    check(
        Some("{"),
        None,
        &["stored values of p", "not a JSON object"],
    )
    .await;
    check(
        Some(r#"{"PORT":"x"}"#),
        None,
        &["stored values of p", "PORT", "integer"],
    )
    .await;
    check(
        None,
        Some("[valves]\nPROT = 1"),
        &["p.toml", "PROT", "HOST, PORT, n"],
    )
    .await;
    world
        .settings
        .lock()
        .unwrap()
        .insert("q.toml".into(), "[valves]\na = 1".into());
    assert!(
        engine
            .reload("q")
            .await
            .unwrap_err()
            .to_string()
            .contains("has none")
    );
    let mut none = plugin();
    none["valves"] = json!({});
    let error = install(&engine, "r.wasm", &none).await.unwrap_err();
    assert!(
        matches!(&error, LoadError::Valves(text) if text.contains("HOST")),
        "{error}"
    );
}

#[tokio::test]
async fn an_update_replaces_stores_and_tells() {
    let world = world();
    let engine = world.engine();
    install(&engine, "p.wasm", &plugin()).await.unwrap();
    install(
        &engine,
        "q.wasm",
        &json!({"id": "q", "version": "1.0.0", "roles": ["pipe"]}),
    )
    .await
    .unwrap();
    let view = engine
        .update_valves("p", map(json!({"HOST": "h", "PORT": "7", "x": 1})))
        .await
        .unwrap();
    let expected = r#"{"HOST":"h","PORT":7,"n":1.5}"#;
    assert_eq!(json!(*view.values).to_string(), expected);
    assert_eq!(view.spec["title"], "Valves");
    assert_eq!(world.stored.lock().unwrap()["p"], expected);
    assert_eq!(world.count(&format!("valves p@1.0.0 {expected}")), 1);

    // Nothing changes when something does not fit, or cannot be stored.
    let error = engine
        .update_valves("p", map(json!({"PORT": "x"})))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ValvesError::Invalid(e) if e.len() == 2),
        "{error}"
    );
    world.broken.lock().unwrap().insert("valves");
    assert!(matches!(
        engine.update_valves("p", map(json!({"HOST": "i"}))).await,
        Err(ValvesError::Store(_))
    ));
    world.broken.lock().unwrap().clear();
    assert_eq!(
        json!(*engine.valves("p").unwrap().values).to_string(),
        expected
    );
    assert_eq!(world.stored.lock().unwrap()["p"], expected);

    // The plugin's own failure is told; the values stay.
    let mut refusing = plugin();
    refusing["fail"] = "valves".into();
    install(&engine, "p.wasm", &refusing).await.unwrap();
    assert!(
        matches!(engine.update_valves("p", map(json!({"HOST": "raise"}))).await, Err(ValvesError::Hook(e)) if e.fault.said() == Some("valves fails"))
    );
    assert_eq!(engine.valves("p").unwrap().values["HOST"], "raise");
    assert!(world.stored.lock().unwrap()["p"].contains("raise"));

    // Of a stopped plugin they are kept for its start.
    engine.stop("p", false).await.unwrap();
    engine
        .update_valves("p", map(json!({"HOST": "later"})))
        .await
        .unwrap();
    engine.start("p").await.unwrap();
    assert_eq!(engine.valves("p").unwrap().values["HOST"], "later");
    assert!(matches!(engine.valves("q"), Err(ValvesError::NoValves(_))));
    assert!(matches!(
        engine.update_valves("q", Map::new()).await,
        Err(ValvesError::NoValves(_))
    ));
    assert!(matches!(engine.valves("x"), Err(ValvesError::NotFound(_))));
}

#[tokio::test]
async fn an_update_changes_what_a_filter_covers_and_a_manifold_offers() {
    let world = world();
    let engine = world.engine();
    let spec = json!({"type": "object", "properties": {"pipelines": {"type": "array", "items": {"type": "string"}, "default": []}, "priority": {"type": "integer", "default": 0}}});
    install(&engine, "f.wasm", &json!({"id": "f", "version": "1.0.0", "roles": ["filter", "valves"], "spec": spec, "valves": {"pipelines": ["*"]}})).await.unwrap();
    install(&engine, "m.wasm", &json!({"id": "m", "version": "1.0.0", "roles": ["pipe", "manifold", "valves"], "spec": spec})).await.unwrap();
    let body = async |model| {
        let message = super::fake::message("b", Some(model));
        engine
            .filter_chain(model::chat::Direction::Inlet, message)
            .await
            .unwrap()
            .body
    };
    assert_eq!(body("x").await, "b f-inlet");
    engine
        .update_valves("f", map(json!({"pipelines": ["y"]})))
        .await
        .unwrap();
    assert_eq!(
        (body("x").await, body("y").await),
        ("b".into(), "b f-inlet".into())
    );
    world
        .settings
        .lock()
        .unwrap()
        .insert("models".into(), "new".into());
    engine.update_valves("m", Map::new()).await.unwrap();
    assert!(engine.find_model("m.new").is_some() && engine.find_model("m.one").is_none());
}
