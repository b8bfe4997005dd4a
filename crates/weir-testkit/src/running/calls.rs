//! The calls that a test can make. Each goes the way that a server takes, through the engine.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use model::BoxFuture;
use model::chat::{ChatRequest, Closed, Direction, FilterMessage};
use model::error::{Fault, StageError};
use model::events::Topic;
use model::exchange::{Caller, Cause, Exchange, PeerError};
use model::hooks::{Point, PointName};
use model::id::{PluginId, PluginRef};
use serde_json::{Map, Value, json};

use super::Running;
use crate::fakes::lock;
use crate::outcome::{Failed, Item, Outcome, Reply};

impl Running {
    /// Asks the pipe: one user message.
    pub async fn chat(&self, message: &str) -> Outcome {
        self.chat_body(json!({"messages": [{"role": "user", "content": message}]}))
            .await
    }

    /// Asks one model of a manifold: one user message.
    pub async fn chat_with(&self, model: &str, message: &str) -> Outcome {
        self.chat_body(json!({"model": model, "messages": [{"role": "user", "content": message}]}))
            .await
    }

    /// Asks the pipe with a whole request body, as Open WebUI would send it. Without `model` it is the plugin's own.
    pub async fn chat_body(&self, mut body: Value) -> Outcome {
        let id = self.id();
        let given = body.get("model").and_then(Value::as_str).unwrap_or(id);
        let engine = Arc::clone(&self.world.engine);
        let whole = format!("{id}.{given}");
        let target = engine
            .find_model(given)
            .or_else(|| engine.find_model(&whole))
            .or_else(|| engine.find_filter(&whole))
            .or_else(|| engine.find_filter(given));
        let no_model = failed("no_such_model", format!("{id} has no model {given:?}"));
        let model = target
            .as_ref()
            .and_then(|t| t.sub())
            .map(|sub| format!("{id}.{sub}"));
        if let Some(body) = body.as_object_mut() {
            body.insert("model".into(), model.as_deref().unwrap_or(id).into());
        }
        let request = chat_request(id, &body);
        self.observe("chat", async move {
            let target = target.ok_or(no_model)?;
            let items = Arc::new(Mutex::new(Vec::new()));
            let reply = Box::new(Collected(Arc::clone(&items)));
            engine
                .chat(&target, request, reply)
                .await
                .map_err(of_stage)?;
            let items = std::mem::take(&mut *lock(&items));
            Ok(Reply::of_items(items))
        })
        .await
    }

    /// Sends a request through the filter's inlet. `user` is who asks, or null.
    pub async fn inlet(&self, body: &Value, user: &Value) -> Outcome {
        self.filter(Direction::Inlet, body, user).await
    }

    /// Sends a conversation through the filter's outlet. `user` is who asks, or null.
    pub async fn outlet(&self, body: &Value, user: &Value) -> Outcome {
        self.filter(Direction::Outlet, body, user).await
    }

    async fn filter(&self, direction: Direction, body: &Value, user: &Value) -> Outcome {
        let message = FilterMessage {
            body: body.to_string(),
            user: (!user.is_null()).then(|| user.to_string()),
            model: body.get("model").and_then(Value::as_str).map(str::to_owned),
            metadata: body.get("metadata").map(Value::to_string),
        };
        let engine = Arc::clone(&self.world.engine);
        let target = engine.find_filter(self.id());
        let gone = self.gone();
        self.observe(direction.as_str(), async move {
            let target = target.ok_or(gone)?;
            let answer = engine.filter(&target, direction, message).await;
            answer.map(Reply::of_json).map_err(of_stage)
        })
        .await
    }

    /// Asks a manifold for its models: a list of `{"id", "name"}`.
    pub async fn models(&self) -> Outcome {
        let plugin = self
            .world
            .watch
            .live(&self.target)
            .ok_or_else(|| self.gone());
        self.observe("models", async move {
            let models = plugin?.models().await.map_err(of_stage)?;
            Ok(Reply::of_value(json!(models)))
        })
        .await
    }

    /// Sets the valves, as people would: what is left out gets its default. Answers the values in force.
    pub async fn valves(&self, values: &Value) -> Outcome {
        let values = match values {
            Value::Object(values) => Ok(values.clone()),
            other => Err(failed(
                "invalid",
                format!("valves are an object, not {other}"),
            )),
        };
        let (engine, id) = (Arc::clone(&self.world.engine), self.target.to_string());
        self.observe("valves", async move {
            let updated = engine.update_valves(&id, values?).await;
            let view = updated.map_err(|e| failed("bad_valves", e.to_string()))?;
            Ok(Reply::of_value(Value::Object(Map::clone(&view.values))))
        })
        .await
    }

