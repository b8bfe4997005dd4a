//! Stages that were given secrets: what they say goes on without them, so that none gets into an error, a reject, a log line or an event. What is a secret is known where options
//! are filled in; records are left as they are.

use std::sync::Arc;

use model::BoxFuture;
use model::data::{Batch, Most, Partly, Pulled, Reader, Reject, Transformed, Transformer, Writer};
use model::error::Fault;
use model::redact::Secrets;

/// A stage at work, and the secrets that it was given.
pub(super) struct Masked<T: ?Sized> {
    stage: Box<T>,
    secrets: Arc<Secrets>,
}

/// What opening a stage came to, without the secrets it was given. A stage that was given none stays as it is.
pub(super) fn masked<T: ?Sized>(
    opened: Result<Box<T>, Fault>,
    secrets: &Arc<Secrets>,
    around: impl FnOnce(Masked<T>) -> Box<T>,
) -> Result<Box<T>, Fault> {
    if secrets.is_empty() {
        return opened;
    }
    let stage = opened.map_err(|fault| secrets.redacted(fault))?;
    let secrets = Arc::clone(secrets);
    Ok(around(Masked { stage, secrets }))
}

fn without(secrets: &Secrets, text: &mut String) {
    *text = secrets.redact(text).into_owned();
}

fn rejects(secrets: &Secrets, rejects: &mut [Reject]) {
    rejects
        .iter_mut()
        .for_each(|r| without(secrets, &mut r.reason));
}

impl Reader for Masked<dyn Reader> {
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>> {
        Box::pin(async move {
            let pulled = self.stage.pull(most).await;
            let mut pulled = pulled.map_err(|fault| self.secrets.redacted(fault))?;
            for unreadable in &mut pulled.rejects {
                without(&self.secrets, &mut unreadable.reason);
            }
            Ok(pulled)
        })
    }

    fn fuel(&self) -> u64 {
        self.stage.fuel()
    }
}

impl Transformer for Masked<dyn Transformer> {
    fn apply(&mut self, batch: Batch) -> BoxFuture<'_, Result<Transformed, Fault>> {
        Box::pin(async move {
            let done = self.stage.apply(batch).await;
            let mut done = done.map_err(|fault| self.secrets.redacted(fault))?;
            rejects(&self.secrets, &mut done.rejects);
            Ok(done)
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Option<Batch>, Fault>> {
        Box::pin(async move {
            let rest = self.stage.finish().await;
            rest.map_err(|fault| self.secrets.redacted(fault))
        })
    }

    fn fuel(&self) -> u64 {
        self.stage.fuel()
    }
}

impl Writer for Masked<dyn Writer> {
    fn push(&mut self, batch: Batch, key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>> {
        Box::pin(async move {
            let rejected = self.stage.push(batch, key).await;
            let mut rejected = rejected.map_err(|fault| self.secrets.redacted(fault))?;
            rejects(&self.secrets, &mut rejected);
            Ok(rejected)
        })
    }

    fn partly(&self, key: &str) -> Partly {
        let mut partly = self.stage.partly(key);
        rejects(&self.secrets, &mut partly.rejects);
        partly
    }

    fn is_whole(&self) -> bool {
        self.stage.is_whole()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            let done = self.stage.finish().await;
            done.map_err(|fault| self.secrets.redacted(fault))
        })
    }

    fn fuel(&self) -> u64 {
        self.stage.fuel()
    }
}
