//! `filter`: lets records through for which a condition holds.

use model::BoxFuture;
use model::data::Transformer;
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, TransformKind, is_open};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::condition::Condition;
use super::each::{Became, Each, transformer};
use crate::stages::options;
use crate::stages::record::Slots;

/// The kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter;

/// Options of `filter`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The condition, a CEL expression over the fields of a record: `status < 400 && event != "debug"`. `record` is the whole record. A record for which it is true goes on, one for
    /// which it is false is left out, and one for which it has no answer (a field is missing, or is of another type) is rejected. At most 4096 bytes.
    #[serde(rename = "where")]
    condition: String,
}

impl Kind for Filter {
    fn described(&self) -> Described {
        Described {
            name: "filter",
            summary: "Lets records through for which a condition holds.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, given: &Value) -> Vec<Misfit> {
        let condition = given.get("where").and_then(Value::as_str).unwrap_or("true");
        if is_open(condition) {
            return Vec::new();
        }
        let compiled = Condition::compile(condition);
        compiled
            .err()
            .map(|message| Misfit::new("/where", message))
            .into_iter()
            .collect()
    }
}

impl TransformKind for Filter {
    fn parses(&self, _: &Value) -> bool {
        true
    }

    fn open(
        &self,
        config: String,
        _: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Transformer>, Fault>> {
        Box::pin(async move {
            let options: Options = options::read(&config)?;
            let condition = Condition::compile(&options.condition)
                .map_err(|error| Fault::Invalid(format!("/where: {error}")))?;
            let slots = condition.slots();
            Ok(transformer(Filtering { condition, slots }))
        })
    }
}

#[derive(Debug)]
struct Filtering {
    condition: Condition,
    slots: Slots,
}

impl Each for Filtering {
    const WRITES: bool = false;

    #[inline]
    fn record(&mut self, line: &[u8], _: &mut Vec<u8>) -> Result<Became, Fault> {
        Ok(match self.condition.holds(line, &mut self.slots) {
            Ok(true) => Became::Same,
            Ok(false) => Became::LeftOut,
            Err(reason) => Became::Rejected(reason),
        })
    }
}
