//! What a step at a hook point costs where there are no hooks, against the step alone: prints nanoseconds a step. `just bench` runs it.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark measures and prints"
)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use engine::{Engine, LocalBus, Options, Ports, Step};
use model::BoxFuture;
use model::component::{ComponentFile, FileName};
use model::error::LoadError;
use model::exchange::Cause;
use model::hooks::Point;
use model::id::PluginId;
use model::plugin::{Admission, Candidate, Loader};
use model::ports::{
    Clock, ComponentStore, EgressError, HttpBody, HttpClient, StoreError, ValveStore,
};

const STEPS: u32 = 2_000_000;
const ROUNDS: usize = 9;

/// An outside world with nothing in it.
#[derive(Debug, Clone, Copy)]
struct Nothing;

fn none<T: Send + 'static>(value: T) -> BoxFuture<'static, T> {
    Box::pin(std::future::ready(value))
}

impl Clock for Nothing {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

impl Loader for Nothing {
    fn inspect(
        &self,
        file: ComponentFile,
        _: Admission,
    ) -> BoxFuture<'static, Result<Box<dyn Candidate>, LoadError>> {
        none(Err(LoadError::NotAComponent(file.name.to_string())))
    }
}

impl ComponentStore for Nothing {
    fn list(&self) -> BoxFuture<'static, Result<Vec<FileName>, StoreError>> {
        none(Ok(Vec::new()))
    }
    fn read(
        &self,
        _: FileName,
        _: u64,
    ) -> BoxFuture<'static, Result<Option<ComponentFile>, StoreError>> {
        none(Ok(None))
    }
    fn read_settings(&self, _: FileName) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        none(Ok(None))
    }
    fn write(&self, _: ComponentFile) -> BoxFuture<'static, Result<(), StoreError>> {
        none(Ok(()))
    }
    fn remove(&self, _: FileName) -> BoxFuture<'static, Result<bool, StoreError>> {
        none(Ok(false))
    }
}

impl ValveStore for Nothing {
    fn read(&self, _: PluginId) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        none(Ok(None))
    }
    fn write(&self, _: PluginId, _: String) -> BoxFuture<'static, Result<(), StoreError>> {
        none(Ok(()))
    }
}

impl HttpClient for Nothing {
    fn send(
        &self,
        _: http::Request<HttpBody>,
    ) -> BoxFuture<'static, Result<http::Response<HttpBody>, EgressError>> {
        none(Err(EgressError::Denied("there is nothing".into())))
    }
}

fn engine() -> Arc<Engine> {
    let ports = Ports {
        loader: Arc::new(Nothing),
        components: Arc::new(Nothing),
        valves: Arc::new(Nothing),
        clock: Arc::new(Nothing),
        bus: Arc::new(LocalBus::new(Arc::new(Nothing))),
        fetch: Arc::new(Nothing),
        durability: None,
        raw: None,
        silver: None,
        stages: engine::Stages::none(std::env::temp_dir()),
    };
    Engine::new(ports, Options::default())
}

fn step() -> Step {
    Box::new(|context, _| Box::pin(std::future::ready(Ok(context))))
}

/// Nanoseconds a step.
async fn timed(mut one: impl AsyncFnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..STEPS {
        one().await;
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(STEPS)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let engine = engine();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime else {
        println!("no runtime");
        return;
    };
    let (mut alone, mut at_point) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        for _ in 0..ROUNDS {
            alone.push(
                timed(async || {
                    let done = step()(String::new(), Cause::default()).await;
                    std::hint::black_box(done.is_ok());
                })
                .await,
            );
            at_point.push(
                timed(async || {
                    let done = engine
                        .at_point(Point::RunStart, String::new(), step())
                        .await;
                    std::hint::black_box(done.is_ok());
                })
                .await,
            );
        }
    });
    let (alone, at_point) = (median(alone), median(at_point));
    println!("step alone {alone:.1} ns, at a point without hooks {at_point:.1} ns");
    println!("hook_none_ns {:.2}", at_point - alone);
}
