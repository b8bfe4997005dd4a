//! What `weir check` says of a file: for people, and as JSON.

use std::fmt;
use std::path::Path;

use engine::spec::Problem;
use engine::{PluginState, PluginStatus};
use model::id::PipelineId;
use model::limits::Limit;
use model::manifest::Manifest;
use model::plugin::About;
use model::settings::PluginSettings;
use serde::Serialize;

use super::asked;

/// What is known of one file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    file: String,
    /// Why a host would refuse it; nothing if it would not.
    pub(super) refused: Vec<Refusal>,
    /// Of a host configuration: what it comes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<String>,
    /// Of a pipeline spec: which pipeline it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<String>,
    /// Of a pipeline spec: all that is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    plugin: Option<Plugin>,
}

/// One reason for a refusal.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    why: String,
    /// The line that would help, and where to write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

#[derive(Debug, Serialize)]
struct Plugin {
    manifest: Manifest,
    track: String,
    /// Bytes of the component.
    size: usize,
    digest: String,
    roles: Vec<&'static str>,
    imports: Vec<String>,
    asks: Vec<Ask>,
    valves: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Start>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Ask {
    capability: &'static str,
    granted: bool,
    /// Linked and denied.
    optional: bool,
}

/// What starting it took.
#[derive(Debug, Serialize)]
struct Start {
    fuel: u64,
    fuel_limit: u64,
    memory: u64,
    memory_limit: u64,
}

impl Report {
    /// A host configuration.
    pub(super) fn of_config(file: &Path, outcome: Result<String, String>) -> Self {
        let mut report = Self::empty(file);
        match outcome {
            Ok(text) => report.config = Some(text),
            Err(why) => return report.with_refusal(why),
        }
        report
    }

    /// A pipeline spec.
    pub(super) fn of_spec(file: &Path, outcome: Result<PipelineId, Vec<Problem>>) -> Self {
        let mut report = Self::empty(file);
        match outcome {
            Ok(id) => report.pipeline = Some(id.as_str().to_owned()),
            Err(problems) => report.problems = problems,
        }
        report
    }

    /// Would a host take it?
    pub(super) fn is_good(&self) -> bool {
        self.refused.is_empty() && self.problems.is_empty()
    }

    /// A component of which nothing is known but why.
    pub(super) fn refused(file: &Path, why: String) -> Self {
        Self::empty(file).with_refusal(why)
    }

    /// A component that said what it is. `settings`: the ones it would have, and where they are written.
    pub(super) fn new(
        file: &Path,
        about: &About,
        imports: &[String],
        settings: Option<(&PluginSettings, &String)>,
    ) -> Self {
        let mut report = Self::empty(file);
        let grants = settings.map(|(s, _)| s.grants.clone()).unwrap_or_default();
        let mut asks = Vec::new();
        for asked in asked::of(about, imports) {
            let granted = grants.cover(asked.capability, &about.manifest);
            let optional = !granted && grants.optional.contains(&asked.capability);
            if let (false, false, Some((_, place))) = (granted, optional, settings) {
                report.refused.push(Refusal {
                    why: format!(
                        "it asks for {}, which is not granted",
                        asked.capability.name()
                    ),
                    line: Some(format!("grants.{}", asked.line)),
                    place: Some(place.clone()),
                });
            }
            asks.push(Ask {
                capability: asked.capability.name(),
                granted,
                optional,
            });
        }
        report.plugin = Some(Plugin {
            manifest: about.manifest.clone(),
            track: about.track.clone(),
            size: about.size,
            digest: about.digest.to_string(),
            roles: about.roles.iter().map(|r| r.name()).collect(),
            imports: imports.to_vec(),
            asks,
            valves: about.valves_spec.is_some(),
            start: None,
            notes: about.notes.clone(),
        });
        report
    }

    /// And what became of it when it was loaded.
    pub(super) fn with_load(mut self, status: &PluginStatus) -> Self {
        let Some(plugin) = &mut self.plugin else {
            return self;
        };
        if let (Some(settings), PluginState::Started) = (&status.settings, status.state) {
            plugin.start = Some(Start {
                fuel: status.usage.fuel,
                fuel_limit: settings.limits.get(Limit::StartFuel),
                memory: status.usage.memory_high_water,
                memory_limit: settings.limits.get(Limit::MemoryBytes),
            });
        }
        match &status.reason {
            // Said already, with every line that is missing.
            Some(reason) if reason.code == "missing_grant" && !self.refused.is_empty() => {}
            // What it depends on is not here; in a plugins folder it may be.
            Some(reason) if reason.code == "dependency" => {
                plugin
                    .notes
                    .push(format!("not started here: {}", reason.message));
            }
            Some(reason) => return self.with_refusal(reason.message.clone()),
            None => {}
        }
        self
    }

