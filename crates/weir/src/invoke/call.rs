//! The calls that `weir invoke` makes, each the way a server takes. What they answer goes to standard output.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail};
use engine::Engine;
use model::BoxFuture;
use model::chat::{ChatRequest, Closed, Direction, FilterMessage, Item, Reply};
use model::error::StageError;
use model::events::Topic;
use model::exchange::{Caller, Cause, Exchange};
use model::hooks::PointName;
use model::id::PluginId;
use serde_json::{Value, json};

use super::{CallArg, stage};
use crate::cli::{FilterArg, InvokeArgs};
use crate::say;
use crate::wiring::Host;

/// How long a peer call may take; its own deadline is shorter by default.
const LONG: Duration = Duration::from_secs(3_600);

/// Makes the call that the arguments ask for.
pub(super) async fn make(host: &Host, id: &str, arguments: &InvokeArgs) -> anyhow::Result<()> {
    let engine = &host.engine;
    let call = match (arguments.call, arguments.filter) {
        (Some(call), None) => call,
        (Some(_), Some(_)) => bail!("--filter and the word for a call mean the same; one of them"),
        (None, Some(FilterArg::Inlet)) => CallArg::Inlet,
        (None, Some(FilterArg::Outlet)) => CallArg::Outlet,
        (None, None) => CallArg::Pipe,
    };
    match call {
        CallArg::Pipe => chat(engine, id, arguments, body(arguments, id)?).await,
        CallArg::Inlet => filter(engine, id, Direction::Inlet, &body(arguments, id)?).await,
        CallArg::Outlet => filter(engine, id, Direction::Outlet, &body(arguments, id)?).await,
        CallArg::Models => models(engine, id).await,
        CallArg::Hook => hook(host, arguments).await,
        CallArg::Peer => peer(host, id, arguments).await,
        CallArg::Event => event(host, arguments).await,
    }
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

async fn filter(
    engine: &Arc<Engine>,
    id: &str,
    direction: Direction,
    body: &Value,
) -> anyhow::Result<()> {
    let target = engine.find_filter(id).context("the plugin is no filter")?;
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
    engine: &Arc<Engine>,
    id: &str,
    arguments: &InvokeArgs,
    body: Value,
) -> anyhow::Result<()> {
    let model = body.get("model").and_then(Value::as_str).unwrap_or(id);
    let target = engine.find_model(model).with_context(|| {
        if let Some(said) = stage::said(engine, id) {
            return said;
        }
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

async fn models(engine: &Arc<Engine>, id: &str) -> anyhow::Result<()> {
    let plugin = engine.plugin(id).context("the plugin is gone")?;
    if let Some(reason) = plugin.models_error {
        bail!(reason.message);
    }
    let listed = engine.models().await.into_iter();
    for model in listed.filter(|m| m.plugin_id.as_str() == id) {
        say(&format!("{}  {}", model.id, model.name));
    }
    Ok(())
}

async fn hook(host: &Host, arguments: &InvokeArgs) -> anyhow::Result<()> {
    let other = &arguments.other;
    let point = other
        .point
        .as_deref()
        .context("of a hook, --point is needed")?;
    let context = other
        .context
        .as_deref()
        .context("of a hook, --context is needed")?;
    let (context, result) = (
        json("--context", context)?,
        json("--result", &other.result)?,
    );
    let point = PointName::new(point).map_err(anyhow::Error::msg)?;
    let Some(core) = point.core() else {
        let owner = point.as_str().rsplit_once('/').map_or("", |(id, _)| id);
        let fired = host
            .switchboard
            .fire(caller(owner)?, point.to_string(), context);
        say(&fired.await?);
        return Ok(());
    };
    let taken = Arc::new(OnceLock::new());
    let step = {
        let taken = Arc::clone(&taken);
        move |context: String, _: Cause| -> BoxFuture<'static, Result<String, StageError>> {
            let _once = taken.set(context);
            Box::pin(std::future::ready(Ok(result)))
        }
    };
    let done = host.engine.at_point(core, context, Box::new(step)).await;
    match taken.get() {
        Some(context) => say(&format!("context of the step: {context}")),
        None => say("the step was not taken"),
    }
    say(&format!("result: {}", done?));
    Ok(())
}

async fn peer(host: &Host, id: &str, arguments: &InvokeArgs) -> anyhow::Result<()> {
    let other = &arguments.other;
    let method = other
        .method
        .clone()
        .context("of a peer, --method is needed")?;
    let payload = json("--payload", &other.payload)?;
    let (caller, callee) = (caller(&other.caller)?, PluginId::new(id)?);
    let answer = host.switchboard.call(caller, callee, method, payload, LONG);
    say(&answer.await?);
    Ok(())
}

async fn event(host: &Host, arguments: &InvokeArgs) -> anyhow::Result<()> {
    let other = &arguments.other;
    let topic = other
        .topic
        .as_deref()
        .context("of an event, --topic is needed")?;
    let payload = json("--payload", &other.payload)?;
    let emitted = host
        .switchboard
        .emit(caller(&other.caller)?, Topic::new(topic)?, payload);
    say(&format!("emitted as {}", emitted.await?.id));
    Ok(())
}

fn caller(id: &str) -> anyhow::Result<Caller> {
    Ok(Caller {
        plugin: PluginId::new(id)?,
        cause: Cause::default(),
    })
}

/// Text that was given as JSON, checked.
fn json(option: &str, text: &str) -> anyhow::Result<String> {
    let value: Value =
        serde_json::from_str(text).with_context(|| format!("{option} is not JSON"))?;
    Ok(value.to_string())
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
