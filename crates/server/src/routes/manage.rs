//! Adding, uploading, deleting, reloading: each touches one plugin and leaves the others alone, but for a reload of all.

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use bytes::Bytes;
use engine::{AddError, Installed, ManageError};
use http::{Request, StatusCode, Uri, header};
use model::component::{ComponentFile, FileName, Origin};
use model::error::LoadError;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{Answer, Call, json as answer};
use crate::body::Held;
use crate::json::{self as text, Fields};
use crate::rescue::{self, Problem};
use crate::strict::{decode, pydantic};

/// What a WebAssembly component begins with; a core module has another layer.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A file field of a form.
struct Upload {
    /// As the client sent it.
    name: String,
    bytes: Bytes,
}

/// `POST /pipelines/reload`.
pub(crate) async fn reload(call: &Call) -> Answer {
    let report = call.app.engine.reload_all().await;
    if let Some(error) = &report.error {
        return Err(rescue::manage(&ManageError::Store(error.clone())));
    }
    let mut body = json!({"message": "Pipelines reloaded successfully."});
    if !call.strict && !report.failed.is_empty() {
        body["failed"] = super::plugins::failures(&report);
    }
    Ok(answer(body.to_string()))
}

/// `DELETE /pipelines/delete`.
pub(crate) async fn delete(call: Call, body: Body) -> Answer {
    let id = one_field(&call, body, "id").await?;
    match call.app.engine.delete(&id).await {
        Ok(()) => Ok(done(format!("Pipeline {id} deleted successfully"))),
        Err(ManageError::NotFound(_)) if call.strict => Err(Problem::bare()),
        Err(error) => Err(rescue::manage(&error)),
    }
}

/// `POST /pipelines/upload`.
pub(crate) async fn upload(call: Call, body: Body) -> Answer {
    let held = call
        .read_up_to(call.app.config.limits.max_upload_bytes, body)
        .await?;
    let found = file_field(&call, &held).await;
    if call.strict {
        call.check_key()?;
    }
    let upload = found?;
    let dir = &call.app.config.plugins_dir_shown;
    let is_component = upload.bytes.starts_with(COMPONENT);
    if call.strict && !upload.name.ends_with(".py") && !is_component {
        return Err(Problem::bad_request("Only Python files are allowed."));
    }
    let name = file_name(&upload.name, call.strict)?;
    let file = ComponentFile {
        name,
        bytes: upload.bytes,
    };
    match call.app.engine.install(file, Origin::Upload).await {
        Ok(installed) if !call.strict => Ok(done_with(
            format!("Pipeline uploaded successfully to {dir}/{}", installed.file),
            &installed,
        )),
        // The reference does not tell that a file did not load; its log does.
        outcome if call.strict => {
            if let Err(error) = outcome {
                tracing::warn!(code = error.code(), %error, "an upload did not load");
            }
            Ok(done(format!(
                "Pipeline uploaded successfully to {dir}/{}",
                upload.name
            )))
        }
        Ok(_) => Err(Problem::bare()),
        Err(error) => Err(refused(&error)),
    }
}

