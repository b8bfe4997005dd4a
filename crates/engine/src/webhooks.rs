//! Requests to webhooks: who sent them, and whether they may be taken now. Plain values that are given the time; how requests come and where payloads go is others'
//! business.

mod bounds;
mod signature;

pub use bounds::{Admitted, Seen, Window};
pub use signature::{Refused, Verified, Verifier};

#[cfg(test)]
mod tests;
