//! The one table of routes: the router, the check of keys and methods, and the OpenAPI document all come from it.

mod add;
mod api;
mod capabilities;
mod chat;
mod events;
mod filters;
mod hooks;
mod manage;
mod metrics;
mod models;
mod pipelines;
mod plugins;
mod query;
mod runs;
mod status;
pub(crate) mod table;
mod upload;
mod valves;
mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::any;
use http::{HeaderValue, Method, Request, StatusCode, header};
use percent_encoding::percent_decode_str;
use tower::ServiceExt;
use tracing::Instrument;

use crate::app::App;
use crate::body::Held;
use crate::cors;
use crate::rescue::Problem;
use crate::{auth, request_id};
use table::{Access, Op, ROUTES, Route};

/// What a handler answers.
pub(crate) type Answer = Result<Response, Problem>;

/// One request on its way to its handler, but for its body.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) head: http::request::Parts,
    /// The id or other name in the path, decoded; empty where the route has none.
    pub(crate) id: String,
    /// The second name in the path, likewise.
    pub(crate) also: String,
    /// Is the reference's behaviour wanted? Never on our own routes.
    pub(crate) strict: bool,
}

/// Routes of one path, in the order of the table.
type Here = Vec<&'static Route>;

/// Paths with an id in them, which axum cannot route since an id may hold slashes.
#[derive(Debug, Default)]
struct Patterns(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    before: String,
    /// What stands between two names, where there are two.
    between: Option<&'static str>,
    after: &'static str,
    here: Here,
}

/// What stands in a path where a route has names in braces.
type Names = (String, String);

/// The router over the whole table.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut fixed: BTreeMap<String, Here> = BTreeMap::new();
    let mut patterns: BTreeMap<String, Here> = BTreeMap::new();
    for route in ROUTES {
        for path in route.paths() {
            let kind = if path.contains('{') {
                &mut patterns
            } else {
                &mut fixed
            };
            kind.entry(path).or_default().push(route);
        }
    }
    let patterns = Arc::new(Patterns::new(patterns));
    let paths: Arc<[String]> = fixed.keys().cloned().collect();
    let mut router = Router::new();
    for (path, here) in fixed {
        let (app, here) = (app.clone(), Arc::new(here));
        let serve = move |request| serve(app.clone(), here.clone(), Names::default(), request);
        router = router.route(&path, any(serve));
    }
    let app = app.clone();
    router.fallback(move |request| elsewhere(app.clone(), patterns.clone(), paths.clone(), request))
}

/// Answers a request: gives it an id, routes it, logs it.
pub(crate) async fn answer(app: &Arc<App>, router: Router, request: Request<Body>) -> Response {
    let id = request_id::of(request.headers());
    let started = app.config.clock.monotonic();
    let span = tracing::info_span!("request", request_id = id.to_str().unwrap_or(""));
    let (cors, strict) = (&app.config.cors, app.strict());
    let page = cors::Page::of(request.headers(), cors, strict);
    let log = tracing::enabled!(tracing::Level::DEBUG)
        .then(|| (request.method().clone(), request.uri().path().to_owned()));
    let preflight = cors::preflight(request.method(), request.headers(), cors, strict);
    let mut response = match preflight {
        Some(response) => response,
        None => match router.oneshot(request).instrument(span.clone()).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
    };
    let took = app.config.clock.monotonic().saturating_sub(started);
    let status = response.status();
    let headers = response.headers_mut();
    headers.insert(request_id::HEADER, id);
    if strict && status != StatusCode::INTERNAL_SERVER_ERROR {
        headers.insert("x-process-time", HeaderValue::from(took.as_secs()));
    }
    if let Some(page) = page.filter(|_| !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN))
    {
        page.mark(headers);
    }
    span.in_scope(|| {
        let status = status.as_u16();
        if status >= 500 {
            tracing::warn!(status, took_us = took.as_micros(), "a request failed");
        } else if let Some((method, path)) = log {
            tracing::debug!(%method, path, status, took_us = took.as_micros(), "answered a request");
        }
    });
    response
}

/// Serves a request whose path is known.
async fn serve(app: Arc<App>, here: Arc<Here>, names: Names, request: Request<Body>) -> Response {
    let strict = app.strict() && here.iter().any(|r| r.also_v1);
    match reach(app, &here, names, strict, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(strict),
    }
}