/// `POST` or `PUT /api/v1/plugins`: the component as the body, its name in the query; or a form with a file.
pub(crate) async fn install(call: Call, body: Body) -> Answer {
    let held = call
        .read_up_to(call.app.config.limits.max_upload_bytes, body)
        .await?;
    let upload = if is_form(&call) {
        file_field(&call, &held).await?
    } else {
        let name = query(&call, "name").ok_or_else(|| {
            Problem::unfit("name: nothing was given; a file name such as ?name=echo.wasm is needed")
        })?;
        Upload {
            name,
            bytes: held.bytes.clone(),
        }
    };
    let file = ComponentFile {
        name: file_name(&upload.name, false)?,
        bytes: upload.bytes,
    };
    let installed = call.app.engine.install(file, Origin::Upload).await;
    let installed = installed.map_err(|e| refused(&e))?;
    let mut response = answer(view(&installed).to_string());
    if !installed.replaced {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

/// `POST /pipelines/add`.
pub(crate) async fn add(call: Call, body: Body) -> Answer {
    let given = one_field(&call, body, "url").await?;
    let url = raw_url(&given);
    let last = url
        .split(['?', '#'])
        .next()
        .and_then(|path| path.rsplit('/').next());
    let last = last.unwrap_or_default().to_owned();
    if call.strict && !last.ends_with(".py") {
        return Err(Problem::bad_request("URL must point to a Python file"));
    }
    if !call.strict {
        allowed(&call, &url)?;
    }
    let decoded = percent_decode_str(&last).decode_utf8_lossy();
    let name = file_name(&decoded, call.strict)?;
    let dir = &call.app.config.plugins_dir_shown;
    match call.app.engine.add_url(&url, name).await {
        Ok(installed) if !call.strict => Ok(done_with(
            format!("Pipeline added successfully from {dir}/{}", installed.file),
            &installed,
        )),
        Ok(_) | Err(AddError::Load(_)) if call.strict => Ok(done(format!(
            "Pipeline added successfully from {dir}/{last}"
        ))),
        Ok(_) => Err(Problem::bare()),
        Err(error) if call.strict => Err(as_reference(&url, &error)),
        Err(AddError::Load(error)) => Err(refused(&error)),
        Err(error) => Err(rescue::add(&error)),
    }
}

/// What the reference says of a download that failed.
fn as_reference(url: &str, error: &AddError) -> Problem {
    use model::ports::EgressError;
    let words = match error {
        AddError::Status(_) => return Problem::bad_request("Failed to download file"),
        AddError::Url { given, .. } => given.clone(),
        AddError::Fetch(EgressError::BadRequest(_)) => url.to_owned(),
        AddError::Fetch(EgressError::Connect(_)) => format!(
            "Cannot connect to host {} ssl:default [Connection refused]",
            host_and_port(url)
        ),
        other => other.to_string(),
    };
    rescue::add(error);
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fetch_failed", words)
}

fn host_and_port(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else {
        return url.to_owned();
    };
    let port = uri.port_u16().unwrap_or(default_port(uri.scheme_str()));
    format!("{}:{port}", uri.host().unwrap_or_default())
}

fn default_port(scheme: Option<&str>) -> u16 {
    if scheme == Some("https") { 443 } else { 80 }
}

/// May a component be fetched from there?
fn allowed(call: &Call, url: &str) -> Result<(), Problem> {
    let rules = &call.app.config.add.allow;
    let denied = |message: String| Problem::new(StatusCode::FORBIDDEN, "add_denied", message);
    let line = r#"add.allow = ["https://example.com"]"#;
    if rules.is_empty() {
        return Err(denied(format!(
            "adding plugins by URL is off; to allow an origin, write in weir.toml: {line}"
        )));
    }
    let wrong = || {
        let message = format!("url: {url:?} was given; an absolute http or https URL is needed");
        Problem::new(StatusCode::BAD_REQUEST, "bad_url", message)
    };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(wrong());
    };
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(wrong());
    }
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(default_port(Some(scheme)));
    if rules.iter().any(|r| r.covers(scheme, &host, port)) {
        return Ok(());
    }
    Err(denied(format!(
        "{scheme}://{host}:{port} is not an origin plugins may be added from; to allow it, add it in weir.toml to {line}"
    )))
}

/// GitHub's page of a file as the file itself.
fn raw_url(url: &str) -> String {
    let rewritten = || {
        let mut parts = url.strip_prefix("https://github.com/")?.splitn(5, '/');
        let (owner, repo, blob) = (parts.next()?, parts.next()?, parts.next()?);
        let (branch, path) = (parts.next()?, parts.next()?);
        (blob == "blob" && !path.is_empty())
            .then(|| format!("https://raw.githubusercontent.com/{owner}/{repo}/{branch}/{path}"))
    };
    rewritten().unwrap_or_else(|| url.to_owned())
}

/// The file name a component is stored under. Plugins install by content, so `x.py` may hold a component: it becomes `x.wasm`.
/// Nothing that could leave the folder passes, in strict mode neither; strict mode replaces other odd characters.
fn file_name(given: &str, strict: bool) -> Result<FileName, Problem> {
    if let Ok(name) = FileName::new(given) {
        return Ok(name);
    }
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, "bad_file_name", why);
    if given.contains(['/', '\\', '\0']) {
        return Err(bad(format!(
            "file name: {given:?} was given; it must not contain / or \\"
        )));
    }
    let stem = given.strip_suffix(".py").unwrap_or(given);
    let stem = stem.strip_suffix(".wasm").unwrap_or(stem);
    let stem = if strict {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
        stem.chars()
            .map(|c| if plain(c) { c } else { '_' })
            .collect()
    } else {
        stem.to_owned()
    };
    if !given.ends_with(".py") {
        return Err(bad(match FileName::new(given) {
            Err(why) => format!("file name: {why}"),
            Ok(name) => name.to_string(),
        }));
    }
    FileName::new(&format!("{stem}.wasm")).map_err(|why| bad(format!("file name: {why}")))
}

