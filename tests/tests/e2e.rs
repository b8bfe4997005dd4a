//! End-to-end tests in one binary: the real server, real guests, over real sockets.

#[path = "e2e/corpus.rs"]
mod corpus;
#[path = "e2e/structure.rs"]
mod structure;