async fn reach(
    app: Arc<App>,
    here: &Here,
    (id, also): Names,
    strict: bool,
    request: Request<Body>,
) -> Answer {
    let (head, body) = request.into_parts();
    // HEAD is GET without the body, which hyper leaves out; the reference does not know it.
    let wanted = match head.method {
        Method::HEAD if !strict => &Method::GET,
        ref method => method,
    };
    let Some(route) = here.iter().find(|r| r.method == *wanted) else {
        let allow: Vec<_> = here.iter().map(|r| r.method.as_str()).collect();
        return Err(Problem::method_not_allowed(&allow.join(", ")));
    };
    if route.access.needs_key_first(app.strict()) {
        auth::check(&head.headers, &app.config.key)?;
    }
    if route.op.needs_plugins() && !*app.config.booted.borrow() {
        let mut booted = app.config.booted.clone();
        // Without a sender the boot is over.
        let _gone = booted.wait_for(|booted| *booted).await;
    }
    let call = Call {
        app,
        head,
        id,
        also,
        strict,
    };
    run(route.op, call, body).await
}

/// Paths with ids, a slash too many, and what is not there.
async fn elsewhere(
    app: Arc<App>,
    patterns: Arc<Patterns>,
    paths: Arc<[String]>,
    request: Request<Body>,
) -> Response {
    let strict = app.strict();
    let path = request.uri().path();
    if let Some((here, names)) = patterns.find(path, strict) {
        return serve(app, Arc::new(here.clone()), names, request).await;
    }
    let short = path.trim_end_matches('/');
    let known = paths.iter().any(|p| p == short) || patterns.find(short, strict).is_some();
    if short.len() < path.len()
        && known
        && let Some(response) = redirect(&request, short, strict)
    {
        return response;
    }
    Problem::not_found("not_found", "Not Found").into_response(strict)
}

/// 307 to the same path without the slash at its end.
fn redirect(request: &Request<Body>, path: &str, strict: bool) -> Option<Response> {
    let query = request
        .uri()
        .query()
        .map_or(String::new(), |q| format!("?{q}"));
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok());
    let location = match host {
        Some(host) if strict => format!("http://{host}{path}{query}"),
        _ => format!("{path}{query}"),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    // `//host/..` would leave this server.
    let location = HeaderValue::from_str(&location)
        .ok()
        .filter(|_| !path.starts_with("//"))?;
    response.headers_mut().insert(header::LOCATION, location);
    Some(response)
}

impl Patterns {
    fn new(all: BTreeMap<String, Here>) -> Self {
        let mut patterns: Vec<_> = all
            .into_iter()
            .filter_map(|(path, here)| {
                let (_, _, rest) = table::around(here.first()?.path)?;
                let (before, _, _) = table::around(&path)?;
                let (between, after) = match table::around(rest) {
                    Some((between, _, after)) => (Some(between), after),
                    None => (None, rest),
                };
                Some(Pattern {
                    before: before.into(),
                    between,
                    after,
                    here,
                })
            })
            .collect();
        // The most particular first.
        let between = |p: &Pattern| p.between.map_or(0, str::len);
        patterns.sort_by_key(|p| std::cmp::Reverse((p.before.len(), between(p) + p.after.len())));
        Self(patterns)
    }

    /// The routes of a path, and the names in it. Whatever lies between a pattern's ends is the id, slashes included, except in
    /// strict mode, where a slash is never part of one.
    fn find(&self, path: &str, strict: bool) -> Option<(&Here, Names)> {
        self.0.iter().find_map(|p| {
            let raw = path
                .strip_prefix(p.before.as_str())?
                .strip_suffix(p.after)?;
            let (raw, also) = match p.between {
                Some(between) => raw.rsplit_once(between)?,
                None => (raw, ""),
            };
            let id = percent_decode_str(raw).decode_utf8().ok()?;
            let also = percent_decode_str(also).decode_utf8().ok()?;
            let split = strict && id.contains('/') || also.contains('/');
            let last = if p.between.is_some() { &*also } else { raw };
            let open = p.after.is_empty() && (last.ends_with('/') || last.is_empty());
            (!id.is_empty() && !split && !open)
                .then(|| (&p.here, (id.into_owned(), also.into_owned())))
        })
    }
}

