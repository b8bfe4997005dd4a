//! Pipelines: registered, replaced, removed, listed, checked. How they look is `view`'s business, running them `start`'s.

pub(super) mod letters;
pub(super) mod live;
pub(super) mod raw;
pub(super) mod replay;
pub(super) mod silver;
pub(super) mod start;
mod view;

use axum::body::Body;
use axum::response::Response;
use engine::{Listed, Put};
use http::{HeaderValue, StatusCode, header};
use model::id::PipelineId;
use model::ports::MAX_SPEC_BYTES;
use serde_json::{Value, json};

use super::{Answer, Call, json as answer, query};
use crate::rescue::{self, Problem};

/// `GET /api/v1/schema/pipeline`.
pub(super) fn schema(call: &Call) -> Response {
    let mut response = Response::new(call.app.config.pipelines.schema().to_string().into());
    let kind = HeaderValue::from_static("application/schema+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// `POST /api/v1/pipelines/check`: all that is wrong with a spec.
pub(super) async fn check(call: Call, body: Body) -> Answer {
    let file = query::one(&call, "file").unwrap_or_default();
    let text = text(&call, body).await?;
    let problems = call.app.config.pipelines.check(text, file).await;
    let body = json!({"ok": problems.is_empty(), "problems": view::problems(&problems)});
    Ok(answer(body.to_string()))
}

/// `GET /api/v1/pipelines`.
pub(super) async fn list(call: &Call) -> Answer {
    let tag = query::one(call, "tag");
    let has_tag = |listed: &Listed| {
        let tags = listed.registered.as_ref().map(|r| &r.pipeline.tags);
        tag.as_ref()
            .is_none_or(|tag| tags.is_some_and(|t| t.contains(tag)))
    };
    let all = call.app.config.pipelines.list();
    let mut shown = Vec::new();
    for listed in all.iter().filter(|l| has_tag(l)) {
        let one = view::summary(listed, &call.app.engine).await;
        shown.push(one.map_err(|e| rescue::durable(&e))?);
    }
    Ok(answer(json!({ "pipelines": shown }).to_string()))
}

/// `POST /api/v1/pipelines`: a new one.
pub(super) async fn create(call: Call, body: Body) -> Answer {
    let text = text(&call, body).await?;
    let put = call.app.config.pipelines.put(text, None).await;
    done(&call, &put.map_err(|e| rescue::spec(&e))?).await
}

/// `PUT /api/v1/pipelines/{id}`: a new one, or a new version of it.
pub(super) async fn replace(call: Call, body: Body) -> Answer {
    let id = id(&call)?;
    let text = text(&call, body).await?;
    let put = call.app.config.pipelines.put(text, Some(id)).await;
    done(&call, &put.map_err(|e| rescue::spec(&e))?).await
}

async fn done(call: &Call, put: &Put) -> Answer {
    let id = &put.registered.pipeline.id;
    let listed = call.app.config.pipelines.find(id.as_str());
    // Whatever others have made of it by now: the answer is about what was put.
    let listed = Listed {
        id: id.to_string(),
        file: listed.and_then(|l| l.file),
        registered: Some(put.registered.clone()),
        failure: None,
    };
    let mut response = shown(call, &listed).await?;
    if put.is_new {
        *response.status_mut() = StatusCode::CREATED;
    }
    locate(&mut response, &format!("/api/v1/pipelines/{id}"));
    Ok(response)
}

/// `GET /api/v1/pipelines/{id}`.
pub(super) async fn get(call: &Call) -> Answer {
    let listed = call.app.config.pipelines.find(&call.id);
    let listed = listed.ok_or_else(|| missing(&call.id))?;
    shown(call, &listed).await
}

async fn shown(call: &Call, listed: &Listed) -> Answer {
    let now = call.app.config.clock.now();
    let whole = view::whole(listed, &call.app.engine, now).await;
    let whole = whole.map_err(|e| rescue::durable(&e))?;
    let Some(registered) = &listed.registered else {
        return Ok(answer(whole.to_string()));
    };
    let delivery = letters::delivery(call, &registered.pipeline.id).await?;
    Ok(answer(letters::with(whole, delivery).to_string()))
}

/// `POST /api/v1/pipelines/{id}/pause` and `/resume`.
pub(super) async fn pause(call: &Call, paused: bool) -> Answer {
    let id = id(call)?;
    if call.app.engine.pipeline(&id).is_none() {
        return Err(missing(&call.id));
    }
    let done = call.app.engine.pause(&id, paused).await;
    done.map_err(|e| rescue::durable(&e))?;
    get(call).await
}

/// `DELETE /api/v1/pipelines/{id}`.
pub(super) async fn delete(call: &Call) -> Answer {
    let removed = call.app.config.pipelines.delete(&call.id).await;
    if !removed.map_err(|e| rescue::delete(&e))? {
        return Err(missing(&call.id));
    }
    let message = format!("pipeline {} is deleted", call.id);
    Ok(answer(json!({ "message": message }).to_string()))
}

/// `GET /api/v1/pipelines/{id}/versions`.
pub(super) fn versions(call: &Call) -> Answer {
    let id = id(call)?;
    let versions = call.app.engine.pipeline_versions(&id);
    if versions.is_empty() {
        return Err(missing(&call.id));
    }
    let now = call.app.engine.pipeline(&id).map(|r| r.version);
    let shown: Vec<Value> = versions.iter().map(|v| view::version(v, now)).collect();
    Ok(answer(json!({ "versions": shown }).to_string()))
}

/// `GET /api/v1/pipelines/{id}/versions/{n}`: the text.
pub(super) fn version(call: &Call) -> Answer {
    let id = id(call)?;
    let number = call.also.parse::<u64>().ok();
    let versions = call.app.engine.pipeline_versions(&id);
    let found = versions.iter().find(|v| Some(v.version) == number);
    let found = found.ok_or_else(|| {
        let known: Vec<_> = versions.iter().map(|v| v.version.to_string()).collect();
        let message = match known.as_slice() {
            [] => format!("there is no pipeline {id}"),
            known => format!(
                "pipeline {id} has no version {:?}; kept are: {}",
                call.also,
                known.join(", ")
            ),
        };
        Problem::not_found("version_not_found", message)
    })?;
    let mut response = Response::new(found.source.to_string().into());
    let kind = HeaderValue::from_static("application/yaml");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// The pipeline's id in the path.
fn id(call: &Call) -> Result<PipelineId, Problem> {
    PipelineId::new(&call.id).map_err(|e| Problem::not_found("pipeline_not_found", e.to_string()))
}

fn missing(id: &str) -> Problem {
    let id: String = id.chars().take(PipelineId::MAX).collect();
    Problem::not_found("pipeline_not_found", format!("there is no pipeline {id:?}"))
}

/// The body, a spec.
async fn text(call: &Call, body: Body) -> Result<String, Problem> {
    let held = call.read_up_to(MAX_SPEC_BYTES, body).await?;
    let text = std::str::from_utf8(&held.bytes);
    let text = text.map_err(|e| Problem::bad_request(format!("the spec is no UTF-8: {e}")))?;
    Ok(text.to_owned())
}

/// Says where what was made is to be found.
pub(super) fn locate(response: &mut Response, place: &str) {
    if let Ok(place) = HeaderValue::from_str(place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
}
