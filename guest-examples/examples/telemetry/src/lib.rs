//! An extension that looks on: hooks around chats, and after stages and runs, exported as metrics. It changes nothing, and what it hooks into goes on without
//! it if it crashes. The grants are in `telemetry.toml`.
//!
//! | metric at `/metrics` | labels |
//! |---|---|
//! | `weir_guest_telemetry_chats_total`, `weir_guest_telemetry_chat_seconds` | `model_plugin`, `outcome` |
//! | `weir_guest_telemetry_stages_total`, `weir_guest_telemetry_stage_seconds` | `pipeline`, `stage`, `outcome` |
//! | `weir_guest_telemetry_stage_records_total` | `pipeline`, `stage`, `direction` |
//! | `weir_guest_telemetry_runs_total`, `weir_guest_telemetry_run_seconds` | `pipeline`, `state` |

mod sample;

use std::time::Instant;

use sample::Sample;
use weir_sdk::{Continuation, Failure, Hook, Hooks, Json, Manifest, Plugin, serde_json::Value};

#[derive(Default)]
struct Telemetry;

impl Plugin for Telemetry {
    fn manifest(manifest: Manifest) -> Manifest {
        // Outermost, so that the time of other hooks counts, too.
        let outermost = |hook: Hook| hook.priority(-1000).skip_on_failure();
        manifest
            .name("Telemetry")
            .hook(outermost(Hook::around("chat_request")))
            .hook(Hook::after("stage_execute"))
            .hook(Hook::after("run_complete"))
    }
}

impl Hooks for Telemetry {
    fn around(&mut self, _: &str, context: Json, next: &Continuation) -> Result<Json, Failure> {
        let started = Instant::now();
        let result = next.proceed(&context);
        let seconds = started.elapsed().as_secs_f64();
        // What it cannot read it cannot count; the step is done all the same.
        if let Ok(context) = context.parse::<Value>() {
            let samples = sample::of_chat(&context, result.as_ref().map(|_| ()), seconds);
            samples.iter().for_each(Sample::export);
        }
        result
    }

    fn after(&mut self, point: &str, context: Json, result: Json) -> Result<Json, Failure> {
        if let (Ok(context), Ok(came)) = (context.parse(), result.parse()) {
            let samples = match point {
                "stage_execute" => sample::of_stage(&context, &came),
                _ => sample::of_run(&context),
            };
            samples.iter().for_each(Sample::export);
        }
        Ok(result)
    }
}

weir_sdk::plugin!(Telemetry: hooks);
