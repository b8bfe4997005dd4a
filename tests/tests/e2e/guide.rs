//! The guide on pipelines held against the program itself: each stage has a page, with a table of the options, words and defaults that the published schema has, and every
//! example is a spec. What examples do is run where the stages are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use e2e::guests::root;
use e2e::server::command;
use serde_json::Value;

/// Keys that every stage has, or every source. The page on specs has them.
const COMMON: [&str; 4] = ["type", "name", "on_reject", "incremental"];

/// What `weir schema` prints.
fn printed() -> String {
    let output = command().arg("schema").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn published() -> Value {
    serde_json::from_str(&printed()).unwrap()
}

fn guide() -> PathBuf {
    root().join("docs/pipeline-guide")
}

#[test]
fn the_schema_is_kept_with_the_guide() {
    let place = guide().join("pipeline.schema.json");
    let now = printed();
    if std::env::var_os("WEIR_BLESS").is_some() {
        fs::write(&place, &now).unwrap();
        return;
    }
    let kept = fs::read_to_string(&place).unwrap_or_default();
    assert!(
        kept == now,
        "docs/pipeline-guide/pipeline.schema.json is out of date; run this test with WEIR_BLESS=1"
    );
}

/// The kinds of a place, with their options.
fn kinds<'a>(schema: &'a Value, place: &str) -> BTreeMap<&'a str, &'a Value> {
    let defs = schema["$defs"].as_object().unwrap();
    let here = defs.iter().filter_map(|(name, def)| {
        let kind = name.strip_prefix(place)?.strip_prefix('_')?;
        (!kind.contains('.')).then_some((kind, def))
    });
    here.collect()
}

/// An option in a table: its type and default as the page says them.
#[derive(Debug)]
struct Row<'a> {
    name: &'a str,
    words: &'a str,
    default: &'a str,
}

/// The tables of options on a page, by what they are the options of: nothing for the stage itself.
fn tables(page: &str) -> BTreeMap<&str, Vec<Row<'_>>> {
    let mut tables = BTreeMap::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(head) = line.to_lowercase().strip_prefix("| option").map(str::len) else {
            continue;
        };
        let head = &line[line.len() - head..];
        let of = head
            .strip_prefix(" in `")
            .map_or("", |of| of.split('`').next().unwrap());
        let rows = lines.by_ref().skip(1).map_while(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let name = cells.next()?.strip_suffix('`');
            Some(Row {
                name: name.unwrap_or_else(|| panic!("{line}")),
                words: cells.next()?,
                default: cells.next().unwrap_or_else(|| panic!("no default: {line}")),
            })
        });
        let before = tables.insert(of, rows.collect());
        assert!(before.is_none(), "two tables of {of:?}");
    }
    tables
}

/// The schema of an option without what says that it may be left out, or be a template.
fn plain<'a>(schema: &'a Value, option: &'a Value) -> &'a Value {
    if let Some(reference) = option["$ref"].as_str() {
        let def = schema.pointer(reference.strip_prefix('#').unwrap());
        return plain(schema, def.unwrap());
    }
    match option["anyOf"].as_array() {
        Some(branches) if branches.len() == 2 => plain(schema, &branches[0]),
        _ => option,
    }
}

fn default<'a>(schema: &'a Value, option: &'a Value) -> &'a Value {
    match option.get("default") {
        Some(default) => default,
        None if option.get("anyOf").is_some() => &plain(schema, option)["default"],
        None => &Value::Null,
    }
}

/// The words that an option may be; none: it may be others.
fn words(plain: &Value) -> BTreeSet<&str> {
    let listed = plain["enum"].as_array().into_iter().flatten();
    let one_of = plain["oneOf"].as_array().into_iter().flatten();
    let said = one_of.map(|branch| branch.get("const").unwrap_or(&branch["enum"][0]));
    listed.chain(said).filter_map(Value::as_str).collect()
}

fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What a page's row says that is not so.
fn wrong(schema: &Value, of: &Value, row: &Row<'_>) -> Vec<String> {
    let option = &of["properties"][row.name];
    let required = of["required"].as_array().into_iter().flatten();
    let required = required.into_iter().any(|name| name == row.name);
    let mut wrong = Vec::new();
    let said = row.default;
    let default = default(schema, option);
    let first = said.split(' ').next().unwrap();
    let fits = match default {
        _ if required || said == "required" => required && said == "required",
        // What is done without it, in words.
        Value::Null => true,
        Value::String(text) if text.is_empty() => said == "nothing",
        Value::String(text) => first == format!("`{text}`"),
        Value::Bool(_) => first == format!("`{default}`"),
        Value::Number(_) => first.replace(',', "") == format!("{default}"),
        Value::Array(_) | Value::Object(_) if said.starts_with('`') => {
            said == format!("`{default}`")
        }
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    };
    if !fits {
        let default = if required {
            "required".into()
        } else {
            default.to_string()
        };
        wrong.push(format!(
            "`{}`: the page has the default {said:?}, the schema {default}",
            row.name
        ));
    }
    let plain = plain(schema, option);
    let mut there = words(plain);
    if plain["type"] == "boolean" {
        there = BTreeSet::from(["true", "false"]);
    }
    if !there.is_empty() && quoted(row.words) != there {
        let (name, words) = (row.name, row.words);
        wrong.push(format!(
            "`{name}`: the page has {words}, the schema {there:?}"
        ));
    }
    wrong
}

/// What is wrong with the tables of a page.
fn check_page(schema: &Value, of: &Value, path: &Path) -> Vec<String> {
    let page = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut wrong_here = Vec::new();
    let tables = tables(&page);
    assert!(
        tables.contains_key(""),
        "{}: no table of options",
        path.display()
    );
    for (inside, rows) in tables {
        let of = match inside {
            "" => of,
            inside => plain(schema, &of["properties"][inside]),
        };
        let there = of["properties"]
            .as_object()
            .unwrap_or_else(|| panic!("{inside:?} has no options"));
        let there: BTreeSet<&str> = there
            .keys()
            .map(String::as_str)
            .filter(|k| !inside.is_empty() || !COMMON.contains(k))
            .collect();
        let had: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
        wrong_here.extend(
            there
                .difference(&had)
                .map(|name| format!("`{name}` is not on the page")),
        );
        wrong_here.extend(
            had.difference(&there)
                .map(|name| format!("`{name}` is no option")),
        );
        let rows = rows.iter().filter(|row| there.contains(row.name));
        wrong_here.extend(rows.flat_map(|row| wrong(schema, of, row)));
    }
    let name = path.strip_prefix(guide()).unwrap().display().to_string();
    wrong_here
        .into_iter()
        .map(|what| format!("{name}: {what}"))
        .collect()
}

#[test]
fn each_stage_has_a_page_with_its_options_and_their_defaults() {
    let schema = published();
    let mut wrong = Vec::new();
    let mut count = 0;
    for place in ["source", "transform", "sink"] {
        let mut kinds = kinds(&schema, place);
        // One page for all three places.
        let plugin = kinds.remove("plugin").unwrap();
        if place == "transform" {
            wrong.extend(check_page(&schema, plugin, &guide().join("plugin.md")));
        }
        let folder = guide().join(format!("{place}s"));
        let pages = fs::read_dir(&folder).unwrap();
        let pages = pages.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pages: BTreeSet<String> = pages.collect();
        let wanted: BTreeSet<String> = kinds.keys().map(|kind| format!("{kind}.md")).collect();
        assert_eq!(pages, wanted, "the pages on {place}s");
        for (kind, options) in kinds {
            wrong.extend(check_page(
                &schema,
                options,
                &folder.join(format!("{kind}.md")),
            ));
            count += 1;
        }
    }
    assert!(count > 10, "{count} kinds");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The examples of the guide: the page and number of each, and its text.
fn examples() -> Vec<(String, String)> {
    let mut folders = vec![guide()];
    let mut examples = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let page = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(guide()).unwrap().display().to_string();
            let blocks = page.split("\n```yaml").skip(1).enumerate();
            examples.extend(blocks.map(|(number, block)| {
                let text = block.split_once('\n').unwrap().1;
                let text = text.split("```").next().unwrap();
                (
                    format!("{name}-{}", number + 1)
                        .to_lowercase()
                        .replace('/', "-"),
                    text.to_owned(),
                )
            }));
        }
    }
    examples
}

#[test]
fn every_example_is_a_spec() {
    let schema = jsonschema::draft202012::new(&published()).unwrap();
    let examples = examples();
    assert!(examples.len() > 20, "{} examples", examples.len());
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in &examples {
        let value: Value = serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let wrong = schema.iter_errors(&value).map(|e| e.to_string());
        assert_eq!(
            wrong.collect::<Vec<_>>(),
            Vec::<String>::new(),
            "{name}:\n{text}"
        );
        let file = format!("{name}.pipeline.yaml");
        fs::write(folder.path().join(&file), text).unwrap();
        // One by one: examples of different pages may have the same id.
        let check = command()
            .args(["check", &file])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stdout).into_owned()
            + &String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{said}\n{text}");
    }
}
