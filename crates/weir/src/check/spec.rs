//! Pipeline specs: read as a server would, with all that is wrong. Pipelines they name are looked for among the files that are checked with them, plugins in the folders
//! of a host configuration.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapters::clock::SystemClock;
use adapters::http::HyperEgress;
use adapters::stages::Console;
use anyhow::Context;
use engine::spec::{self, Alone, Known, Problem};
use model::id::{PipelineId, PluginId};
use model::pipeline::Pipeline;
use model::plugin::Role;
use model::ports::{Clock, Egress, Timer};
use model::stage::Natives;

use super::{Seen, host_config};
use crate::wiring;

/// Is this a spec, by its name?
pub(super) fn is_spec(file: &Path) -> bool {
    let extension = file.extension().and_then(|e| e.to_str());
    extension.is_some_and(|e| ["yaml", "yml", "json"].contains(&e))
}

/// The native stages there are. None of them is opened.
pub(crate) fn stages() -> anyhow::Result<Natives> {
    let egress: Arc<dyn Egress> = Arc::new(HyperEgress::new()?);
    let time = Arc::new(SystemClock::new());
    let (clock, timer): (Arc<dyn Clock>, Arc<dyn Timer>) = (Arc::<SystemClock>::clone(&time), time);
    wiring::native_stages(&egress, &clock, &timer, Console::in_run_log())
}

/// Plugins and their roles.
type Plugins = Vec<(PluginId, Vec<Role>)>;

/// Checks specs, which may name each other.
pub(super) struct Specs {
    natives: Natives,
    pipelines: BTreeMap<PipelineId, Arc<Pipeline>>,
    /// Whose plugins folders say which plugins there are; none: that of the current folder, as for a run.
    config: Option<PathBuf>,
    /// Components that are checked with them.
    components: Vec<PathBuf>,
    /// Looked for when a spec first names one; none: nobody says which there are.
    plugins: OnceCell<Option<Plugins>>,
}

impl Specs {
    pub(super) fn new(files: &[PathBuf], config: Option<&Path>) -> anyhow::Result<Self> {
        let natives = stages()?;
        let mut pipelines = BTreeMap::new();
        for file in files.iter().filter(|file| is_spec(file)) {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let name = file.display().to_string();
            if let Ok(pipeline) = spec::read(&text, &name, &natives, &Alone) {
                pipelines.insert(pipeline.id.clone(), Arc::new(pipeline));
            }
        }
        Ok(Self {
            natives,
            pipelines,
            config: config.map(Path::to_owned),
            components: files.iter().filter(|f| is_component(f)).cloned().collect(),
            plugins: OnceCell::new(),
        })
    }

    /// Which pipeline a spec is, or all that is wrong with it.
    pub(super) fn check(&self, file: &Path) -> Result<PipelineId, Vec<Problem>> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|e| {
            vec![Problem {
                file: name.clone(),
                line: 1,
                column: 1,
                pointer: String::new(),
                message: format!("cannot be read: {e}"),
            }]
        })?;
        let pipeline = spec::read(&text, &name, &self.natives, self)?;
        Ok(pipeline.id)
    }
}

impl Known for Specs {
    fn plugins(&self) -> Option<Vec<(PluginId, Vec<Role>)>> {
        let found = || plugins(self.config.as_deref(), &self.components);
        self.plugins.get_or_init(|| found().ok()?).clone()
    }

    fn pipelines(&self) -> Option<Vec<PipelineId>> {
        // Others may be on the server.
        None
    }

    fn pipeline(&self, id: &PipelineId) -> Option<Arc<Pipeline>> {
        self.pipelines.get(id).cloned()
    }
}

fn is_component(file: &Path) -> bool {
    file.extension().is_some_and(|e| e == "wasm")
}

/// The plugins in the folders of a configuration, and these components. One that says nothing of itself is left out: it is no stage. None: there are no such folders, nor
/// components.
fn plugins(config: Option<&Path>, components: &[PathBuf]) -> anyhow::Result<Option<Plugins>> {
    let host = host_config(config, None).map_err(anyhow::Error::msg)?;
    let mut files = components.to_vec();
    let mut known = !files.is_empty() || config.is_some();
    for folder in host.plugins.all() {
        let entries = match std::fs::read_dir(folder) {
            Err(e) if config.is_none() && e.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| folder.display().to_string())?,
        };
        known = true;
        for entry in entries {
            files.extend(Some(entry?.path()).filter(|path| is_component(path)));
        }
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let mut found = Vec::new();
    for file in files {
        let seen = runtime.block_on(Seen::of(&file, config));
        if let Ok(about) = seen.and_then(|seen| Ok(seen.about?)) {
            found.push((
                about.manifest.id.clone(),
                about.roles.iter().copied().collect(),
            ));
        }
    }
    Ok(known.then_some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_checked_together() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (name, text) in [
            (
                "good.pipeline.yaml",
                "source: {type: plugin, plugin: feed}\nsink: {type: console}\n",
            ),
            ("b.pipeline.yaml", "sequential: {pipelines: [good, c]}\n"),
            ("c.yml", "retry: {pipeline: b}\n"),
            (
                "bad.json",
                "{\"source\": {\"type\": \"plug\"},\n \"sink\": {\"type\": \"console\"}, \"x\": 1}\n",
            ),
            ("plain.txt", ""),
        ] {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            files.push(file);
        }
        assert!(is_spec(&files[2]) && !is_spec(&files[4]));
        let specs = Specs::new(&files, None).unwrap();
        let said = |i: usize| match specs.check(&files[i]) {
            Ok(id) => id.to_string(),
            Err(problems) => {
                let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
                lines
                    .join("\n")
                    .replace(&format!("{}/", folder.path().display()), "")
            }
        };
        assert_eq!(said(0), "good");
        assert_eq!(
            said(1),
            "b.pipeline.yaml:1:32: pipelines in a circle: b -> c -> b"
        );
        let bad = said(3);
        assert!(bad.starts_with("bad.json:1:21: there is no source \"plug\"; did you mean \"plugin\"?\nbad.json:2:31: unknown key `x`"), "{bad}");
        let missing = specs.check(&folder.path().join("no.yaml")).unwrap_err();
        assert!(missing[0].message.contains("cannot be read"), "{missing:?}");
    }
}
