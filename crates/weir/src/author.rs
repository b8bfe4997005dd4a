//! The author's kit: starting a plugin (`weir new`) and building one (`weir build`). Trying it out is the business of other commands.

pub(crate) mod build;
mod capability;
mod contract;
mod kind;
pub(crate) mod new;
mod project;
mod template;
mod toolchain;
