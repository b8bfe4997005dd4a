//! The points and their hooks as people see them: plain values for an API to show.

use model::hooks::{Mode, OnFailure, Point, PointName};
use model::id::PluginId;
use serde_json::Value;

use super::{Chain, Hook};
use crate::Engine;

/// A point and the hooks there.
#[derive(Debug, Clone)]
pub struct PointStatus {
    /// Its name.
    pub name: String,
    /// The step, for people.
    pub what: String,
    /// The plugin that defines it; none: it is a core point.
    pub defined_by: Option<PluginId>,
    /// Is the step ever taken? False for core points whose feature this version does not have, and for points of plugins that are not there.
    pub fires: bool,
    /// Modes a hook may have here.
    pub modes: &'static [Mode],
    /// JSON Schema of the context, where there is one.
    pub context: Option<Value>,
    /// JSON Schema of the result, where there is one.
    pub result: Option<Value>,
    /// The hooks, the outermost and first at the top; those that are never called at the end.
    pub hooks: Vec<HookStatus>,
}

/// A hook at a point.
#[derive(Debug, Clone)]
pub struct HookStatus {
    /// Whose it is.
    pub plugin: PluginId,
    /// The plugin's version.
    pub version: semver::Version,
    /// How it stands to the step.
    pub mode: Mode,
    /// The lowest is outermost and first.
    pub priority: i32,
    /// What happens when it crashes.
    pub on_failure: OnFailure,
    /// The plugin whose hook replaces the step instead of this one, which is never called.
    pub beaten_by: Option<PluginId>,
}

impl Engine {
    /// All points: the core ones, those that plugins define, and those that hooks name and nobody defines.
    #[must_use]
    pub fn hooks(&self) -> Vec<PointStatus> {
        let catalog = self.catalog.load_full();
        let mut points: Vec<PointStatus> = Point::ALL.iter().map(|p| core(*p)).collect();
        let own = points.len();
        for (slot, _) in catalog.slots().filter(|(s, _)| s.current.load().is_some()) {
            let face = slot.face.load();
            points.extend(face.about.manifest.points.iter().map(|point| PointStatus {
                name: point.full_name.clone(),
                what: point.description.clone().unwrap_or_default(),
                defined_by: Some(slot.id.clone()),
                fires: true,
                modes: &Mode::ALL,
                context: point.schema.clone(),
                result: None,
                hooks: Vec::new(),
            }));
        }
        for (name, chain) in &catalog.hooks.0 {
            let at = points.iter().position(|p| p.name == name.as_str());
            let index = at.unwrap_or_else(|| {
                points.push(undefined(name));
                points.len() - 1
            });
            if let Some(point) = points.get_mut(index) {
                point.hooks = statuses(chain);
            }
        }
        if let Some(own) = points.get_mut(own..) {
            own.sort_by(|a, b| a.name.cmp(&b.name));
        }
        points
    }
}

fn core(point: Point) -> PointStatus {
    let spec = point.spec();
    // The table's schemas are JSON (a test checks it).
    let mut schemas: Value = serde_json::from_str(spec.schemas).unwrap_or_default();
    let mut half = |name| schemas.get_mut(name).map(Value::take);
    PointStatus {
        name: spec.name.into(),
        what: spec.what.into(),
        defined_by: None,
        fires: spec.fires,
        modes: spec.modes,
        context: half("context"),
        result: half("result"),
        hooks: Vec::new(),
    }
}

fn undefined(name: &PointName) -> PointStatus {
    PointStatus {
        name: name.to_string(),
        what: "No plugin at work defines it".into(),
        defined_by: None,
        fires: false,
        modes: &Mode::ALL,
        context: None,
        result: None,
        hooks: Vec::new(),
    }
}

fn statuses(chain: &Chain) -> Vec<HookStatus> {
    let one = |hook: &Hook, beaten_by: Option<&PluginId>| HookStatus {
        plugin: hook.slot.id.clone(),
        version: hook.slot.face.load().about.manifest.version.clone(),
        mode: hook.declaration.mode,
        priority: hook.declaration.priority,
        on_failure: hook.declaration.on_failure,
        beaten_by: beaten_by.cloned(),
    };
    let winner = chain.hooks.last().map(|h| &h.slot.id);
    let active = chain.hooks.iter().map(|h| one(h, None));
    active
        .chain(chain.beaten.iter().map(|h| one(h, winner)))
        .collect()
}
