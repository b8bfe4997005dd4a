//! `weir invoke`: one call of one plugin, as a host would make it, with what it used beside what it may use.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use engine::Engine;
use model::BoxFuture;
use model::chat::{ChatRequest, Closed, Direction, FilterMessage, Item, Reply};
use model::limits::Limit;
use serde_json::{Value, json};

use crate::cli::{FilterArg, InvokeArgs};
use crate::{Failure, check, complain, logs, say};

/// Calls the plugin and prints its answer; usage goes to standard error.
pub(crate) fn run(arguments: InvokeArgs) -> Result<(), Failure> {
    logs::start(Some("warn,plugin=info"));
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let outcome = runtime.block_on(invoke(arguments));
    runtime.shutdown_background();
    outcome
}

async fn invoke(arguments: InvokeArgs) -> Result<(), Failure> {
    let loaded = check::load(
        &arguments.component,
        arguments.config.as_deref(),
        arguments.valves.as_deref(),
    )
    .await?;
    let check::Loaded {
        host,
        plugin,
        _data,
    } = loaded;
    if let Some(reason) = plugin.reason {
        return Err(Failure::Data(format!(
            "{}: {}",
            arguments.component.display(),
            reason.message
        )));
    }
    let id = plugin.id.context("the plugin has no id")?.to_string();
    let before = host.engine.plugin(&id).context("the plugin is gone")?.usage;
    let body = body(&arguments, &id)?;
    let outcome = match arguments.filter {
        Some(side) => filter(&host.engine, &id, side, &body).await,
        None => chat(&host.engine, &id, &arguments, body).await,
    };
    if let Some(after) = host.engine.plugin(&id) {
        let limits = plugin
            .settings
            .map(|s| s.limits.clone())
            .unwrap_or_default();
        complain(&format!(
            "fuel {} of {}, memory {} of {} bytes, host calls {} of {}",
            after.usage.fuel - before.fuel,
            limits.get(Limit::Fuel),
            after.usage.memory_high_water,
            limits.get(Limit::MemoryBytes),
            after.usage.host_calls - before.host_calls,
            limits.get(Limit::HostCalls),
        ));
    }
    host.engine.shutdown(Duration::from_secs(5)).await;
    Ok(outcome?)
}

/// The request body: the one given, or one that says `--message`.
fn body(arguments: &InvokeArgs, id: &str) -> anyhow::Result<Value> {
    let model = match &arguments.model {
        Some(model) => format!("{id}.{model}"),
        None => id.to_owned(),
    };
    let Some(file) = &arguments.body else {
        let messages = json!([{"role": "user", "content": arguments.message}]);
        return Ok(json!({"stream": arguments.stream, "model": model, "messages": messages}));
    };
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("standard input")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    }
    serde_json::from_str(&text).context("the body is not JSON")
}

async fn filter(engine: &Engine, id: &str, side: FilterArg, body: &Value) -> anyhow::Result<()> {
    let target = engine.find_filter(id).context("the plugin is no filter")?;
    let direction = match side {
        FilterArg::Inlet => Direction::Inlet,
        FilterArg::Outlet => Direction::Outlet,
    };
    let message = FilterMessage {
        body: body.to_string(),
        user: None,
        model: body.get("model").and_then(Value::as_str).map(str::to_owned),
        metadata: None,
    };
    say(&engine.filter(&target, direction, message).await?);
    Ok(())
}

async fn chat(
    engine: &Engine,
    id: &str,
    arguments: &InvokeArgs,
    body: Value,
) -> anyhow::Result<()> {
    let model = body.get("model").and_then(Value::as_str).unwrap_or(id);
    let target = engine.find_model(model).with_context(|| {
        let hint = if arguments.model.is_none() {
            "; of a manifold name one with --model"
        } else {
            ""
        };
        format!("the plugin has no model {model:?}{hint}")
    })?;
    let messages = body.get("messages").cloned().unwrap_or_else(|| json!([]));
    let said = messages.as_array().and_then(|m| {
        m.iter()
            .rev()
            .find(|m| m.get("role") == Some(&json!("user")))
    });
    let request = ChatRequest {
        model: target.sub().unwrap_or(id).to_owned(),
        user_message: said
            .and_then(|m| m.get("content"))
            .unwrap_or(&Value::Null)
            .to_string(),
        messages: messages.to_string(),
        user: body.get("user").map(Value::to_string),
        metadata: body.get("metadata").map(Value::to_string),
        body: body.to_string(),
    };
    engine.chat(&target, request, Box::new(Print)).await?;
    say("");
    Ok(())
}

/// Prints items as they come: text as it is, everything else on a line of its own.
struct Print;

impl Reply for Print {
    fn write(&mut self, item: Item) -> BoxFuture<'_, Result<(), Closed>> {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        let written = match item {
            Item::Text(text) => write!(out, "{text}"),
            Item::Event(json) => writeln!(out, "\nevent: {json}"),
            Item::Raw(line) => writeln!(out, "\n{line}"),
            Item::Object(json) => writeln!(out, "\nobject: {json}"),
        };
        let flushed = written.and_then(|()| out.flush()).map_err(|_| Closed);
        Box::pin(std::future::ready(flushed))
    }
}
