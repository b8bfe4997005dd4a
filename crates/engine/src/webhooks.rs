//! Requests to webhooks: who sent them, whether they may be taken now, keeping what they brought, and the runs that take it. How requests come and are answered is the
//! server's business, how payloads are kept the log's.

mod bounds;
mod gather;
mod inbox;
mod receive;
mod signature;

pub use bounds::{Admitted, Seen, Window};
pub use inbox::Inbox;
pub(crate) use inbox::Inboxes;
pub use receive::WebhookError;
pub use signature::{Refused, Verified, Verifier};

#[cfg(test)]
mod tests;
