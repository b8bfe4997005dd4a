//! Valves of plugins: the values a version starts with, showing them, and changing them. What a spec is and how values are made to fit is `model::valves`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::error::LoadError;
use model::plugin::{About, Role, ValveValues};
use model::settings::PluginSettings;
use model::valves::{Layer, Spec};
use serde_json::{Map, Value};
use tracing::Instrument as _;

use crate::load::Ready;
use crate::metrics::Call;
use crate::slot::{Face, Slot, Version};
use crate::status::Kind;
use crate::{Engine, ValvesError, ValvesView};

/// The values a version starts with.
pub(crate) struct StartValves {
    pub(crate) spec: Option<Spec>,
    pub(crate) values: Map<String, Value>,
    announce: bool,
}

impl StartValves {
    /// As the sandbox takes them.
    pub(crate) fn announced(&self) -> ValveValues {
        ValveValues {
            json: text(&self.values).into(),
            announce: self.announce,
        }
    }
}

impl Engine {
    /// A plugin's valves: its spec, and the values in force. Also of a plugin that is stopped.
    ///
    /// # Errors
    /// [`ValvesError::NotFound`], [`ValvesError::NoValves`].
    pub fn valves(&self, id: &str) -> Result<ValvesView, ValvesError> {
        let slot = self.slot(id)?;
        let face = slot.face.load_full();
        view(&face, id)
    }

    /// Replaces a plugin's valves: what is left out gets its default from the spec. The values are stored, then the plugin is told.
    ///
    /// # Errors
    /// [`ValvesError::Hook`] when the plugin's own `updated` failed: the new values stay. On all other errors nothing has changed.
    pub async fn update_valves(
        self: &Arc<Self>,
        id: &str,
        values: Map<String, Value>,
    ) -> Result<ValvesView, ValvesError> {
        let file = self.slot(id)?.file.clone();
        let (engine, id) = (Arc::clone(self), id.to_string());
        // In a task of its own: a client that leaves cannot leave stored and told values apart.
        let work = async move {
            let turn = engine.turn(&file).await;
            let result = engine.update_here(&id, &values).await;
            drop(turn);
            engine.forget_lane(&file);
            result
        };
        let task = tokio::spawn(work.in_current_span());
        task.await.unwrap_or_else(|e| {
            Err(ValvesError::Store(model::ports::StoreError {
                what: "the update broke off".into(),
                source: Arc::new(e),
            }))
        })
    }

    /// The caller holds the plugin's lane.
    async fn update_here(
        self: &Arc<Self>,
        id: &str,
        given: &Map<String, Value>,
    ) -> Result<ValvesView, ValvesError> {
        let slot = self.slot(id)?;
        let face = slot.face.load_full();
        let Some(spec) = &face.spec else {
            return Err(ValvesError::NoValves(id.into()));
        };
        let values = spec.fit(given).map_err(ValvesError::Invalid)?;
        let json = text(&values);
        self.ports
            .valves
            .write(slot.id.clone(), json.clone())
            .await?;
        face.values.store(Arc::new(values));
        tracing::info!(plugin = %slot.id, "valves were changed");
        let told = self.tell_values(&slot, json.into()).await;
        self.reindex();
        told?;
        view(&face, id)
    }

    /// Tells the version at work about new values, and asks a manifold for its models.
    async fn tell_values(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        json: Arc<str>,
    ) -> Result<(), ValvesError> {
        let Some(version) = slot.current.load_full() else {
            return Ok(());
        };
        let began = self.ports.clock.monotonic();
        slot.begun();
        let result = Arc::clone(&version.plugin).set_valves(json).await;
        self.note(slot, Call::Valves, began, &result);
        if version.face.kind == Kind::Manifold {
            self.ask_models(&version, Some(slot)).await;
        }
        result.map_err(ValvesError::Hook)
    }

    fn slot(&self, id: &str) -> Result<Arc<Slot>, ValvesError> {
        let catalog = self.catalog.load();
        catalog
            .plugin(id)
            .cloned()
            .ok_or_else(|| ValvesError::NotFound(id.into()))
    }

    /// The values a version starts with: the spec's defaults, the manifest's, the operator's, and what people have set.
    pub(crate) async fn start_valves(
        &self,
        about: &Arc<About>,
        settings: &PluginSettings,
        settings_place: String,
    ) -> Result<StartValves, LoadError> {
        let id = &about.manifest.id;
        if !about.roles.contains(&Role::Valves) {
            if !settings.valves.is_empty() {
                return Err(LoadError::Valves(format!(
                    "{settings_place}: valves are given, but the plugin has none"
                )));
            }
            return Ok(StartValves {
                spec: None,
                values: Map::new(),
                announce: false,
            });
        }
        let stored = self.ports.valves.read(id.clone()).await;
        let stored = stored.map_err(|e| LoadError::Host(e.to_string()))?;
        let place = self.ports.valves.place(id);
        let announce = self.options.announce_valves && stored.is_some();
        let (about, operators) = (Arc::clone(about), settings.valves.clone());
        // A stranger's spec may take its time: not on a thread that serves calls.
        let work = move || {
            layered(
                &about,
                &operators,
                &settings_place,
                stored.as_deref(),
                &place,
            )
        };
        let (spec, values) = tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| LoadError::Host(format!("reading the valves broke off: {e}")))?
            .map_err(LoadError::Valves)?;
        Ok(StartValves {
            spec: Some(spec),
            values,
            announce,
        })
    }

    /// A version that is ready to be put to work.
    pub(crate) fn version(&self, ready: Ready, generation: u64) -> Arc<Version> {
        let about = Arc::clone(ready.plugin.about());
        let face = Face {
            kind: Kind::of(&about),
            about,
            settings: ready.settings,
            generation,
            loaded_at: self.ports.clock.now(),
            spec: ready.valves.spec,
            values: ArcSwap::from_pointee(ready.valves.values),
            models: std::sync::Mutex::default(),
            asking: Arc::default(),
        };
        Arc::new(Version {
            plugin: ready.plugin,
            face: Arc::new(face),
            gate: crate::gate::Gate::default(),
        })
    }
}

fn layered(
    about: &About,
    operators: &Map<String, Value>,
    settings_place: &str,
    stored: Option<&str>,
    place: &str,
) -> Result<(Spec, Map<String, Value>), String> {
    let spec = about.valves_spec.as_deref().unwrap_or("{}");
    let spec = Spec::parse(spec).map_err(|e| format!("the spec: {e}"))?;
    let stored: Map<String, Value> = match stored {
        Some(text) => {
            serde_json::from_str(text).map_err(|e| format!("{place}: not a JSON object: {e}"))?
        }
        None => Map::new(),
    };
    let layer = |from, values, ignore_unknown| Layer {
        from,
        values,
        ignore_unknown,
    };
    let layers = [
        layer("the manifest's valves", &about.manifest.valves, false),
        layer(settings_place, operators, false),
        layer(place, &stored, true),
    ];
    let values = spec.layer(&layers).map_err(|e| e.to_string())?;
    Ok((spec, values))
}

fn view(face: &Face, id: &str) -> Result<ValvesView, ValvesError> {
    match &face.spec {
        Some(spec) => Ok(ValvesView {
            values: face.values.load_full(),
            spec: Arc::clone(spec.shown()),
        }),
        None => Err(ValvesError::NoValves(id.into())),
    }
}

fn text(values: &Map<String, Value>) -> String {
    // Maps with text keys always have a JSON form.
    serde_json::to_string(values).unwrap_or_else(|_| "{}".into())
}
