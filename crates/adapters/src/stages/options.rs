//! The options of native stages: read from JSON text, and described as JSON Schema.

use model::error::Fault;
use model::stage::Misfit;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The schema of these options. Nothing in it refers to another place unless a type contains itself.
pub(crate) fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// What is wrong with options as they are written: that they are none of these, or what `wrong` finds in them.
pub(crate) fn check<T: DeserializeOwned>(
    options: &Value,
    wrong: impl FnOnce(T) -> Vec<Misfit>,
) -> Vec<Misfit> {
    match T::deserialize(options) {
        Ok(options) => wrong(options),
        Err(error) => vec![Misfit::new("", error.to_string())],
    }
}

/// Reads options when a stage is opened.
///
/// # Errors
/// [`Fault::Invalid`] with a sentence.
pub(crate) fn read<T: DeserializeOwned>(config: &str) -> Result<T, Fault> {
    serde_json::from_str(config).map_err(|error| Fault::Invalid(format!("its options: {error}")))
}

/// All misfits as one fault, for a stage that is opened with options that do not fit.
pub(crate) fn misfits(misfits: Vec<Misfit>) -> Fault {
    let told: Vec<_> = misfits
        .into_iter()
        .map(|misfit| format!("{}: {}", misfit.pointer, misfit.message))
        .collect();
    Fault::Invalid(format!("its options: {}", told.join("; ")))
}