    /// What the plugin says it is: its manifest, and with it `roles`, `asks` (for capabilities) and `track` (of the contract).
    pub async fn describe(&self) -> Outcome {
        let about = self.world.engine.plugin(self.id()).and_then(|s| s.about);
        let about = about.ok_or_else(|| self.gone());
        self.observe("describe", async move {
            let about = about?;
            let mut all = json!(about.manifest);
            if let Some(all) = all.as_object_mut() {
                all.insert("roles".into(), json!(about.roles));
                all.insert("asks".into(), json!(about.asks));
                all.insert("track".into(), json!(about.track));
            }
            Ok(Reply::of_value(all))
        })
        .await
    }

    /// Emits an event, as another plugin would, and waits until it and all that follows from it is delivered. If the plugin that calls go to
    /// hears it and fails, that is the result.
    pub async fn emit(&self, topic: &str, payload: &Value) -> Outcome {
        self.emit_as(self.world.test.as_str(), topic, payload).await
    }

    /// The same, from a certain plugin, or from the host (`weir`).
    pub async fn emit_as(&self, origin: &str, topic: &str, payload: &Value) -> Outcome {
        let payload = payload.to_string();
        let caller = caller(origin);
        let topic = Topic::new(topic).map_err(|e| failed("bad_topic", e.to_string()));
        let switchboard = Arc::clone(&self.world.switchboard);
        let lost = self.world.watch.count();
        let outcome = self.observe("event", async move {
            let emitted = switchboard.emit(caller?, topic?, payload).await;
            let emitted = emitted.map_err(|e| failed("not_emitted", e.to_string()))?;
            Ok(Reply::of_value(json!({"id": emitted.id})))
        });
        self.or_lost(lost, outcome.await)
    }

    /// Calls the plugin as a peer.
    pub async fn peer(&self, caller_id: &str, method: &str, payload: &Value) -> Outcome {
        /// Longer than any deadline a test waits for: the plugin's own is the one that counts.
        const LONG: Duration = Duration::from_secs(3_600);
        let (caller, method, payload) = (caller(caller_id), method.to_owned(), payload.to_string());
        let (switchboard, callee) = (Arc::clone(&self.world.switchboard), self.target.clone());
        self.observe("peer call", async move {
            let answer = switchboard.call(caller?, callee, method, payload, LONG);
            answer.await.map(Reply::of_json).map_err(of_peer)
        })
        .await
    }

    /// Calls the plugin as a peer that waits for no answer, and waits until it is done with it. If it fails, that is the result.
    pub async fn cast(&self, caller_id: &str, method: &str, payload: &Value) -> Outcome {
        let (caller, method, payload) = (caller(caller_id), method.to_owned(), payload.to_string());
        let (switchboard, callee) = (Arc::clone(&self.world.switchboard), self.target.clone());
        let lost = self.world.watch.count();
        let outcome = self.observe("cast", async move {
            let queued = switchboard.cast(caller?, callee, method, payload);
            queued.map_err(of_peer)?;
            Ok(Reply::of_value(Value::Null))
        });
        self.or_lost(lost, outcome.await)
    }

    /// Takes a step at a hook point, with the hooks of all plugins around it. The step answers `result`.
    ///
    /// The outcome's JSON is what comes out: the result as the hooks have made it. [`Outcome::step`] is the context that reached the step.
    /// At a plugin's own point, which has no result, both are the context as the hooks have made it.
    pub async fn hook(&self, point: &str, context: &Value, result: &Value) -> Outcome {
        let result = result.clone();
        self.hook_with(point, context, move |_| Ok(result)).await
    }

    /// The same with a step of one's own: it takes the context, and answers the result or why it failed.
    pub async fn hook_with(
        &self,
        point: &str,
        context: &Value,
        step: impl FnOnce(Value) -> Result<Value, String> + Send + 'static,
    ) -> Outcome {
        let taken = Arc::new(OnceLock::new());
        let name = PointName::new(point).map_err(|e| failed("no_such_point", e));
        let core = name.as_ref().ok().and_then(PointName::core);
        let context = context.to_string();
        let mut outcome = match core {
            Some(point) => {
                let work = self.at_core(point, context, step, Arc::clone(&taken));
                self.observe("hooks", work).await
            }
            None => {
                let work = self.at_own(name, context, Arc::clone(&taken));
                self.observe("hooks", work).await
            }
        };
        outcome.call = format!("hooks at {point}");
        outcome.step = taken.get().cloned();
        outcome
    }

