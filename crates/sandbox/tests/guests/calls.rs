//! Guests of the corpus: the three ways of reuse, limits, valves. `just guests` builds them.

use std::sync::{Arc, Mutex};

use model::BoxFuture;
use model::chat::{ChatRequest, Closed, Item, Reply};
use model::component::{ComponentFile, FileName};
use model::error::Fault;
use model::exchange::Cause;
use model::plugin::Plugin;
use model::settings::{PluginSettings, Reuse};

use crate::world::{limited, load, world, world_with};

fn guest(group: &str, name: &str) -> ComponentFile {
    let path = format!(
        "{}/../../guest-examples/dist/{group}/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    let bytes =
        std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}; run `just guests` first"));
    ComponentFile {
        name: FileName::new(&format!("{name}.wasm")).unwrap(),
        bytes: bytes.into(),
    }
}

#[derive(Clone, Default)]
struct Collect(Arc<Mutex<Vec<Item>>>);

impl Reply for Collect {
    fn write(&mut self, item: Item) -> BoxFuture<'_, Result<(), Closed>> {
        self.0.lock().unwrap().push(item);
        Box::pin(std::future::ready(Ok(())))
    }
}

fn request(model: &str, text: &str) -> ChatRequest {
    let messages = serde_json::json!([{"role": "user", "content": text}]);
    ChatRequest {
        model: model.into(),
        user_message: serde_json::json!(text).to_string(),
        messages: messages.to_string(),
        body: serde_json::json!({"stream": false, "model": model, "messages": messages})
            .to_string(),
        user: None,
        metadata: None,
    }
}