/// The file field of a form.
async fn file_field(call: &Call, held: &Held) -> Result<Upload, Problem> {
    let broken = |e: axum::extract::multipart::MultipartError| {
        Problem::bad_request(format!(
            "There was an error parsing the body: {}",
            e.body_text()
        ))
    };
    if !is_form(call) {
        return Err(if call.strict {
            pydantic::no_file(None)
        } else {
            Problem::unfit("a multipart/form-data body with a file in the field `file` is needed")
        });
    }
    let mut request = Request::new(Body::from(held.bytes.clone()));
    *request.headers_mut() = call.head.headers.clone();
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| {
        Problem::bad_request(format!(
            "There was an error parsing the body: {}",
            e.body_text()
        ))
    })?;
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if field.name() != Some("file") {
            continue;
        }
        let name = field.file_name().map(str::to_owned);
        let bytes = field.bytes().await.map_err(broken)?;
        return match name {
            Some(name) => Ok(Upload { name, bytes }),
            None if call.strict => Err(pydantic::no_file(Some(&String::from_utf8_lossy(&bytes)))),
            None => Err(Problem::unfit(
                "file: a plain field was given; a file with a file name is needed",
            )),
        };
    }
    Err(if call.strict {
        pydantic::no_file(None)
    } else {
        Problem::unfit("file: nothing was given; a file in the field `file` is needed")
    })
}

fn is_form(call: &Call) -> bool {
    let kind = call.head.headers.get(header::CONTENT_TYPE);
    kind.and_then(|v| v.to_str().ok()).is_some_and(|v| {
        let kind = v.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("multipart/form-data")
    })
}

/// The text of the body's one field; in strict mode the key is checked between the two kinds of errors.
async fn one_field(call: &Call, body: Body, name: &'static str) -> Result<String, Problem> {
    let held = call.read(body).await?;
    if call.strict {
        let body = pydantic::early(decode::decode(&call.head.headers, &held.bytes))?;
        call.check_key()?;
        return pydantic::text_field(&pydantic::required(body)?, name);
    }
    let fields = Fields::parse(&held.bytes, call.app.config.limits.max_json_depth)?;
    let value = fields.get(name);
    value
        .and_then(text::string)
        .map(|t| t.into_owned())
        .ok_or_else(|| {
            Problem::unfit(match value {
                None => format!("{name}: nothing was given; a string is needed"),
                Some(other) => format!(
                    "{name}: {} was given; a string is needed",
                    text::kind(other)
                ),
            })
        })
}

/// A parameter of the query, decoded.
fn query(call: &Call, name: &str) -> Option<String> {
    let pairs = call.head.uri.query()?.split('&');
    let value = pairs
        .filter_map(|p| p.split_once('='))
        .find(|(k, _)| *k == name)?
        .1;
    let value = value.replace('+', " ");
    Some(percent_decode_str(&value).decode_utf8().ok()?.into_owned())
}

fn refused(error: &LoadError) -> Problem {
    rescue::load(error)
}

fn view(installed: &Installed) -> Value {
    json!({
        "id": installed.id,
        "version": installed.version,
        "file": installed.file,
        "replaced": installed.replaced,
    })
}

fn done(detail: String) -> axum::response::Response {
    answer(json!({"status": true, "detail": detail}).to_string())
}

fn done_with(detail: String, installed: &Installed) -> axum::response::Response {
    let body = json!({"status": true, "detail": detail, "plugin": view(installed)});
    answer(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_never_leave_the_folder() {
        let check = |given: &str, strict: bool, stored: Option<&str>| {
            let name = file_name(given, strict).ok();
            assert_eq!(name.as_ref().map(FileName::as_str), stored, "{given:?}");
        };
        check("x.wasm", false, Some("x.wasm"));
        check("x.wasm.py", false, Some("x.wasm.py"));
        check("upped.py", false, Some("upped.wasm"));
        check("café.py", true, Some("caf_.wasm"));
        check("café.py", false, None);
        check("x.txt", false, None);
        for strict in [false, true] {
            for bad in [
                "../escaped.py",
                "a/b.wasm",
                "..\\x.py",
                ".py",
                ".wasm",
                "",
                "..",
                ".hidden.py",
                "a\0.py",
            ] {
                check(bad, strict, None);
            }
        }
    }

    #[test]
    fn pages_of_files_become_files() {
        let check = |given: &str, want: &str| assert_eq!(raw_url(given), want);
        check(
            "https://github.com/o/r/blob/main/a/b.wasm",
            "https://raw.githubusercontent.com/o/r/main/a/b.wasm",
        );
        for same in [
            "https://github.com/o/r/raw/main/b.wasm",
            "http://github.com/o/r/blob/main/b.wasm",
            "https://github.com/o/r/blob/main",
        ] {
            check(same, same);
        }
    }
}
