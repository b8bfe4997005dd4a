//! A pipe that counts its calls in memory, in one long-lived instance (`reuse = "single"` in `counter.toml`), and takes the count over to its next
//! version when it is reloaded. A crash loses it: what must not get lost belongs into `weir:host/state`.

use weir_sdk::{Failure, Handover, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Counter {
    calls: u64,
}

impl Plugin for Counter {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.name("Counter")
    }
}

impl Pipe for Counter {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        self.calls += 1;
        reply.text(self.calls.to_string())?;
        Ok(())
    }
}

impl Handover for Counter {
    fn snapshot(&mut self) -> Result<Vec<u8>, Failure> {
        Ok(self.calls.to_le_bytes().to_vec())
    }

    fn restore(&mut self, from_version: &str, snapshot: &[u8]) -> Result<(), Failure> {
        let bytes = snapshot.try_into().map_err(|_| {
            Failure::invalid(format!(
                "the snapshot of version {from_version} has {} bytes, not 8",
                snapshot.len()
            ))
        })?;
        self.calls = u64::from_le_bytes(bytes);
        Ok(())
    }
}

weir_sdk::plugin!(Counter: pipe, handover);
