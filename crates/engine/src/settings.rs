//! Which settings apply to a component: the file beside it, or else the host configuration's entry for its id. Reading files is the store's business.

use std::collections::BTreeSet;

use model::component::FileName;
use model::error::LoadError;
use model::grants::Capability;
use model::limits::{Limit, Limits};
use model::plugin::{About, Admission};
use model::settings::{PluginSettings, WrittenSettings};
use model::text::hex;

use crate::catalog::Digest;
use crate::options::Options;

/// What is known of a component's settings before its id is.
pub(crate) struct Settings {
    file: String,
    /// What the file beside it says; it takes the place of the entry in the host configuration as a whole.
    written: Option<WrittenSettings>,
}

impl Settings {
    /// Reads the settings beside a component.
    pub(crate) fn read(name: &FileName, text: Option<&str>) -> Result<Self, LoadError> {
        let file = name.settings_file();
        let written = text
            .map(toml::from_str)
            .transpose()
            .map_err(|e| LoadError::Settings(format!("{file}: {e}")))?;
        Ok(Self { file, written })
    }

    /// What the component may be before it says who it is: the most that any settings which may turn out to be its own allow.
    ///
    /// # Errors
    /// Settings beside the component that are wrong, or that are for one with another `digest`.
    pub(crate) fn admission(
        &self,
        digest: &Digest,
        options: &Options,
    ) -> Result<Admission, LoadError> {
        let mut limits = options.defaults.clone();
        let mut grantable = BTreeSet::new();
        let applicable: Vec<PluginSettings> = match &self.written {
            Some(written) => vec![self.checked(written, &self.file, options)?],
            // An entry that is wrong fails the plugin it belongs to, and no other.
            None => options
                .plugins
                .values()
                .filter_map(|w| w.check(&options.defaults, &options.ceilings).ok())
                .collect(),
        };
        if let (Some(_), Some(only)) = (&self.written, applicable.first()) {
            covers(only, digest, &self.file)?;
            limits = only.limits.clone();
        }
        for settings in &applicable {
            raise(&mut limits, &settings.limits, options);
            grantable.extend(
                Capability::ALL
                    .into_iter()
                    .filter(|c| settings.grants.links(*c)),
            );
        }
        Ok(Admission {
            limits,
            grantable,
            settings_file: self.file.clone(),
        })
    }

    /// The settings in force, now that the id is known.
    ///
    /// # Errors
    /// Settings that are wrong, or that are for a component with another `digest`; a component that is larger than they allow.
    pub(crate) fn check(
        &self,
        about: &About,
        digest: &Digest,
        options: &Options,
    ) -> Result<PluginSettings, LoadError> {
        let written = match &self.written {
            Some(written) => Some(written),
            None => options.plugins.get(about.manifest.id.as_str()),
        };
        let settings = match written {
            Some(written) => self.checked(written, &self.source(about), options)?,
            None => PluginSettings {
                limits: options.defaults.clone(),
                ..PluginSettings::default()
            },
        };
        covers(&settings, digest, &self.source(about))?;
        let (size, most) = (
            about.size as u64,
            settings.limits.get(Limit::ComponentBytes),
        );
        if size > most {
            return Err(LoadError::TooBig {
                what: "the component's size in bytes",
                found: size,
                limit: Limit::ComponentBytes,
                value: most,
            });
        }
        Ok(settings)
    }

    /// Where the settings in force are written, for errors.
    pub(crate) fn source(&self, about: &About) -> String {
        match self.written {
            Some(_) => self.file.clone(),
            None => format!(
                "[plugins.{:?}] of the host configuration",
                about.manifest.id.as_str()
            ),
        }
    }

    fn checked(
        &self,
        written: &WrittenSettings,
        place: &str,
        options: &Options,
    ) -> Result<PluginSettings, LoadError> {
        written
            .check(&options.defaults, &options.ceilings)
            .map_err(|wrong| LoadError::Settings(format!("{place}: {}", wrong.join("; "))))
    }
}

fn covers(settings: &PluginSettings, digest: &Digest, place: &str) -> Result<(), LoadError> {
    settings
        .covers(&hex(digest))
        .map_err(|wrong| LoadError::Settings(format!("{place}: {wrong}")))
}

/// Raises every limit to another's value where that is higher.
fn raise(limits: &mut Limits, other: &Limits, options: &Options) {
    for limit in Limit::ALL {
        if other.get(*limit) > limits.get(*limit) {
            // Checked settings are within the ceilings, so this cannot fail; if it did, the lower limit stays.
            if let Err(error) = limits.set(limit.name(), other.get(*limit), &options.ceilings) {
                tracing::debug!(%error, "a limit stays as it is");
            }
        }
    }
}
