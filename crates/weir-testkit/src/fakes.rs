//! The outside world of a kit: everything behind the ports, in memory. What a plugin may do with it is still checked by the sandbox.

pub(crate) mod clock;
pub(crate) mod components;
pub(crate) mod secrets;
pub(crate) mod state;
pub(crate) mod upstream;
pub(crate) mod valves;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. What the fakes keep is whole after every statement, so a panic elsewhere does no harm.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