    /// And a reason to refuse it.
    pub(super) fn with_refusal(mut self, why: String) -> Self {
        self.refused.push(Refusal {
            why,
            line: None,
            place: None,
        });
        self
    }

    fn empty(file: &Path) -> Self {
        Self {
            file: file.display().to_string(),
            refused: Vec::new(),
            config: None,
            pipeline: None,
            problems: Vec::new(),
            plugin: None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.problems.is_empty() {
            // A line each, as compilers have them: editors find the place.
            let lines = self
                .problems
                .iter()
                .map(|p| plain(&p.to_string()).replace('\n', " "));
            return write!(f, "{}", lines.collect::<Vec<_>>().join("\n"));
        }
        match self.refused.as_slice() {
            [] => write!(f, "{}: ok", self.file)?,
            // A single reason without more to say fits on the line.
            [only] if only.line.is_none() => write!(f, "{}: {}", self.file, plain(&only.why))?,
            reasons => {
                write!(f, "{}: it would be refused", self.file)?;
                for reason in reasons {
                    write!(f, "\n  refused: {}", plain(&reason.why))?;
                    if let (Some(line), Some(place)) = (&reason.line, &reason.place) {
                        write!(f, "; to grant it, write in {place}: {line}")?;
                    }
                }
            }
        }
        if let Some(config) = &self.config {
            write!(f, "\n  {config}")?;
        }
        if let Some(id) = &self.pipeline {
            write!(f, "\n  the pipeline {id}")?;
        }
        self.plugin.as_ref().map_or(Ok(()), |plugin| plugin.fmt(f))
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manifest = &self.manifest;
        write!(
            f,
            "\n  {} {} ({})",
            manifest.id,
            manifest.version,
            plain(&manifest.name).replace('\n', " ")
        )?;
        let kib = self.size.div_ceil(1024);
        write!(f, "\n  track {}, {kib} KiB", self.track)?;
        row(f, "roles", self.roles.iter())?;
        let asks = self.asks.iter().map(|a| match (a.granted, a.optional) {
            (true, _) => format!("{} (granted)", a.capability),
            (false, true) => format!("{} (optional, denied)", a.capability),
            (false, false) => format!("{} (not granted)", a.capability),
        });
        row(f, "asks for", asks)?;
        let dependencies = manifest.dependencies.iter().map(|d| {
            let optional = if d.optional { " (optional)" } else { "" };
            format!("{d}{optional}")
        });
        row(f, "depends on", dependencies)?;
        let hooks = manifest.hooks.iter().map(|h| {
            let later = h.point.core().is_some_and(|p| !p.spec().fires);
            let later = if later {
                ", not reached by this version"
            } else {
                ""
            };
            format!(
                "{} {} (priority {}{later})",
                h.mode.as_str(),
                h.point,
                h.priority
            )
        });
        row(f, "hooks", hooks)?;
        row(
            f,
            "defines points",
            manifest.points.iter().map(|p| &p.full_name),
        )?;
        row(f, "hears", manifest.topics.iter())?;
        row(f, "provides", manifest.provides.keys())?;
        if self.valves {
            write!(f, "\n  has valves")?;
        }
        if let Some(start) = &self.start {
            write!(
                f,
                "\n  start used {} of {} fuel and {} of {} bytes of memory",
                start.fuel, start.fuel_limit, start.memory, start.memory_limit
            )?;
        }
        self.notes
            .iter()
            .try_for_each(|note| write!(f, "\n  note: {}", plain(note)))
    }
}

/// A line with a list; none if there is nothing in it.
fn row<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    entries: impl Iterator<Item = T>,
) -> fmt::Result {
    let entries: Vec<_> = entries.map(|e| e.to_string()).collect();
    if entries.is_empty() {
        return Ok(());
    }
    write!(f, "\n  {title}: {}", entries.join(", "))
}

/// Text of a plugin nobody knows yet, without what would steer a terminal.
fn plain(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n';
    text.chars()
        .map(|c| if steers(c) { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let report = Report::refused(Path::new("a.wasm"), "init said \u{1b}[2J\rok\nagain".into());
        let shown = report.to_string();
        assert_eq!(shown, "a.wasm: init said \u{fffd}[2J\u{fffd}ok\nagain");
    }
}
