//! Components that come in a request: in a form, as Open WebUI sends them, or as the whole body.

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use model::component::{ComponentFile, FileName, Origin};

use super::manage::{done, done_with, view};
use super::{Answer, Call, json as answer, query};
use crate::body::Held;
use crate::rescue::{self, Problem};
use crate::strict::pydantic;

/// What a WebAssembly component begins with; a core module has another layer.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A file field of a form.
struct Upload {
    /// As the client sent it.
    name: String,
    bytes: Bytes,
}

/// `POST /pipelines/upload`.
pub(crate) async fn upload(call: Call, body: Body) -> Answer {
    let held = call
        .read_up_to(call.app.config.limits.max_upload_bytes, body)
        .await?;
    let found = file_field(&call, &held).await;
    if call.strict && !matches!(&found, Err(e) if e.status() == StatusCode::BAD_REQUEST) {
        // As with JSON: a form that cannot be read comes before the key, a missing field after it.
        call.check_key()?;
    }
    let upload = found?;
    let dir = &call.app.config.plugins_dir_shown;
    let is_component = upload.name.ends_with(".wasm") && upload.bytes.starts_with(COMPONENT);
    if call.strict && !upload.name.ends_with(".py") && !is_component {
        return Err(Problem::bad_request("Only Python files are allowed."));
    }
    let name = file_name(&upload.name, call.strict)?;
    let file = ComponentFile {
        name: in_place(&call, name),
        bytes: upload.bytes,
    };
    match call.app.engine.install(file, Origin::Upload).await {
        Ok(installed) if !call.strict => Ok(done_with(
            &format!("Pipeline uploaded successfully to {dir}/{}", installed.file),
            &installed,
        )),
        // The reference does not tell that a file did not load; its log does.
        outcome if call.strict => {
            if let Err(error) = outcome {
                rescue::load(&error);
            }
            Ok(done(&format!(
                "Pipeline uploaded successfully to {dir}/{}",
                upload.name
            )))
        }
        Ok(_) => Err(Problem::bare()),
        Err(error) => Err(rescue::load(&error)),
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
        let name = query::one(&call, "name").ok_or_else(|| {
            Problem::unfit("name: nothing was given; a file name such as ?name=echo.wasm is needed")
        })?;
        Upload {
            name,
            bytes: held.bytes.clone(),
        }
    };
    let file = ComponentFile {
        name: in_place(&call, file_name(&upload.name, false)?),
        bytes: upload.bytes,
    };
    let installed = call.app.engine.install(file, Origin::Upload).await;
    let installed = installed.map_err(|e| rescue::load(&e))?;
    let mut response = answer(view(&installed).to_string());
    if !installed.replaced {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

/// The name of the file that a new component of this name takes the place of: `x.wasm` and `x.wasm.py` are one plugin, whichever lies
/// there. The name itself where there is none.
pub(super) fn in_place(call: &Call, name: FileName) -> FileName {
    let files: Vec<_> = call
        .app
        .engine
        .plugins()
        .into_iter()
        .map(|p| p.file)
        .filter(|file| file.stem() == name.stem())
        .collect();
    if files.contains(&name) {
        return name;
    }
    files.into_iter().next().unwrap_or(name)
}

/// The file name a component is stored under. Plugins install by content, so `x.py` and `x.wasm.py` may hold a component: they become
/// `x.wasm`. Nothing that could leave the folder passes, in strict mode neither; strict mode replaces other odd characters.
pub(super) fn file_name(given: &str, strict: bool) -> Result<FileName, Problem> {
    if let Ok(name) = FileName::new(given.strip_suffix(".py").unwrap_or(given)) {
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
        check("x.wasm.py", false, Some("x.wasm"));
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
}
