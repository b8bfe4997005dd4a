//! JSON Schema, checked in sentences for people: what is wrong, what was given, what is allowed, the nearest name. Which schema is for what is decided elsewhere.

use std::collections::BTreeSet;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{PatternOptions, ValidationError, Validator};
use model::stage::is_open;
use serde_json::Value;

use super::problems::Finding;
use crate::nearest::{instead, quoted};
use crate::templates::pointer;

/// A schema that can be checked with.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    schema: &'a Value,
    validator: Validator,
    /// What the whole is called in sentences.
    name: String,
    /// Keys that the whole may have beside those of the schema, for suggestions.
    also: &'a [&'a str],
}

impl<'a> Checker<'a> {
    /// Compiles a schema. Nothing is fetched, and patterns take time in proportion to what they are matched with.
    ///
    /// # Errors
    /// Why it is no JSON Schema.
    pub(crate) fn new(schema: &'a Value) -> Result<Self, String> {
        let options = jsonschema::draft202012::options()
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex());
        let validator = options.build(schema).map_err(|e| {
            let at = e.instance_path().to_string();
            let message = e.masked_with("this").to_string();
            if at.is_empty() {
                message
            } else {
                format!("{at}: {message}")
            }
        })?;
        Ok(Self {
            schema,
            validator,
            name: "the whole".into(),
            also: &[],
        })
    }

    /// The same, of options beside which there are other keys.
    pub(crate) fn beside_keys(mut self, also: &'a [&'a str]) -> Self {
        self.also = also;
        self
    }

    /// All that is wrong with a value.
    pub(crate) fn check(&self, value: &Value) -> Vec<Finding> {
        let errors = self.validator.iter_errors(value).collect();
        self.findings(errors, Open::No)
    }

    /// The same, with a name for the whole.
    pub(crate) fn check_named(mut self, value: &Value, name: &str) -> Vec<Finding> {
        self.name = format!("`{name}`");
        self.check(value)
    }

    /// All that is wrong, but a string with a template or a reference in it may become anything.
    pub(crate) fn check_open(&self, value: &Value) -> Vec<Finding> {
        let errors = self.validator.iter_errors(value).collect();
        self.findings(errors, Open::Yes)
    }

    fn findings(&self, errors: Vec<ValidationError<'_>>, open: Open) -> Vec<Finding> {
        let all = errors.into_iter().flat_map(|e| self.of(&e, open));
        let mut findings: Vec<Finding> = Vec::new();
        for finding in all {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        findings
    }

    fn of(&self, error: &ValidationError<'_>, open: Open) -> Vec<Finding> {
        let at = error.instance_path().to_string();
        let value = error.instance();
        if open.excuses(error) {
            return Vec::new();
        }
        match error.kind() {
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.branches(&at, value, context, open)
            }
            Kind::AdditionalProperties { unexpected }
            | Kind::UnevaluatedProperties { unexpected } => {
                let mut names = self.siblings(error, "properties");
                if at.is_empty() {
                    names.extend(self.also.iter().map(|name| (*name).to_owned()));
                }
                unknown(&at, unexpected, &names)
            }
            Kind::PropertyNames { error } => {
                let said = quoted(error.instance().as_str().unwrap_or_default());
                vec![Finding::key(
                    at,
                    format!("the key {said} is not allowed: {}", self.sentence(error)),
                )]
            }
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                vec![Finding::key(at, format!("`{name}` is missing"))]
            }
            _ => {
                let said = self.sentence(error);
                vec![Finding::value(
                    at.clone(),
                    format!("{}{said}", self.subject(&at)),
                )]
            }
        }
    }

    /// None of several schemas fits: says what is wrong by the one that was probably meant, or what all of them want.
    fn branches(
        &self,
        at: &str,
        value: &Value,
        context: &[Vec<ValidationError<'static>>],
        open: Open,
    ) -> Vec<Finding> {
        let remaining =
            |errors: &[ValidationError<'_>]| errors.iter().filter(|e| !open.excuses(e)).count();
        if context.iter().any(|errors| remaining(errors) == 0) {
            return Vec::new();
        }
        // Those that expect another type, or another constant (the whole, or a key that tells kinds apart), were not meant.
        let meant: Vec<_> = context
            .iter()
            .filter(|e| !e.iter().any(|e| tells_apart(e, at)))
            .collect();
        let fewest = meant.iter().map(|errors| remaining(errors)).min();
        let best: Vec<_> = meant
            .iter()
            .filter(|e| Some(remaining(e)) == fewest)
            .collect();
        match best.as_slice() {
            [] => {}
            [one] => return one.iter().flat_map(|e| self.of(e, open)).collect(),
            [first, ..] => {
                let findings = self.unknown_in_all(at, &best);
                return if findings.is_empty() {
                    first.iter().flat_map(|e| self.of(e, open)).collect()
                } else {
                    findings
                };
            }
        }
        // A key that tells kinds apart says more than the type of the whole.
        let telling = context.iter().flatten().filter(|e| tells_apart(e, at));
        let deep = telling.clone().find(|e| e.instance_path().as_str() != at);
        let place = deep.map_or(at.to_owned(), |e| e.instance_path().to_string());
        let given = deep.map_or(value, |e| e.instance());
        let allowed: BTreeSet<String> = context.iter().flat_map(|e| wanted_by(e, &place)).collect();
        let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
        let said = is_not(given, &allowed, self.example(context));
        vec![Finding::value(
            place.clone(),
            format!("{}{said}", self.subject(&place)),
        )]
    }

    /// Keys that none of these branches knows, with the names of all of them.
    fn unknown_in_all(
        &self,
        at: &str,
        branches: &[&&Vec<ValidationError<'static>>],
    ) -> Vec<Finding> {
        let mut names = Vec::new();
        let mut keys: Option<Vec<String>> = None;
        for error in branches.iter().flat_map(|b| b.iter()) {
            if let Kind::AdditionalProperties { unexpected } = error.kind()
                && error.instance_path().as_str() == at
            {
                names.extend(self.siblings(error, "properties"));
                let known = keys.get_or_insert_with(|| unexpected.clone());
                known.retain(|key| unexpected.contains(key));
            }
        }
        unknown(at, &keys.unwrap_or_default(), &names)
    }

    /// The names in a keyword beside the one that failed.
    fn siblings(&self, error: &ValidationError<'_>, keyword: &str) -> Vec<String> {
        let members = self.beside(error, keyword).and_then(Value::as_object);
        members.map_or_else(Vec::new, |m| m.keys().cloned().collect())
    }

    fn beside(&self, error: &ValidationError<'_>, keyword: &str) -> Option<&Value> {
        let path = error.schema_path().as_str();
        let (parent, _) = path.rsplit_once('/')?;
        self.schema.pointer(parent)?.get(keyword)
    }

    fn example(&self, context: &[Vec<ValidationError<'static>>]) -> Option<&Value> {
        let mut errors = context.iter().flatten();
        errors.find_map(|e| self.beside(e, "examples")?.get(0))
    }

    /// What is wrong, without what it is about.
    fn sentence(&self, error: &ValidationError<'_>) -> String {
        let given = error.instance();
        let shown = shown(given);
        match error.kind() {
            Kind::Type { .. } | Kind::Constant { .. } | Kind::Enum { .. } => {
                let wanted = wanted(error);
                let allowed: Vec<_> = wanted.iter().map(String::as_str).collect();
                let example = self.beside(error, "examples").and_then(|e| e.get(0));
                is_not(given, &allowed, example)
            }
            Kind::Minimum { limit } => format!("is {shown}; at least {limit} is allowed"),
            Kind::Maximum { limit } => format!("is {shown}; at most {limit} is allowed"),
            Kind::ExclusiveMinimum { limit } => format!("is {shown}; more than {limit} is needed"),
            Kind::ExclusiveMaximum { limit } => format!("is {shown}; less than {limit} is needed"),
            Kind::MultipleOf { multiple_of } => {
                format!("is {shown}, which is no multiple of {multiple_of}")
            }
            Kind::MinLength { limit: 1 }
            | Kind::MinItems { limit: 1 }
            | Kind::MinProperties { limit: 1 } => "is empty".into(),
            Kind::MinLength { limit } => {
                format!("is {shown}; at least {limit} characters are needed")
            }
            Kind::MaxLength { limit } => {
                format!("is {shown}; at most {limit} characters are allowed")
            }
            Kind::MinItems { limit } => format!("has too few entries; at least {limit} are needed"),
            Kind::MaxItems { limit } => {
                format!("has too many entries; at most {limit} are allowed")
            }
            Kind::MinProperties { limit } => {
                format!("has too few keys; at least {limit} are needed")
            }
            Kind::MaxProperties { limit } => {
                format!("has too many keys; at most {limit} are allowed")
            }
            Kind::UniqueItems => "has an entry twice".into(),
            Kind::Pattern { pattern } => {
                format!("is {shown}, which does not match the pattern {pattern}")
            }
            Kind::Format { format } => format!("is {shown}, which is no {format}"),
            Kind::OneOfMultipleValid { .. } => "fits more than one of the forms it may have".into(),
            Kind::FalseSchema => "is not allowed here".into(),
            _ => error.masked_with("it").to_string(),
        }
    }

    /// What a sentence is about: the last key, and for an entry of a list the list.
    fn subject(&self, at: &str) -> String {
        let unescape = |part: &str| part.replace("~1", "/").replace("~0", "~");
        let mut parts = at.rsplit('/');
        let last = parts.next().unwrap_or_default();
        match (last.parse::<usize>(), parts.next()) {
            _ if last.is_empty() => format!("{} ", self.name),
            (Ok(index), Some(list)) => {
                let entry = index.saturating_add(1);
                if list.is_empty() {
                    format!("entry {entry} of {} ", self.name)
                } else {
                    format!("entry {entry} of `{}` ", unescape(list))
                }
            }
            _ => format!("`{}` ", unescape(last)),
        }
    }
}

/// May strings with templates stand for values of other types?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Yes,
    No,
}

impl Open {
    fn excuses(self, error: &ValidationError<'_>) -> bool {
        let open = self == Self::Yes && error.instance().as_str().is_some_and(is_open);
        open && !matches!(error.kind(), Kind::FalseSchema)
    }
}

/// Does this error say that another of several forms was meant?
fn tells_apart(error: &ValidationError<'_>, at: &str) -> bool {
    let place = error.instance_path().as_str();
    match error.kind() {
        Kind::Type { .. } => place == at,
        Kind::Constant { .. } | Kind::Enum { .. } => {
            let key = place.strip_prefix(at).unwrap_or_default();
            place == at
                || (key.rfind('/') == Some(0) && matches!(error.kind(), Kind::Constant { .. }))
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            place == at && context.iter().all(|e| e.iter().any(|e| tells_apart(e, at)))
        }
        _ => false,
    }
}

fn unknown(at: &str, keys: &[String], names: &[String]) -> Vec<Finding> {
    let known = names.iter().map(String::as_str);
    keys.iter()
        .map(|key| {
            let instead = instead(key, known.clone());
            Finding::key(
                pointer(at, key),
                format!("unknown key `{}`{instead}", key.escape_debug()),
            )
        })
        .collect()
}

/// What a type, an enumeration or a constant asks for.
fn wanted(error: &ValidationError<'_>) -> Vec<String> {
    match error.kind() {
        Kind::Type {
            kind: TypeKind::Single(one),
        } => vec![type_name(&one.to_string()).into()],
        Kind::Type {
            kind: TypeKind::Multiple(types),
        } => types
            .iter()
            .map(|t| type_name(&t.to_string()).to_owned())
            .collect(),
        Kind::Constant { expected_value } => vec![plain(expected_value)],
        Kind::Enum { options } => {
            let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
            options.iter().filter(|o| !o.is_null()).map(plain).collect()
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            let place = error.instance_path().as_str();
            context.iter().flat_map(|e| wanted_by(e, place)).collect()
        }
        _ => Vec::new(),
    }
}

/// What one of several forms asks for at a place: its constants, or else its type.
fn wanted_by(errors: &[ValidationError<'_>], place: &str) -> Vec<String> {
    let here = || {
        errors
            .iter()
            .filter(|e| e.instance_path().as_str() == place)
    };
    let constants = here().filter(|e| !matches!(e.kind(), Kind::Type { .. }));
    let constants: Vec<_> = constants.flat_map(wanted).collect();
    if constants.is_empty() {
        here().flat_map(wanted).collect()
    } else {
        constants
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn type_name(name: &str) -> &'static str {
    match name {
        "array" => "a list",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "null" => "nothing",
        "number" => "a number",
        "object" => "a map",
        _ => "a text",
    }
}

fn is_not(given: &Value, allowed: &[&str], example: Option<&Value>) -> String {
    let word = |name: &&&str| !name.contains(' ');
    let near = given
        .as_str()
        .and_then(|text| crate::nearest::nearest(text, allowed.iter().filter(word).copied()));
    // Nothing is what a value is when its key stands alone; to offer it helps nobody.
    let offered: Vec<_> = allowed
        .iter()
        .copied()
        .filter(|a| *a != "nothing" || allowed.len() == 1)
        .collect();
    let mut said = match offered.as_slice() {
        [one] => format!("is {}; {one} is allowed", shown(given)),
        [head @ .., last] => format!(
            "is {}; allowed are {} and {last}",
            shown(given),
            head.join(", ")
        ),
        [] => format!("is {}, which is not allowed", shown(given)),
    };
    if let Some(near) = near {
        said.push_str(&format!("; did you mean `{near}`?"));
    } else if let Some(example) = example {
        said.push_str(&format!(", such as {}", plain(example)));
    }
    said
}

/// A value in an error.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "a map".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["type"],
            "additionalProperties": false,
            "properties": {
                "type": {"enum": ["file", "http"]},
                "size": {"type": "integer", "minimum": 1},
                "wait": {"type": "string", "examples": ["30s"]},
                "when": {"anyOf": [{"type": "string", "enum": ["now", "never"]}, {"$ref": "#/$defs/when"}]},
                "auth": {"oneOf": [
                    {"type": "object", "properties": {"type": {"const": "bearer"}, "token": {"type": "string"}}, "required": ["type", "token"], "additionalProperties": false},
                    {"type": "object", "properties": {"type": {"const": "basic"}, "user": {"type": "string"}}, "required": ["type", "user"], "additionalProperties": false},
                ]},
                "pages": {"oneOf": [
                    {"type": "object", "properties": {"cursor": {"type": "object"}}, "required": ["cursor"], "additionalProperties": false},
                    {"type": "object", "properties": {"link": {"type": "object"}}, "required": ["link"], "additionalProperties": false},
                ]},
                "mode": {"oneOf": [{"const": "insert", "description": "x"}, {"const": "upsert"}]},
                "list": {"type": ["array", "null"], "items": {"type": "string"}, "minItems": 1},
            },
            "$defs": {"when": {"type": "object", "additionalProperties": false, "properties": {"every": {"type": "string"}}}},
        })
    }

    fn check(value: &Value, at: &str, words: &str) {
        let schema = schema();
        let findings = Checker::new(&schema).unwrap().check(value);
        let [finding] = findings.as_slice() else {
            panic!("{value}: {findings:?}");
        };
        assert_eq!(finding.pointer, at, "{finding:?}");
        assert_eq!(finding.message, words, "{value}");
    }

    #[test]
    fn errors_are_sentences() {
        check(
            &json!({"type": "fiel"}),
            "/type",
            "`type` is \"fiel\"; allowed are file and http; did you mean `file`?",
        );
        check(&json!({"size": 1}), "", "`type` is missing");
        let with = |name: &str, value: Value| json!({"type": "file", name: value});
        check(
            &with("siez", json!(1)),
            "/siez",
            "unknown key `siez`; did you mean \"size\"?",
        );
        check(
            &with("size", json!("x")),
            "/size",
            "`size` is \"x\"; a whole number is allowed",
        );
        check(
            &with("size", json!(0)),
            "/size",
            "`size` is 0; at least 1 is allowed",
        );
        check(
            &with("wait", json!(30)),
            "/wait",
            "`wait` is 30; a text is allowed, such as 30s",
        );
        check(&with("list", json!([])), "/list", "`list` is empty");
        check(
            &with("list", json!(["a", 5])),
            "/list/1",
            "entry 2 of `list` is 5; a text is allowed",
        );
        check(
            &with("list", json!("a")),
            "/list",
            "`list` is \"a\"; a list is allowed",
        );
    }

    #[test]
    fn of_several_forms_the_meant_one_is_talked_about() {
        let with = |name: &str, value: Value| json!({"type": "file", name: value});
        check(
            &with("when", json!("nwo")),
            "/when",
            "`when` is \"nwo\"; allowed are a map, never and now; did you mean `now`?",
        );
        check(
            &with("when", json!({"evry": "x"})),
            "/when/evry",
            "unknown key `evry`; did you mean \"every\"?",
        );
        check(
            &with("when", json!(5)),
            "/when",
            "`when` is 5; allowed are a map, never and now",
        );
        check(
            &with("auth", json!({"type": "baerer", "token": "x"})),
            "/auth/type",
            "`type` is \"baerer\"; allowed are basic and bearer; did you mean `bearer`?",
        );
        check(
            &with("auth", json!({"type": "bearer"})),
            "/auth",
            "`token` is missing",
        );
        check(
            &with("auth", json!({"type": "basic", "user": "u", "usr": "x"})),
            "/auth/usr",
            "unknown key `usr`; did you mean \"user\"?",
        );
        check(
            &with("auth", json!("x")),
            "/auth",
            "`auth` is \"x\"; a map is allowed",
        );
        check(
            &with("pages", json!({"curser": {}})),
            "/pages/curser",
            "unknown key `curser`; did you mean \"cursor\"?",
        );
        check(
            &with("pages", json!({"cursor": 1})),
            "/pages/cursor",
            "`cursor` is 1; a map is allowed",
        );
        check(
            &with("mode", json!("upser")),
            "/mode",
            "`mode` is \"upser\"; allowed are insert and upsert; did you mean `upsert`?",
        );
    }

    #[test]
    fn templates_may_become_anything() {
        let schema = schema();
        let checker = Checker::new(&schema).unwrap();
        let value = json!({
            "type": "file", "size": "{{params.n}}", "when": "${env:X}", "mode": "{{params.m}}", "auth": "{{params.a}}",
            "list": "{{params.list}}",
        });
        assert_eq!(checker.check_open(&value), []);
        assert_eq!(checker.check(&value).len(), 5);
        let wrong = json!({"type": "file", "sizes": "{{params.n}}"});
        assert_eq!(checker.check_open(&wrong).len(), 1);
    }
}
