//! Actors: plugins that do what the manifest stamped into them says. Tests need dozens of plugins that differ in an id, a hook, a dependency or a
//! misdeed; compiling each would take minutes. So each component in `examples/` is a template with room for a manifest, and `stamp.py` makes plugins
//! of it. What a plugin does is under `does` in its manifest, a key that means nothing to the host. `README.md` says what there is.

pub mod act;
mod bomb;
pub mod edit;
mod stamped;

pub use act::act;
pub use stamped::{does, manifest};
#[doc(hidden)]
pub use weir_sdk;

use weir_sdk::serde_json::Value;

/// What the test says to a pipe: JSON, or else null.
pub fn order(request: &weir_sdk::Request) -> Value {
    weir_sdk::serde_json::from_str(&request.user_text()).unwrap_or_default()
}

/// Exports an actor: like `weir_sdk::plugin!`, but it describes itself with the stamped manifest.
#[macro_export]
macro_rules! actor {
    ($plugin:ident: $($role:ident),+ $(,)?) => {
        const _: () = {
            use $crate::weir_sdk::{__private as private, bindings};
            use bindings::base::{exports::weir::plugin::lifecycle, weir::types::values};

            impl private::Instance for $plugin {
                const PACKAGE: private::Package =
                    private::Package { name: "", version: "", description: "", authors: "", license: "" };

                fn with<R>(call: impl FnOnce(&mut Self) -> R) -> R {
                    ::std::thread_local! {
                        static VALUE: ::std::cell::RefCell<$plugin> = ::std::default::Default::default();
                    }
                    VALUE.with_borrow_mut(call)
                }
            }
            type Adapter = private::Adapter<$plugin>;

            struct Stamped;

            impl lifecycle::Guest for Stamped {
                fn describe() -> String {
                    $crate::manifest()
                }
                fn init(config: String) -> Result<(), values::Failure> {
                    <Adapter as lifecycle::Guest>::init(config)
                }
                fn start() -> Result<(), values::Failure> {
                    <Adapter as lifecycle::Guest>::start()
                }
                fn stop() {
                    <Adapter as lifecycle::Guest>::stop();
                }
            }
            bindings::base::__export_base!(Stamped with_types_in bindings::base);
            $($crate::weir_sdk::__export_role!($role, Adapter);)+
        };
    };
}