impl Call {
    /// Reads the body, bounded as any.
    pub(crate) async fn read(&self, body: Body) -> Result<Held, Problem> {
        self.read_up_to(self.app.config.limits.max_body_bytes, body)
            .await
    }

    /// Reads the body, bounded by `max` bytes.
    pub(crate) async fn read_up_to(&self, max: usize, body: Body) -> Result<Held, Problem> {
        crate::body::read(&self.app, &self.head.headers, body, max).await
    }

    /// Strict mode's late check of the key, on routes that read their body before it.
    pub(crate) fn check_key(&self) -> Result<(), Problem> {
        auth::check(&self.head.headers, &self.app.config.key)
    }
}

impl Access {
    fn needs_key_first(self, strict: bool) -> bool {
        match self {
            Self::Open => false,
            Self::Key => true,
            Self::OpenInStrict | Self::KeyAfterBodyInStrict => !strict,
        }
    }
}

impl Op {
    /// Is it about plugins, and not only about the server?
    fn needs_plugins(self) -> bool {
        !matches!(
            self,
            Self::Status
                | Self::Health
                | Self::Ready
                | Self::Metrics
                | Self::OpenApi
                | Self::Events
        )
    }
}

/// An answer in JSON.
pub(crate) fn json(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

async fn run(op: Op, call: Call, body: Body) -> Answer {
    match op {
        Op::Status => Ok(status::status()),
        Op::Health => Ok(status::health()),
        Op::Ready => status::ready(&call),
        Op::Metrics => Ok(metrics::metrics(&call)),
        Op::OpenApi => Ok(status::openapi(&call)),
        Op::Models => Ok(models::models(&call).await),
        Op::Pipelines => Ok(models::pipelines(&call)),
        Op::Add => Box::pin(add::add(call, body)).await,
        Op::Upload => Box::pin(upload::upload(call, body)).await,
        Op::Delete => Box::pin(manage::delete(call, body)).await,
        Op::Reload => Box::pin(manage::reload(&call)).await,
        Op::Chat => Box::pin(chat::chat(call, body)).await,
        Op::Inlet => Box::pin(filters::inlet(call, body)).await,
        Op::Outlet => Box::pin(filters::outlet(call, body)).await,
        Op::Valves => valves::get(&call),
        Op::ValvesSpec => valves::spec(&call),
        Op::ValvesUpdate => Box::pin(valves::update(call, body)).await,
        Op::ListPlugins => Ok(plugins::list(&call)),
        Op::InstallPlugin => Box::pin(upload::install(call, body)).await,
        Op::GetPlugin => plugins::get(&call),
        Op::DeletePlugin => Box::pin(plugins::delete(&call)).await,
        Op::ReloadPlugin => Box::pin(plugins::reload(&call)).await,
        Op::StartPlugin => Box::pin(plugins::start(&call)).await,
        Op::StopPlugin => Box::pin(plugins::stop(&call)).await,
        Op::PluginGrants => plugins::grants(&call),
        Op::PluginLimits => plugins::limits(&call),
        Op::PluginFaults => plugins::faults(&call),
        Op::ListCapabilities => capabilities::list(&call),
        Op::GetCapability => capabilities::get(&call),
        Op::ListHooks => Ok(hooks::list(&call)),
        Op::GetHook => hooks::get(&call),
        Op::Events => events::events(&call),
        Op::ReloadAll => Box::pin(plugins::reload_all(&call)).await,
        Op::Execute => Box::pin(api::execute(call, body)).await,
        Op::ChainInlet => Box::pin(api::inlet(call, body)).await,
        Op::ChainOutlet => Box::pin(api::outlet(call, body)).await,
        Op::Webhook => Box::pin(webhooks::receive(call, body)).await,
        other => run_data(other, call, body).await,
    }
}

/// The routes of data pipelines.
async fn run_data(op: Op, call: Call, body: Body) -> Answer {
    match op {
        Op::PipelineSchema => Ok(pipelines::schema(&call)),
        Op::CheckPipeline => Box::pin(pipelines::check(call, body)).await,
        Op::ListPipelines => Box::pin(pipelines::list(&call)).await,
        Op::CreatePipeline => Box::pin(pipelines::create(call, body)).await,
        Op::GetPipeline => Box::pin(pipelines::get(&call)).await,
        Op::PausePipeline => Box::pin(pipelines::pause(&call, true)).await,
        Op::ResumePipeline => Box::pin(pipelines::pause(&call, false)).await,
        Op::PutPipeline => Box::pin(pipelines::replace(call, body)).await,
        Op::DeletePipeline => Box::pin(pipelines::delete(&call)).await,
        Op::PipelineVersions => pipelines::versions(&call),
        Op::PipelineVersion => pipelines::version(&call),
        Op::ListCheckpoints => Box::pin(pipelines::letters::checkpoints(&call)).await,
        Op::ForgetCheckpoint => Box::pin(pipelines::letters::forget_checkpoint(&call)).await,
        Op::ListLetters => Box::pin(pipelines::letters::list(&call)).await,
        Op::PurgeLetters => Box::pin(pipelines::letters::purge(&call)).await,
        Op::GetLetter => Box::pin(pipelines::letters::get(&call)).await,
        Op::EditLetter => Box::pin(pipelines::letters::edit(call, body)).await,
        Op::ForgetLetter => Box::pin(pipelines::letters::forget(&call)).await,
        Op::Redrive => Box::pin(pipelines::letters::redrive(call, body)).await,
        Op::RecentRecords => pipelines::live::recent(&call),
        Op::LiveRecords => Box::pin(pipelines::live::live(call)).await,
        Op::RawSegments => Box::pin(pipelines::raw::segments(&call)).await,
        Op::SilverFiles => Box::pin(pipelines::silver::files(&call)).await,
        Op::RawRecords => Box::pin(pipelines::raw::records(&call)).await,
        Op::RunPipeline => Box::pin(pipelines::start::run(call, body)).await,
        Op::BackfillPipeline => Box::pin(pipelines::start::backfill(call, body)).await,
        Op::ReplayPipeline => Box::pin(pipelines::replay::replay(call, body)).await,
        Op::ListRuns => Box::pin(runs::list(&call)).await,
        Op::GetRun => Box::pin(runs::get(&call)).await,
        Op::CancelRun => Box::pin(runs::cancel(&call)).await,
        Op::RunEvents => Box::pin(runs::follow(&call)).await,
        Op::RunRejects => Box::pin(runs::rejects(&call)).await,
        Op::RunPreview => Box::pin(runs::preview(&call)).await,
        _ => Err(Problem::not_found("not_found", "Not Found")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns() -> Patterns {
        let mut all: BTreeMap<String, Here> = BTreeMap::new();
        for route in ROUTES {
            for path in route.paths().into_iter().filter(|p| p.contains('{')) {
                all.entry(path).or_default().push(route);
            }
        }
        Patterns::new(all)
    }

    #[test]
    fn ids_may_hold_slashes_but_not_in_strict_mode() {
        let all = patterns();
        let check = |path: &str, strict: bool, id: Option<&str>| {
            let found = all.find(path, strict).map(|(_, (id, _))| id);
            assert_eq!(found.as_deref(), id, "{path}");
        };
        check("/m.org/p.2:x/filter/inlet", false, Some("m.org/p.2:x"));
        check(
            "/v1/m.org%2Fp.2%3Ax/filter/inlet",
            false,
            Some("m.org/p.2:x"),
        );
        check("/m.org/p.2:x/filter/inlet", true, None);
        check("/m.org%2Fp.2%3Ax/filter/inlet", true, None);
        check("/filter%5Fbasic/filter/inlet", true, Some("filter_basic"));
        check("/v1/valves", false, Some("v1"));
        check("/valves", false, None);
        check("/a%ff/valves", false, None);
        check("/api/v1/plugins/a/b", false, Some("a/b"));
        check("/api/v1/plugins/a/b/reload", false, Some("a/b"));
        check("/api/v1/plugins/a%2Freload", false, Some("a/reload"));
        check(
            "/api/v1/hooks/bridge/before_send",
            false,
            Some("bridge/before_send"),
        );
        check("/api/v1/plugins/", false, None);
        check("/api/v1/plugins/a/", false, None);
        check("/api/v1/pipelines/a/versions", false, Some("a"));
        check("/api/v1/pipelines/a/versions/2", false, Some("a"));
        let two = all.find("/api/v1/pipelines/a.b/versions/2", false);
        let (here, names) = two.unwrap();
        assert_eq!(names, ("a.b".into(), "2".into()));
        assert_eq!(here[0].op, Op::PipelineVersion);
    }
}
