//! What `weir invoke` says of plugins that are stages. It calls none: a stage works in a run, and `weir run` is one, with real files, retries and rejected records.

use engine::Engine;
use model::plugin::Role;

/// Where a plugin is no pipe but a stage: how it is put to work.
pub(super) fn said(engine: &Engine, id: &str) -> Option<String> {
    let about = engine.plugin(id)?.about?;
    let has = |role| about.roles.contains(&role);
    if has(Role::Pipe) || has(Role::Manifold) {
        return None;
    }
    let (role, spec) = if has(Role::Transform) {
        let own = format!("{{type: plugin, plugin: {id}}}");
        let spec = [FROM_FILE, "transforms: [", &own, "]\n", TO_CONSOLE].concat();
        ("transform", spec)
    } else if has(Role::Source) {
        let own = format!("source: {{type: plugin, plugin: {id}}}\n");
        ("source", [&own, TO_CONSOLE].concat())
    } else if has(Role::Sink) {
        let own = format!("sink: {{type: plugin, plugin: {id}}}\n");
        ("sink", [FROM_FILE, &own].concat())
    } else {
        return None;
    };
    Some(format!(
        "{id} is a {role} of data pipelines, and works in a run: `weir run try.yaml --plugin {id}.wasm` with the spec below, its options under `config`; \
         `weir test` calls it with records of your own\n{}",
        spec.trim_end()
    ))
}

const FROM_FILE: &str = "source: {type: file, path: in.ndjson}\n";
const TO_CONSOLE: &str = "sink: {type: console, format: ndjson}\n";
