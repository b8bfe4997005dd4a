//! A stage whose work blocks: it is moved to the threads for that, call by call.

use model::error::Fault;

/// Something that is worked on by one blocking call at a time. It is lost when a call is dropped before its end.
#[derive(Debug)]
pub(crate) struct Blocking<T>(Option<T>);

impl<T: Send + 'static> Blocking<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Works on it.
    ///
    /// # Errors
    /// What `work` answers, or that an earlier call did not come to its end.
    pub(crate) async fn with<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut T) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, Fault> {
        let mut value = self.0.take().ok_or_else(|| Fault::Unavailable {
            reason: "an earlier call was broken off".into(),
            retry_after_ms: None,
        })?;
        let (value, result) = blocking(move || {
            let result = work(&mut value);
            Ok((value, result))
        })
        .await?;
        self.0 = Some(value);
        result
    }
}

/// Runs blocking work.
///
/// # Errors
/// What it answers, or that it did not come to its end.
pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Fault> + Send + 'static,
) -> Result<R, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Fault::Internal(format!("did not come to its end: {e}"))))
}
