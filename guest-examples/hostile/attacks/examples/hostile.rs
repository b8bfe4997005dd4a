//! Attacks that need no grant: `hostile.spin`, `hostile.grow` and so on.

use attacks::{Attack, flood, memory, probe, time};
use weir_sdk::{Failure, Manifest, Manifold, Model, Pipe, Plugin, Reply, Request};

const ATTACKS: &[(&str, Attack)] = &[
    ("spin", time::spin),
    ("spin-after-text", time::spin_after_text),
    ("stack", time::stack),
    ("sleep", time::sleep),
    ("sleep-forever", time::sleep_forever),
    ("sleep-until-the-end", time::sleep_until_the_end),
    ("trap", time::trap),
    ("trap-after-text", time::trap_after_text),
    ("error", time::error),
    ("exit", time::exit),
    ("grow", memory::grow),
    ("grow-politely", memory::grow_politely),
    ("fill", memory::fill),
    ("keep", memory::keep),
    ("find", memory::find),
    ("host-calls", flood::host_calls),
    ("clock", flood::clock),
    ("log", flood::log_lines),
    ("log-control", flood::log_control),
    ("stdout", flood::stdout),
    ("stderr", flood::stderr),
    ("reply-bytes", flood::reply_bytes),
    ("reply-items", flood::reply_items),
    ("reply-huge", flood::reply_huge),
    ("reply-deaf", flood::reply_deaf),
    ("reply-smuggle", flood::reply_smuggle),
    ("handles", flood::handles),
    ("random", flood::random_bytes),
    ("environment", probe::environment),
    ("files", probe::files),
    ("sockets", probe::sockets),
];

#[derive(Default)]
struct Hostile;

impl Plugin for Hostile {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("hostile").name("Hostile: ")
    }
}

impl Manifold for Hostile {
    fn models(&mut self) -> Result<Vec<Model>, Failure> {
        Ok(attacks::models(ATTACKS))
    }
}

impl Pipe for Hostile {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        attacks::run(ATTACKS, request, reply)
    }
}

weir_sdk::plugin!(Hostile: pipe, manifold);
