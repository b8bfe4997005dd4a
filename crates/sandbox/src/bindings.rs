//! Rust bindings of the track `wit/v0.1`, generated. Nothing is implemented here.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::all,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "generated code"
)]

wasmtime::component::bindgen!({
    path: "../../wit/v0.1",
    world: "weir:plugin/whole",
    imports: {
        "weir:host/state": async | trappable,
        "weir:host/chat": async | trappable,
        "weir:host/events": async | trappable,
        "weir:host/calls": async | trappable,
        "weir:host/hooking": async | trappable,
        "weir:host/points": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "weir:host/chat.reply": crate::host::chat::ReplySlot,
        "weir:host/hooking.continuation": crate::host::hooking::ContinuationSlot,
    },
    require_store_data_send: true,
});
