//! `around` hooks: the hook and the rest it may let happen are driven side by side, in one task.

use futures_util::future::{Either, select};
use model::BoxFuture;
use model::error::{Fault, StageError};
use model::hooks::Next;
use tokio::sync::oneshot;

use super::{Ended, Hook, Onion, Step};
use crate::call::Lease;

/// What a hook that runs the rest sends: the context, and where the answer goes.
type Asked = (String, oneshot::Sender<Result<String, Fault>>);

/// The rest, as the hook holds it: asks whoever drives the hook.
struct Asking(oneshot::Sender<Asked>);

impl Next for Asking {
    fn run(self: Box<Self>, context: String) -> BoxFuture<'static, Result<String, Fault>> {
        Box::pin(async move {
            let (answer, heard) = oneshot::channel();
            let gone = || Fault::Unavailable {
                reason: "the step was given up".into(),
                retry_after_ms: None,
            };
            self.0.send((context, answer)).map_err(|_| gone())?;
            heard.await.map_err(|_| gone())?
        })
    }
}

impl Onion {
    /// Calls an `around` hook; the hooks from `rest` on and the step happen if and when it lets them.
    pub(super) async fn around(
        &self,
        hook: &Hook,
        lease: Lease<'_>,
        rest: usize,
        context: String,
        step: Step,
    ) -> Result<String, StageError> {
        let fallback = hook.skips().then(|| context.clone());
        let (ask, asked) = oneshot::channel::<Asked>();
        let call = std::pin::pin!(self.call(hook, lease, context, Some(Box::new(Asking(ask)))));
        let (context, answer, call) = match select(call, asked).await {
            // It ended and never ran the rest. If it crashed and may be skipped, the rest happens now.
            Either::Left((outcome, _)) => {
                return self.unasked(hook, rest, outcome, fallback, step).await;
            }
            Either::Right((Ok((context, answer)), call)) => (context, answer, call),
            // It let go of the rest without running it.
            Either::Right((Err(_), call)) => {
                let outcome = call.await;
                return self.unasked(hook, rest, outcome, fallback, step).await;
            }
        };
        let inner = Self {
            cause: self.cause.and(&hook.slot.id),
            ..self.clone()
        };
        let outcome = match select(inner.run(rest, context, step), call).await {
            Either::Left((result, call)) => {
                let copy = result.clone();
                // A hook that is gone does not hear it.
                let _gone = answer.send(result.map_err(|e| e.fault));
                let outcome = call.await;
                return self.asked(hook, outcome, copy);
            }
            // The hook ended while the rest was under way: what it waited for is dropped, and ends there.
            Either::Right((outcome, _)) => outcome,
        };
        outcome.map_err(|ended| match ended {
            Ended::Refused(error) | Ended::Crashed(error) => self.hook_error(error),
        })
    }

    /// What comes of a hook that did not run the rest.
    async fn unasked(
        &self,
        hook: &Hook,
        rest: usize,
        outcome: Result<String, Ended>,
        fallback: Option<String>,
        step: Step,
    ) -> Result<String, StageError> {
        match outcome {
            Ok(result) => Ok(result),
            Err(ended) => {
                let context = self.or_skip(hook, ended, fallback)?;
                self.clone().run(rest, context, step).await
            }
        }
    }

    /// What comes of a hook that ran the rest, which came to `inner`.
    fn asked(
        &self,
        hook: &Hook,
        outcome: Result<String, Ended>,
        inner: Result<String, StageError>,
    ) -> Result<String, StageError> {
        match (outcome, inner) {
            (Ok(result), _) => Ok(result),
            // It passed on what it was told: the caller sees the error itself.
            (Err(Ended::Refused(_)), Err(error)) => Err(error),
            (Err(ended @ Ended::Crashed(_)), Err(error)) => {
                self.or_skip(hook, ended, Some(String::new()))?;
                Err(error)
            }
            (Err(ended), Ok(result)) => self.or_skip(hook, ended, Some(result)),
        }
    }
}
