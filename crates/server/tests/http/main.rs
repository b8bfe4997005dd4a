//! The server over real sockets, with a real engine and plugins that are scripted: no sandbox, no files.

mod auth;
mod chat;
mod client;
mod connection;
mod fake;
mod filters;
mod manage;
mod native;
mod routes;
mod strict;
mod world;
