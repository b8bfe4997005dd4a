//! Runs plugins for Weir in the process of their own tests: the engine and the sandbox of a server, and a world around them that the test has
//! in its hands.
//!
//! | a plugin sees | in a test it is |
//! |---|---|
//! | the clock | set by the test; it stands until [`Running::advance`] moves it |
//! | HTTP | routes that the test lists ([`Upstream`]); the plugin's grant is checked as on a server |
//! | state | in memory, seeded by [`Kit::state`], with the quotas of a server |
//! | secrets | given by [`Kit::secret`], to plugins that are granted them |
//! | other plugins | those of the same [`Kit`] |
//!
//! Calls answer an [`Outcome`]: the reply or the failure, fuel, memory, host calls, time, denials, events, log lines and requests. Its assertions
//! print all of that when they fail.
//!
//! ```no_run
//! use weir_testkit::serde_json::json;
//! use weir_testkit::{Kit, Upstream};
//!
//! # fn main() -> Result<(), weir_testkit::KitError> {
//! let shop = Kit::new()
//!     .plugin("dist/shop.wasm")
//!     .settings(r#"grants.http = { allow = ["https://prices.example.com"] }"#)
//!     .upstream(Upstream::get("https://prices.example.com/tea").json(&json!({"eur": 3})))
//!     .start_blocking()?;
//! shop.chat("tea").assert_text("3 euros").assert_nothing_denied();
//! # Ok(())
//! # }
//! ```
//!
//! A test that is `async` uses [`Kit::start`] and awaits the same calls on a [`Running`]; both do their work on threads of the kit's own, with
//! a log of its own, so that tests run side by side.
//!
//! What is not as on a server: compiling happens in this process; names are not resolved; a clock that stands also stands for the host, so
//! limits that count by it (`cpu_ms`, `calls_per_minute`) move with it, while deadlines are real time.

#![deny(missing_docs)]

mod assertions;
pub mod blocking;
mod error;
mod fakes;
mod kit;
mod logs;
mod outcome;
mod running;
mod upstream;
mod watch;
mod world;

pub use assertions::{Mismatch, has_all};
pub use error::{KitError, NotStarted};
pub use kit::Kit;
pub use logs::LogLine;
pub use outcome::{EventSeen, Failed, Item, Outcome, Reply, Used};
pub use running::Running;
pub use serde_json;
pub use upstream::{Sent, Upstream, UpstreamReply, UpstreamRequest};
