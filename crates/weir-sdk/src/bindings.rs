//! Raw bindings, generated from `wit/v0.1`: one module for what every plugin has, one for each role, one for each other import.
//!
//! A role's description goes into a component only where the role's export macro is called, and an import only where it is used. Nothing here is
//! public promise: the rest of the crate wraps all of it.
#![allow(
    missing_docs,
    unsafe_code,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::allow_attributes_without_reason,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "generated code"
)]

/// `lifecycle`, and the imports that need no grant.
pub mod base {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        world: "base",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "__export_base",
    });
}

/// An import in a world of its own, so that only a component that uses it has it.
macro_rules! import {
    ($module:ident, $inline:literal $(, $key:literal: $path:path)*) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit/v0.1",
                inline: $inline,
                with: { $($key: $path),* },
                generate_all,
            });
        }
    };
}

import!(
    state,
    "package weir:sdk-state; world imports { import weir:host/state@0.1.0; }"
);
import!(
    secrets,
    "package weir:sdk-secrets; world imports { import weir:host/secrets@0.1.0; }"
);
import!(
    metrics,
    "package weir:sdk-metrics; world imports { import weir:host/metrics@0.1.0; }"
);
import!(events, "package weir:sdk-events; world imports { import weir:host/events@0.1.0; }",
    "weir:types/values@0.1.0": crate::bindings::base::weir::types::values);
import!(points, "package weir:sdk-points; world imports { import weir:host/points@0.1.0; }",
    "weir:types/values@0.1.0": crate::bindings::base::weir::types::values);
import!(calls, "package weir:sdk-calls; world imports { import weir:host/calls@0.1.0; }",
    "weir:types/values@0.1.0": crate::bindings::base::weir::types::values);

/// A role that shares only `values` with the others.
macro_rules! role {
    ($module:ident, $world:literal, $export:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit/v0.1",
                world: $world,
                with: { "weir:types/values@0.1.0": crate::bindings::base::weir::types::values },
                generate_all,
                pub_export_macro: true,
                export_macro_name: $export,
            });
        }
    };
}

role!(valves, "role-valves", "__export_valves");
role!(handover, "role-handover", "__export_handover");
role!(pipe, "role-pipe", "__export_pipe");
role!(manifold, "role-manifold", "__export_manifold");
role!(filter, "role-filter", "__export_filter");
role!(source, "role-source", "__export_source");
role!(transform, "role-transform", "__export_transform");
role!(sink, "role-sink", "__export_sink");
role!(hooks, "role-hooks", "__export_hooks");
role!(subscriber, "role-subscriber", "__export_subscriber");
role!(peer, "role-peer", "__export_peer");
