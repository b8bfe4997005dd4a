//! The HTTP server: listens, authenticates, limits, decodes, calls the engine, encodes.
//!
//! It speaks the Open WebUI Pipelines contract, every route bare and under `/v1`, in two dialects (see [`Compat`]), and
//! Weir's own API under `/api/v1`. It runs no plugins, reads no files and keeps nothing but the context of recent conversations.

mod accept;
mod app;
mod auth;
mod body;
mod config;
mod connection;
mod context;
mod cors;
mod form;
mod json;
mod openapi;
mod reply;
mod request_id;
mod rescue;
mod routes;
mod socket;
mod sse;
mod strict;

pub use accept::{ServeError, serve};
pub use config::{AddPolicy, ApiKey, Compat, Cors, HttpLimits, KeyError, ServerConfig};
pub use openapi::document as openapi_document;
