//! The files with a pipeline's cleaned records. Reading them is for engines that read Parquet.

use model::silver::SilverFile;
use serde_json::json;

use super::super::{Answer, Call, json as answer, query};
use super::id;
use crate::rescue::Problem;

/// Files on a page, and the most there may be.
const FILES: (usize, usize) = (100, 1_000);

/// `GET /api/v1/pipelines/{id}/silver`: files, the oldest first. `next` of a page is the `after` of the one after it.
pub(in crate::routes) async fn files(call: &Call) -> Answer {
    let id = id(call)?;
    let limit = query::limit(call, FILES.0, FILES.1)?;
    let after = query::one(call, "after")
        .map(|text| place(&text))
        .transpose()?;
    let all = call.app.engine.silver_files(&id).await;
    let mut found = all.map_err(|e| {
        let status = http::StatusCode::SERVICE_UNAVAILABLE;
        Problem::new(status, "silver_unavailable", e.to_string()).retry_after(1)
    })?;
    found.retain(|file| match &after {
        Some((day, name)) => {
            let order = SilverFile::order;
            (file.day.as_str(), order(&file.name)) > (day.as_str(), order(name))
        }
        None => true,
    });
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more);
    let next = next.map(|file| format!("{}/{}", file.day, file.name));
    Ok(answer(json!({"files": found, "next": next}).to_string()))
}

/// `2026-11-23/run_….parquet`.
fn place(text: &str) -> Result<(String, String), Problem> {
    match text.split_once('/') {
        Some((day, name)) => Ok((day.to_owned(), name.to_owned())),
        None => Err(Problem::bad_request(format!(
            "after: {text:?} was given; `next` of a page is needed, a day and a name with a `/` between"
        ))),
    }
}