    fn at_core(
        &self,
        point: Point,
        context: String,
        step: impl FnOnce(Value) -> Result<Value, String> + Send + 'static,
        taken: Arc<OnceLock<Value>>,
    ) -> impl Future<Output = Result<Reply, Failed>> + Send + 'static {
        let engine = Arc::clone(&self.world.engine);
        let test = self.world.test.clone();
        let step = move |context: String,
                         _cause: Cause|
              -> BoxFuture<'static, Result<String, StageError>> {
            let context: Value = serde_json::from_str(&context).unwrap_or(Value::String(context));
            let _once = taken.set(context.clone());
            let outcome = step(context)
                .map(|v| v.to_string())
                .map_err(|words| by_test(test, words));
            Box::pin(std::future::ready(outcome))
        };
        async move {
            let done = engine.at_point(point, context, Box::new(step)).await;
            done.map(Reply::of_json).map_err(of_stage)
        }
    }

    /// Fires a plugin's own point in its name.
    fn at_own(
        &self,
        point: Result<PointName, Failed>,
        context: String,
        taken: Arc<OnceLock<Value>>,
    ) -> impl Future<Output = Result<Reply, Failed>> + Send + 'static {
        let switchboard = Arc::clone(&self.world.switchboard);
        let test = self.world.test.clone();
        async move {
            let point = point?;
            let owner = point
                .as_str()
                .rsplit_once('/')
                .map_or(test.as_str(), |(id, _)| id);
            let fired = switchboard.fire(caller(owner)?, point.to_string(), context);
            let context = fired
                .await
                .map_err(|e| failed("hook_error", e.to_string()))?;
            let reply = Reply::of_json(context);
            if let Some(json) = &reply.json {
                let _once = taken.set(json.clone());
            }
            Ok(reply)
        }
    }

    /// Loads the plugin anew, with the handover of its memory if it has one.
    pub async fn reload(&self) -> Outcome {
        let (engine, id) = (Arc::clone(&self.world.engine), self.target.to_string());
        self.observe("reload", async move {
            let reloaded = engine.reload(&id).await;
            reloaded.map_err(|e| failed("not_reloaded", e.to_string()))?;
            Ok(Reply::of_value(Value::Null))
        })
        .await
    }

    /// Nobody waits for the answer of a delivery: its failure, if there was one, is the result.
    fn or_lost(&self, before: usize, mut outcome: Outcome) -> Outcome {
        if outcome.result.is_ok()
            && let Some(error) = self.world.watch.lost_after(before, &self.target)
        {
            outcome.result = Err(of_stage(error));
        }
        outcome
    }

    pub(super) fn gone(&self) -> Failed {
        failed(
            "unavailable",
            format!("{} is not there any more", self.id()),
        )
    }
}

/// The items of a reply, as they come.
struct Collected(Arc<Mutex<Vec<Item>>>);

impl model::chat::Reply for Collected {
    fn write(&mut self, item: model::chat::Item) -> BoxFuture<'_, Result<(), Closed>> {
        lock(&self.0).push(item.into());
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The request as a server makes it out of a body.
fn chat_request(id: &str, body: &Value) -> ChatRequest {
    let messages = body.get("messages").cloned().unwrap_or_else(|| json!([]));
    let by_user = |m: &&Value| m.get("role").and_then(Value::as_str) == Some("user");
    let last = messages
        .as_array()
        .and_then(|m| m.iter().rev().find(by_user));
    let said = last.and_then(|m| m.get("content")).unwrap_or(&Value::Null);
    ChatRequest {
        model: id.to_owned(),
        user_message: said.to_string(),
        messages: messages.to_string(),
        user: body.get("user").map(Value::to_string),
        metadata: body.get("metadata").map(Value::to_string),
        body: body.to_string(),
    }
}

fn caller(id: &str) -> Result<Caller, Failed> {
    let plugin = PluginId::new(id).map_err(|e| failed("bad_id", e.to_string()))?;
    Ok(Caller {
        plugin,
        cause: Cause::default(),
    })
}

pub(super) fn failed(code: &str, message: String) -> Failed {
    Failed {
        code: code.into(),
        message,
    }
}

pub(super) fn of_stage(error: StageError) -> Failed {
    of_fault(error.fault)
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
pub(super) fn of_fault(fault: Fault) -> Failed {
    failed(fault.code(), fault.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn of_peer(error: PeerError) -> Failed {
    let code = match &error {
        PeerError::NotFound => "not_found",
        PeerError::Cycle(_) => "cycle",
        PeerError::TooDeep => "too_deep",
        PeerError::TimedOut => "timed_out",
        PeerError::Crashed(_) => "crashed",
        PeerError::Failed(fault) => fault.code(),
    };
    failed(code, error.to_string())
}

/// A step of the test's that failed.
fn by_test(test: PluginId, words: String) -> StageError {
    StageError {
        plugin: PluginRef {
            id: test,
            version: semver::Version::new(0, 0, 0),
        },
        fault: Fault::Internal(words),
    }
}
