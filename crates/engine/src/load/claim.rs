//! Which file provides which plugin: an id belongs to one file at a time.

use std::sync::Arc;

use model::component::FileName;
use model::error::LoadError;
use model::id::PluginId;
use model::plugin::About;

use crate::Engine;
use crate::slot::lock;

/// An id taken for a file; given back when dropped, unless it is kept or was the file's already.
pub(super) struct Claim {
    engine: Option<Arc<Engine>>,
    id: PluginId,
    file: FileName,
}

impl Claim {
    pub(super) fn keep(mut self) {
        self.engine = None;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(engine) = &self.engine {
            engine.release(&self.id, &self.file);
        }
    }
}

impl Engine {
    /// Takes an id for a file.
    pub(super) fn claim(
        self: &Arc<Self>,
        about: &Arc<About>,
        name: &FileName,
    ) -> Result<Claim, LoadError> {
        let id = about.manifest.id.clone();
        let mut claims = lock(&self.claims);
        match claims.get(&id) {
            Some(file) if file != name => Err(LoadError::DuplicateId {
                id: id.to_string(),
                file: file.to_string(),
            }),
            Some(_) => Ok(Claim {
                engine: None,
                id,
                file: name.clone(),
            }),
            None => {
                claims.insert(id.clone(), name.clone());
                Ok(Claim {
                    engine: Some(Arc::clone(self)),
                    id,
                    file: name.clone(),
                })
            }
        }
    }

    /// Lets an id go.
    pub(crate) fn release(&self, id: &PluginId, name: &FileName) {
        let mut claims = lock(&self.claims);
        if claims.get(id) == Some(name) {
            claims.remove(id);
        }
    }

    /// The file that has this id.
    pub(super) fn holder(&self, id: &str) -> Option<FileName> {
        let id = PluginId::new(id).ok()?;
        lock(&self.claims).get(&id).cloned()
    }
}
