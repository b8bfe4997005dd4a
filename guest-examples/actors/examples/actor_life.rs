//! Template `life`: starts, stops and crashes as the operator's settings for it say, so that tests write those.
//!
//! | key of `[config]` | meaning |
//! |---|---|
//! | `init`, `start`, `stop` | what to do there: an action of `actors::act` |
//! | `start_failures` | only the first so many starts do the action `start`; counted in `weir:host/state`, so across instances and loads |
//!
//! The pipe does what it is told: `crash` traps, any action as JSON is done, and all else is answered with how often the plugin was started and how many calls the
//! instance had.

use actors::{act, order};
use weir_sdk::{Config, Failure, Pipe, Plugin, Reply, Request, serde_json::Value, state};

#[derive(Default)]
struct Life {
    config: Value,
    calls: u64,
}

impl Life {
    fn action(&self, step: &str) -> &Value {
        self.config.get(step).unwrap_or(&Value::Null)
    }
}

impl Plugin for Life {
    fn init(&mut self, config: &Config) -> Result<(), Failure> {
        self.config = config.config.clone();
        act(self.action("init"))
    }

    fn start(&mut self) -> Result<(), Failure> {
        let starts = state::add("starts", 1)?;
        match self.config.get("start_failures").and_then(Value::as_i64) {
            Some(failures) if starts > failures => Ok(()),
            _ => act(self.action("start")),
        }
    }

    fn stop(&mut self) {
        // A failure says nothing here: `stop` has no answer.
        drop(act(self.action("stop")));
    }
}

impl Pipe for Life {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        self.calls += 1;
        if request.user_text() == "crash" {
            actors::act::trap();
        }
        act(&order(request))?;
        let starts = state::add("starts", 0)?;
        reply.text(format!("{starts} starts, {} calls", self.calls))?;
        Ok(())
    }
}

actors::actor!(Life: pipe);
