//! Counts its calls in memory: shows what survives a reload (nothing).

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Stateful {
    calls: u64,
    started: bool,
}

impl Plugin for Stateful {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("stateful")
    }

    fn start(&mut self) -> Result<(), Failure> {
        self.started = true;
        Ok(())
    }
}

impl Pipe for Stateful {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        self.calls += 1;
        let started = if self.started { "True" } else { "False" };
        reply.text(format!("n={} started={started}", self.calls))?;
        Ok(())
    }
}

weir_sdk::plugin!(Stateful: pipe);
