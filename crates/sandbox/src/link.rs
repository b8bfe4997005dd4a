//! The linker: which imports a component finds. Made once; grants are checked before linking and again in each call, so that what is
//! optional and not granted is there and answers `denied`.

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::weir::host;
use crate::bindings::weir::types;
use crate::runtime::SetupError;
use crate::state::State;

/// Interfaces of WASI's command world: always linked, since toolchains import them unasked; they give nothing.
const WASI: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];
/// Interfaces of ours that need no grant.
const BASE: [&str; 8] = [
    "weir:host/log",
    "weir:host/valves",
    "weir:host/grants",
    "weir:host/chat",
    "weir:host/hooking",
    "weir:host/points",
    "weir:types/values",
    "weir:types/batches",
];

/// Is this import there for every plugin?
pub(crate) fn is_base(interface: &str) -> bool {
    let (name, version) = interface.split_once('@').unwrap_or((interface, ""));
    let wasi = WASI.iter().any(|p| name.starts_with(p)) && version.starts_with("0.2.");
    wasi || (BASE.contains(&name) && is_our_track(version))
}

/// Is this a version of our contract that this host serves?
pub(crate) fn is_our_track(version: &str) -> bool {
    version.starts_with("0.1.")
}

/// All there is to import.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>, SetupError> {
    let mut linker = Linker::new(engine);
    add_all(&mut linker).map_err(SetupError::Engine)?;
    Ok(linker)
}

fn add_all(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    types::values::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    host::log::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    host::valves::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    host::grants::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    host::state::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    host::events::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    host::calls::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    host::secrets::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    host::metrics::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    host::points::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    host::chat::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    host::hooking::add_to_linker::<_, HasSelf<State>>(linker, |s| s)?;
    Ok(())
}
