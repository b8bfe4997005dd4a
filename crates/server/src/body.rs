//! Request bodies, read whole and bounded: in bytes each, in bytes of all together, in time.

use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::App;
use crate::rescue::Problem;

/// Bodies up to this size are not counted: the cap on connections bounds them.
const SMALL: usize = 64 * 1024;
/// What one permit stands for.
const UNIT: usize = 1024;

/// Bytes of bodies that may be held at once.
#[derive(Debug)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
}

/// A whole body. Its share of the budget is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    share: Share,
}

/// A share of the budget, to be kept as long as what was made of the body.
#[derive(Debug, Default)]
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let permits = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(permits)),
        }
    }

    /// Makes `share` cover `bytes`.
    fn cover(&self, share: &mut Share, bytes: usize) -> Result<(), Problem> {
        if bytes <= SMALL {
            return Ok(());
        }
        let have = share
            .0
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(UNIT).saturating_sub(have);
        if more == 0 {
            return Ok(());
        }
        let got = u32::try_from(more)
            .ok()
            .and_then(|n| self.free.clone().try_acquire_many_owned(n).ok())
            .ok_or_else(overloaded)?;
        match &mut share.0 {
            Some(permit) => permit.merge(got),
            None => share.0 = Some(got),
        }
        Ok(())
    }
}

impl Held {
    /// Gives the bytes up and keeps the share.
    pub(crate) fn into_share(self) -> Share {
        self.share
    }
}

/// Reads a body of at most `max` bytes, within the configured time.
///
/// # Errors
/// 413, 408, 503 when too many bytes of bodies are held already, 400 when the client broke off.
pub(crate) async fn read(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    max: usize,
) -> Result<Held, Problem> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|n| n > max as u64) {
        return Err(too_large(max));
    }
    let limit = app.config.limits.body_timeout;
    match tokio::time::timeout(limit, whole(&app.budget, body, max)).await {
        Ok(result) => result,
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            format!(
                "the request body did not arrive within {} s",
                limit.as_secs_f64()
            ),
        )),
    }
}

async fn whole(budget: &Budget, mut body: Body, max: usize) -> Result<Held, Problem> {
    let mut share = Share::default();
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|e| Problem::bad_request(format!("the request body broke off: {e}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let size = first.len() + all.len() + data.len();
        if size > max {
            return Err(too_large(max));
        }
        budget.cover(&mut share, size)?;
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    let bytes = if all.is_empty() { first } else { all.freeze() };
    Ok(Held { bytes, share })
}

fn too_large(max: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the request body is larger than the {max} bytes allowed"),
    )
}

fn overloaded() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "overloaded",
        "too many large requests at once; try again",
    )
    .retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_share_one_budget() {
        let budget = Budget::new(200 * UNIT);
        let (mut a, mut b) = (Share::default(), Share::default());
        assert!(budget.cover(&mut a, 100 * UNIT).is_ok());
        assert!(budget.cover(&mut a, 150 * UNIT).is_ok());
        assert_eq!(
            budget.cover(&mut b, 100 * UNIT).unwrap_err().status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert!(
            budget.cover(&mut b, SMALL).is_ok(),
            "small ones always pass"
        );
        drop(a);
        assert!(budget.cover(&mut b, 200 * UNIT).is_ok());
    }
}
