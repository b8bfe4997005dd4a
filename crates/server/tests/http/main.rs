//! The server over real sockets, with a real engine and plugins that are scripted: no sandbox, no files.

#[cfg(test)]
mod auth;
#[cfg(test)]
mod chat;
#[cfg(test)]
mod client;
#[cfg(test)]
mod connection;
#[cfg(test)]
mod events;
#[cfg(test)]
mod extend;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod manage;
#[cfg(test)]
mod native;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod shelf;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod world;
