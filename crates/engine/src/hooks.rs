//! Runs hooks: the ones at a point lie around its step like the skins of an onion. Which hooks there are is `hooks/index.rs`, how they are shown `hooks/status.rs`; what the
//! points of a chat, of a filter and of loads show and take back is `hooks/{chat,filter,life}.rs`.

mod around;
mod chat;
mod filter;
mod index;
mod life;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::BoxFuture;
use model::error::{Fault, StageError};
use model::exchange::Cause;
use model::hooks::{HookCall, Mode, Next, OnFailure, Point, PointName};

use crate::Engine;
use crate::call::Lease;
use crate::metrics::Call;
pub(crate) use index::{Chain, Hook, HookIndex};
pub use status::{HookStatus, PointStatus};

/// The step at a point: takes the context, JSON text, and the cause of what it does, with the hooks that wait for it; answers the result, JSON text.
pub type Step = Box<
    dyn FnOnce(String, Cause) -> BoxFuture<'static, Result<String, StageError>> + Send + 'static,
>;

/// A step from what it does.
pub(crate) fn step<F>(work: impl FnOnce(String, Cause) -> F + Send + 'static) -> Step
where
    F: Future<Output = Result<String, StageError>> + Send + 'static,
{
    Box::new(|context, cause| Box::pin(work(context, cause)))
}

/// At which core points there are hooks: one atomic load tells a step that there are none.
#[derive(Debug, Default)]
pub(crate) struct Hooked([AtomicBool; Point::ALL.len()]);

impl Hooked {
    #[inline]
    pub(crate) fn at(&self, point: Point) -> bool {
        self.0
            .get(point as usize)
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, index: &HookIndex) {
        for (point, flag) in Point::ALL.iter().zip(&self.0) {
            flag.store(index.at(point.name()).is_some(), Ordering::Relaxed);
        }
    }
}

impl Engine {
    /// Takes a step at a core point, with the hooks there around it. `context` and what comes out are JSON text that fits the point's schemas. Where there
    /// are no hooks this is the step itself, and an atomic load.
    ///
    /// # Errors
    /// What the step ended in; [`Fault::Hook`] of the hook's plugin when a hook refused, or crashed where it must not.
    #[inline]
    pub fn at_point(
        self: &Arc<Self>,
        point: Point,
        context: String,
        step: Step,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        if self.hooked.at(point) {
            self.with_hooks(point.name(), Cause::default(), context, step)
        } else {
            step(context, Cause::default())
        }
    }

    /// The same, for a call with this cause.
    #[inline]
    pub(crate) fn step(
        self: &Arc<Self>,
        point: Point,
        cause: Cause,
        context: String,
        step: Step,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        if self.hooked.at(point) {
            self.with_hooks(point.name(), cause, context, step)
        } else {
            step(context, cause)
        }
    }

    /// Takes a step that goes on after it is taken: the hooks before and around it; those after it are asked with [`Engine::after_step`] when it is over.
    pub(crate) fn begin_step(
        self: &Arc<Self>,
        point: Point,
        context: String,
        step: Step,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        match self.onion(point.name(), Cause::default()) {
            Some(onion) => Onion {
                goes_on: true,
                ..onion
            }
            .run(0, context, step),
            None => step(context, Cause::default()),
        }
    }

    /// The hooks after a step that went on. Answers the result as they leave it.
    pub(crate) async fn after_step(
        self: &Arc<Self>,
        point: Point,
        context: &str,
        result: String,
    ) -> Result<String, StageError> {
        let Some(onion) = self.onion(point.name(), Cause::default()) else {
            return Ok(result);
        };
        let chain = Arc::clone(&onion.chain);
        let is_after = |hook: &&Hook| hook.declaration.mode == Mode::After;
        let afters = chain.hooks.iter().filter(is_after).collect();
        onion.afters(afters, context, result).await
    }

    /// Takes a step at any point.
    pub(crate) fn with_hooks(
        self: &Arc<Self>,
        point: &str,
        cause: Cause,
        context: String,
        step: Step,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        match self.onion(point, cause.clone()) {
            Some(onion) => onion.run(0, context, step),
            None => step(context, cause),
        }
    }

    /// The hooks at a point; none: there are none.
    fn onion(self: &Arc<Self>, point: &str, cause: Cause) -> Option<Onion> {
        let (point, chain) = self.catalog.load().hooks.at(point)?;
        Some(Onion {
            engine: Arc::clone(self),
            point,
            chain,
            cause,
            goes_on: false,
        })
    }
}

/// One run through the hooks at a point.
#[derive(Clone)]
struct Onion {
    engine: Arc<Engine>,
    point: PointName,
    chain: Arc<Chain>,
    cause: Cause,
    /// The hooks after the step are asked later.
    goes_on: bool,
}

/// How a hook ended that gave no answer.
enum Ended {
    /// It refused.
    Refused(StageError),
    /// It crashed, or could not be called.
    Crashed(StageError),
}

impl Onion {
    /// Runs the hooks from this one on, and the step.
    fn run(
        self,
        from: usize,
        mut context: String,
        step: Step,
    ) -> BoxFuture<'static, Result<String, StageError>> {
        Box::pin(async move {
            let chain = Arc::clone(&self.chain);
            // What `after` hooks on the way are shown: the context is kept only for them.
            let mut afters: Vec<&Hook> = Vec::new();
            let mut rest = chain.hooks.iter().enumerate().skip(from);
            let result = loop {
                let Some((index, hook)) = rest.next() else {
                    break step(kept(&mut context, &afters), self.cause.clone()).await?;
                };
                // Nobody is called about what it is itself the cause of.
                if self.cause.has(&hook.slot.id) {
                    continue;
                }
                if hook.declaration.mode == Mode::After {
                    if !self.goes_on {
                        afters.push(hook);
                    }
                    continue;
                }
                let Some(lease) = self.lease(hook).await? else {
                    continue;
                };
                match hook.declaration.mode {
                    Mode::Before => context = self.before(hook, lease, context).await?,
                    Mode::Around => {
                        let context = kept(&mut context, &afters);
                        break self.around(hook, lease, index + 1, context, step).await?;
                    }
                    Mode::After | Mode::Replace => {
                        let context = kept(&mut context, &afters);
                        break self.replace(hook, lease, context, step).await?;
                    }
                }
            };
            self.afters(afters, &context, result).await
        })
    }

    /// Asks the hooks after the step, the innermost first.
    async fn afters(
        &self,
        hooks: Vec<&Hook>,
        context: &str,
        mut result: String,
    ) -> Result<String, StageError> {
        for hook in hooks.into_iter().rev() {
            if let Some(lease) = self.lease(hook).await? {
                result = self.after(hook, lease, context, result).await?;
            }
        }
        Ok(result)
    }

    async fn before(
        &self,
        hook: &Hook,
        lease: Lease<'_>,
        context: String,
    ) -> Result<String, StageError> {
        let fallback = hook.skips().then(|| context.clone());
        match self.call(hook, lease, context, None).await {
            Ok(context) => Ok(context),
            Err(ended) => self.or_skip(hook, ended, fallback),
        }
    }

    async fn after(
        &self,
        hook: &Hook,
        lease: Lease<'_>,
        context: &str,
        result: String,
    ) -> Result<String, StageError> {
        let both = format!(r#"{{"context":{context},"result":{result}}}"#);
        match self.call(hook, lease, both, None).await {
            Ok(result) => Ok(result),
            Err(ended) => self.or_skip(hook, ended, Some(result)),
        }
    }

    async fn replace(
        &self,
        hook: &Hook,
        lease: Lease<'_>,
        context: String,
        step: Step,
    ) -> Result<String, StageError> {
        let fallback = hook.skips().then(|| context.clone());
        match self.call(hook, lease, context, None).await {
            Ok(result) => Ok(result),
            Err(ended) => match self.or_skip(hook, ended, fallback) {
                Ok(context) => step(context, self.cause.clone()).await,
                Err(error) => Err(error),
            },
        }
    }

    /// Gets hold of a hook's plugin; none: the hook does not count. One whose plugin was stopped or replaced by one without it is no hook any more.
    async fn lease(&self, hook: &Hook) -> Result<Option<Lease<'_>>, StageError> {
        match self.engine.enter(&hook.slot, Call::Hook).await {
            Ok(lease) => Ok(Some(lease)),
            Err(_) if hook.slot.current.load().is_none() => Ok(None),
            Err(error) => {
                self.or_skip(hook, Ended::Crashed(error), Some(String::new()))?;
                Ok(None)
            }
        }
    }

    /// Calls a hook's function.
    async fn call(
        &self,
        hook: &Hook,
        lease: Lease<'_>,
        context: String,
        next: Option<Box<dyn Next>>,
    ) -> Result<String, Ended> {
        let call = HookCall {
            point: self.point.clone(),
            mode: hook.declaration.mode,
            context,
            next,
        };
        let answer = lease.plugin().hook(call, self.cause.clone()).await;
        lease.finish(answer).map_err(|error| {
            if error.fault.said().is_some() {
                Ended::Refused(error)
            } else {
                Ended::Crashed(error)
            }
        })
    }

    /// What to go on with after a hook gave no answer: the fallback, where the hook may be skipped.
    fn or_skip(
        &self,
        hook: &Hook,
        ended: Ended,
        fallback: Option<String>,
    ) -> Result<String, StageError> {
        match (ended, fallback) {
            (Ended::Crashed(error), Some(fallback)) if hook.skips() => {
                let (point, mode) = (&self.point, hook.declaration.mode.as_str());
                tracing::warn!(plugin = %hook.slot.id, %point, mode, %error, "a hook failed and was skipped");
                Ok(fallback)
            }
            (Ended::Crashed(error) | Ended::Refused(error), _) => Err(self.hook_error(error)),
        }
    }

    fn hook_error(&self, error: StageError) -> StageError {
        StageError {
            plugin: error.plugin,
            fault: Fault::Hook {
                point: self.point.to_string(),
                fault: Box::new(error.fault),
            },
        }
    }
}

/// The context to hand on: a copy where `after` hooks will want to see it.
fn kept(context: &mut String, afters: &[&Hook]) -> String {
    if afters.is_empty() {
        std::mem::take(context)
    } else {
        context.clone()
    }
}

impl Hook {
    fn skips(&self) -> bool {
        self.declaration.on_failure == OnFailure::Skip
    }
}
