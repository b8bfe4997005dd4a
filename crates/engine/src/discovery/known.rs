//! What specs may name on a host: its plugins and its pipelines.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::{PipelineId, PluginId};
use model::pipeline::Pipeline;
use model::plugin::Role;
use model::stage::Natives;

use crate::spec::Known;
use crate::{Engine, PluginState};

impl Engine {
    /// The native stages that specs may name.
    #[must_use]
    pub fn natives(&self) -> &Natives {
        &self.ports.stages.natives
    }
}

impl Known for Engine {
    fn plugins(&self) -> Option<Vec<(PluginId, Vec<Role>)>> {
        let there = self
            .plugins()
            .into_iter()
            .filter(|p| p.state != PluginState::Failed);
        let named = there.filter_map(|p| Some((p.id?, p.about?.roles.iter().copied().collect())));
        Some(named.collect())
    }

    fn pipelines(&self) -> Option<Vec<PipelineId>> {
        let registered = self.pipelines().into_iter();
        Some(registered.map(|r| r.pipeline.id.clone()).collect())
    }

    fn pipeline(&self, id: &PipelineId) -> Option<Arc<Pipeline>> {
        self.pipeline(id).map(|r| r.pipeline)
    }

    fn most_parts(&self) -> usize {
        self.runs.parts
    }
}

/// What an engine knows, and pipelines that are to be registered in the same look.
pub(super) struct Here {
    pub(super) engine: Arc<Engine>,
    pub(super) beside: BTreeMap<PipelineId, Arc<Pipeline>>,
}

impl Known for Here {
    fn plugins(&self) -> Option<Vec<(PluginId, Vec<Role>)>> {
        Known::plugins(&*self.engine)
    }

    fn pipelines(&self) -> Option<Vec<PipelineId>> {
        let mut all = Known::pipelines(&*self.engine)?;
        all.extend(self.beside.keys().cloned());
        Some(all)
    }

    fn pipeline(&self, id: &PipelineId) -> Option<Arc<Pipeline>> {
        let beside = self.beside.get(id).cloned();
        beside.or_else(|| Known::pipeline(&*self.engine, id))
    }

    fn most_parts(&self) -> usize {
        self.engine.most_parts()
    }
}
