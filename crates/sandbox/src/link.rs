//! Linkers: which imports a component finds. Made once; grants are checked before linking and, for optional ones, in the call.

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
const BASE: [&str; 7] = [
    "weir:host/log",
    "weir:host/valves",
    "weir:host/grants",
    "weir:host/chat",
    "weir:host/hooking",
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

/// The two sets of imports.
pub(crate) struct Linkers {
    /// What this version implements.
    pub(crate) implemented: Linker<State>,
    /// The same, and `denied` for the rest: for plugins that may do without.
    pub(crate) with_denied: Linker<State>,
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> Result<Self, SetupError> {
        let build = || -> wasmtime::Result<Self> {
            let implemented = implemented(engine)?;
            let mut with_denied = implemented.clone();
            host::events::add_to_linker::<_, HasSelf<State>>(&mut with_denied, |s| s)?;
            host::calls::add_to_linker::<_, HasSelf<State>>(&mut with_denied, |s| s)?;
            host::secrets::add_to_linker::<_, HasSelf<State>>(&mut with_denied, |s| s)?;
            host::metrics::add_to_linker::<_, HasSelf<State>>(&mut with_denied, |s| s)?;
            Ok(Self {
                implemented,
                with_denied,
            })
        };
        build().map_err(SetupError::Engine)
    }
}

fn implemented(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    types::values::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    host::log::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    host::valves::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    host::grants::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    host::state::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    host::chat::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    host::hooking::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?;
    Ok(linker)
}