async fn chat(plugin: &Arc<dyn Plugin>, text: &str) -> Result<String, Fault> {
    let reply = Collect::default();
    let id = plugin.about().manifest.id.to_string();
    Arc::clone(plugin)
        .chat(
            request(&id, text),
            Box::new(reply.clone()),
            Cause::default(),
        )
        .await
        .map_err(|e| e.fault)?;
    let items = reply.0.lock().unwrap();
    Ok(items.iter().map(Item::text).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_answers_and_its_use_is_counted() {
    let world = world();
    let plugin = load(
        &world,
        guest("corpus", "echo_str"),
        PluginSettings::default(),
    )
    .await
    .unwrap();
    Arc::clone(&plugin).start().await.unwrap();
    assert_eq!(chat(&plugin, "hi").await.unwrap(), "echo[echo_str]: hi");
    let usage = plugin.usage();
    assert!(
        usage.fuel > 1_000 && usage.memory_high_water >= 64 * 1024,
        "{usage:?}"
    );
    assert_eq!(
        (usage.instances, usage.idle_instances, usage.instances_made),
        (1, 1, 1)
    );
    assert!(
        usage.bytes_in > 0 && usage.bytes_out > 0 && usage.host_calls > 0,
        "{usage:?}"
    );
    Arc::clone(&plugin).stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_load_comes_from_the_cache() {
    let world = world();
    let first = load(&world, guest("corpus", "ok"), PluginSettings::default())
        .await
        .unwrap();
    let second = load(&world, guest("corpus", "ok"), PluginSettings::default())
        .await
        .unwrap();
    assert_eq!(first.about().digest, second.about().digest);
    let files = std::fs::read_dir(world.folder.path().join("cache"))
        .unwrap()
        .count();
    assert_eq!(files, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reuse_decides_what_an_instance_remembers() {
    let world = world();
    for (reuse, second) in [
        (Reuse::Pool, "n=2"),
        (Reuse::Single, "n=2"),
        (Reuse::Call, "n=1"),
    ] {
        let plugin = load(&world, guest("corpus", "stateful"), limited(&[], reuse))
            .await
            .unwrap();
        assert!(chat(&plugin, "x").await.unwrap().starts_with("n=1"));
        let answer = chat(&plugin, "x").await.unwrap();
        assert!(answer.starts_with(second), "{reuse:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_recycled_after_its_calls() {
    let world = world();
    let settings = limited(&[("recycle_calls", 3)], Reuse::Pool);
    let plugin = load(&world, guest("corpus", "stateful"), settings)
        .await
        .unwrap();
    for _ in 0..10 {
        chat(&plugin, "x").await.unwrap();
    }
    let usage = plugin.usage();
    assert!(
        usage.instances_made > 3 && usage.instances <= 1,
        "{usage:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_enough_fuel_ends_and_its_instance_goes() {
    let world = world();
    let plugin = load(
        &world,
        guest("corpus", "dump_args"),
        limited(&[("fuel", 5_000)], Reuse::Pool),
    )
    .await
    .unwrap();
    assert_eq!(
        chat(&plugin, "x").await.unwrap_err(),
        Fault::OutOfFuel { limit: 5_000 }
    );
    assert_eq!(plugin.usage().instances, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_over_its_limit_ends_the_call() {
    let world = world();
    let plugin = load(
        &world,
        guest("corpus", "gen_words"),
        limited(&[("output_items", 2)], Reuse::Pool),
    )
    .await
    .unwrap();
    let fault = chat(&plugin, "x").await.unwrap_err();
    assert_eq!(fault.code(), "limit_reached", "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_an_answer_and_keeps_the_instance() {
    let world = world();
    let plugin = load(&world, guest("corpus", "raises"), PluginSettings::default())
        .await
        .unwrap();
    assert_eq!(
        chat(&plugin, "x").await.unwrap_err(),
        Fault::Internal("boom in pipe".into())
    );
    assert_eq!(plugin.usage().instances, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_valves_reach_every_instance_before_its_next_call() {
    let world = world();
    let plugin = load(
        &world,
        guest("corpus", "valves_all"),
        PluginSettings::default(),
    )
    .await
    .unwrap();
    Arc::clone(&plugin).start().await.unwrap();
    let values = r#"{"API_KEY":"","HOST":"there","PORT":1,"temperature":0.5,"enabled":true,"mode":"fast","tags":[],"limit":null,"headers":{},"either":1}"#;
    Arc::clone(&plugin).set_valves(values.into()).await.unwrap();
    let answer = chat(&plugin, "x").await.unwrap();
    assert!(
        answer.starts_with("1 ") && answer.contains("there"),
        "{answer}"
    );
    let refused = Arc::clone(&plugin)
        .set_valves(values.replace("there", "raise").into())
        .await
        .unwrap_err();
    assert_eq!(refused.fault.said(), Some("on_valves_updated refused"));
    assert!(
        chat(&plugin, "x").await.unwrap().contains("raise"),
        "the change stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_queue_are_refused_at_once() {
    let world = world();
    let settings = limited(&[("concurrency", 1), ("queue", 0)], Reuse::Pool);
    let plugin = load(&world, guest("corpus", "ok"), settings).await.unwrap();
    let calls = (0..20).map(|_| chat(&plugin, "x"));
    let outcomes = futures_util::future::join_all(calls).await;
    assert!(outcomes.iter().any(Result::is_ok));
    assert!(
        outcomes
            .iter()
            .all(|o| o.is_ok() || matches!(o, Err(Fault::Unavailable { .. }))),
        "{outcomes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_host_takes_idle_instances_back() {
    let world = world_with(2);
    let mut plugins = Vec::new();
    for name in ["ok", "echo_str", "gen_words"] {
        plugins.push(
            load(&world, guest("corpus", name), PluginSettings::default())
                .await
                .unwrap(),
        );
    }
    for plugin in plugins.iter().chain(&plugins) {
        chat(plugin, "x").await.unwrap();
    }
    let alive: u64 = plugins.iter().map(|p| p.usage().instances).sum();
    assert!(alive <= 2, "{alive}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_may_return_the_large_body_it_was_given() {
    let world = world();
    let settings = limited(&[("output_bytes", 1_000)], Reuse::Pool);
    let plugin = load(&world, guest("corpus", "filter_novalves"), settings)
        .await
        .unwrap();
    let message = model::chat::FilterMessage {
        body: serde_json::json!({"messages": [{"role": "user", "content": "x".repeat(1 << 20)}]})
            .to_string(),
        user: None,
        model: None,
        metadata: None,
    };
    let body = message.body.clone();
    let answer = Arc::clone(&plugin)
        .filter(model::chat::Direction::Inlet, message, Cause::default())
        .await
        .unwrap();
    assert_eq!(answer.len(), body.len());
}
