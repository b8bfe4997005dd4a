//! The plugin itself: the trait, the macro that exports it, and the adapter between the author's traits and the contract. What each
//! role does is in the role's own module.

use std::marker::PhantomData;

use crate::{
    Config, Failure, Manifest, bindings::base::exports::weir::plugin::lifecycle,
    bindings::base::weir::types::values, failure::lower,
};

/// What every plugin is. All methods have defaults, so `impl Plugin for Mine {}` will do.
///
/// The host keeps one value of the type in each instance, made with [`Default`]. Only one call runs in an instance at a time.
pub trait Plugin: Default + 'static {
    /// Says what the plugin is. `manifest` holds what `Cargo.toml` says. Called in a throwaway instance to which nothing is granted.
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
    }

    /// Prepares the instance; called in every new one before anything else. A failure at load fails the load.
    fn init(&mut self, config: &Config) -> Result<(), Failure> {
        let _ = config;
        Ok(())
    }

    /// The plugin is live now. Called once for each loaded version, in one instance. A failure fails the load.
    fn start(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// The version is let go. Called once, after its last call, in one instance.
    fn stop(&mut self) {}
}

/// What the guest crate's `Cargo.toml` says.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// `package.name`
    pub name: &'static str,
    /// `package.version`
    pub version: &'static str,
    /// `package.description`
    pub description: &'static str,
    /// `package.authors`
    pub authors: &'static str,
    /// `package.license`
    pub license: &'static str,
}

/// Where the one value of a plugin lives; written by [`plugin!`](crate::plugin).
pub trait Instance: Plugin {
    /// The guest crate.
    const PACKAGE: Package;
    /// Runs a call on the value.
    fn with<R>(call: impl FnOnce(&mut Self) -> R) -> R;
}

/// Implements the contract's interfaces with a plugin's traits.
#[derive(Debug)]
pub struct Adapter<P>(PhantomData<P>);

impl<P: Instance> lifecycle::Guest for Adapter<P> {
    fn describe() -> String {
        // A manifest is made of texts, a flag and a parsed document: writing it cannot fail. If it did, the host would refuse the empty text.
        serde_json::to_string(&P::manifest(Manifest::of(&P::PACKAGE))).unwrap_or_default()
    }

    fn init(config: String) -> Result<(), values::Failure> {
        let config = serde_json::from_str(&config)
            .map_err(|error| values::Failure::Invalid(format!("configuration: {error}")))?;
        P::with(|plugin| plugin.init(&config)).map_err(lower)
    }

    fn start() -> Result<(), values::Failure> {
        P::with(P::start).map_err(lower)
    }

    fn stop() {
        P::with(P::stop);
    }
}

/// Exports a plugin: its type, a colon, and its roles (see the crate's documentation). Call it once in a crate.
///
/// ```
/// # use weir_sdk::{Failure, Filter, Plugin, Valves, schemars::JsonSchema, serde::{Deserialize, Serialize}};
/// # #[derive(Default)] struct Polite;
/// # impl Plugin for Polite {}
/// # impl Filter for Polite {}
/// # #[derive(Serialize, Deserialize, JsonSchema)] struct Settings { pipelines: Vec<String>, priority: i64 }
/// # impl Valves for Polite { type Fields = Settings; }
/// weir_sdk::plugin!(Polite: filter, valves);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! plugin {
    ($plugin:ident: $($role:ident),+ $(,)?) => {
        #[allow(unsafe_code, reason = "exports of a component are unsafe to declare")]
        const _: () = {
            impl $crate::__private::Instance for $plugin {
                const PACKAGE: $crate::__private::Package = $crate::__private::Package {
                    name: ::core::env!("CARGO_PKG_NAME"),
                    version: ::core::env!("CARGO_PKG_VERSION"),
                    description: ::core::env!("CARGO_PKG_DESCRIPTION"),
                    authors: ::core::env!("CARGO_PKG_AUTHORS"),
                    license: ::core::env!("CARGO_PKG_LICENSE"),
                };

                fn with<R>(call: impl ::core::ops::FnOnce(&mut Self) -> R) -> R {
                    ::std::thread_local! {
                        static VALUE: ::core::cell::RefCell<$plugin> = ::core::default::Default::default();
                    }
                    VALUE.with_borrow_mut(call)
                }
            }
            type Adapter = $crate::__private::Adapter<$plugin>;
            $crate::__private::bindings::base::__export_base!(Adapter with_types_in $crate::__private::bindings::base);
            $($crate::__export_role!($role, Adapter);)+
        };
    };
    ($($other:tt)*) => {
        ::core::compile_error!("write plugin!(Type: role, ..), with at least one role");
    };
}

/// Exports one role. Part of [`plugin!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export_role {
    (pipe, $adapter:ident) => {
        $crate::__private::bindings::pipe::__export_pipe!($adapter with_types_in $crate::__private::bindings::pipe);
    };
    (manifold, $adapter:ident) => {
        $crate::__private::bindings::manifold::__export_manifold!($adapter with_types_in $crate::__private::bindings::manifold);
    };
    (filter, $adapter:ident) => {
        $crate::__private::bindings::filter::__export_filter!($adapter with_types_in $crate::__private::bindings::filter);
    };
    (valves, $adapter:ident) => {
        $crate::__private::bindings::valves::__export_valves!($adapter with_types_in $crate::__private::bindings::valves);
    };
    (handover, $adapter:ident) => {
        $crate::__private::bindings::handover::__export_handover!($adapter with_types_in $crate::__private::bindings::handover);
    };
    (source, $adapter:ident) => {
        $crate::__private::bindings::source::__export_source!($adapter with_types_in $crate::__private::bindings::source);
    };
    (transform, $adapter:ident) => {
        $crate::__private::bindings::transform::__export_transform!($adapter with_types_in $crate::__private::bindings::transform);
    };
    (sink, $adapter:ident) => {
        $crate::__private::bindings::sink::__export_sink!($adapter with_types_in $crate::__private::bindings::sink);
    };
    (hooks, $adapter:ident) => {
        $crate::__private::bindings::hooks::__export_hooks!($adapter with_types_in $crate::__private::bindings::hooks);
    };
    (subscriber, $adapter:ident) => {
        $crate::__private::bindings::subscriber::__export_subscriber!($adapter with_types_in $crate::__private::bindings::subscriber);
    };
    (peer, $adapter:ident) => {
        $crate::__private::bindings::peer::__export_peer!($adapter with_types_in $crate::__private::bindings::peer);
    };
    ($other:ident, $adapter:ident) => {
        ::core::compile_error!(::core::concat!(
            "unknown role `", ::core::stringify!($other),
            "`; roles are pipe, manifold, filter, valves, handover, source, transform, sink, hooks, subscriber, peer"
        ));
    };
}
