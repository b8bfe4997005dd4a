//! Secrets of a kit, by name. Which of them a plugin gets is its grant's business.

use std::collections::BTreeMap;

use model::ports::SecretStore;

/// Named secrets.
#[derive(Default)]
pub(crate) struct Secrets(pub(crate) BTreeMap<String, String>);

impl std::fmt::Debug for Secrets {
    /// Names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SecretStore for Secrets {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}
