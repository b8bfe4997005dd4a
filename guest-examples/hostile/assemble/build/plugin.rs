//! From the text of a core module to a component that says it is a plugin.
//!
//! A text starts with `;; exports: ...` and maybe `;; imports: ...`: the roles and host interfaces it names. A line `;; include part` stands for
//! `wat/parts/part.wat`, where `{{id}}` is the text's file name. So each attack shows only what is wrong with it.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A good plugin with the role `pipe`, as a text: what attacks from scratch are added to.
pub const GOOD: &str = ";; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
)";

/// The file's name without its ending, and the component.
pub fn from_text(path: &Path) -> Result<(String, Vec<u8>)> {
    let name = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .context("the file's name is not UTF-8")?;
    let text = fs::read_to_string(path)?;
    Ok((name.to_owned(), encode(&text, &core(&text, name)?)?))
}

/// The core module of a text.
pub fn core(text: &str, id: &str) -> Result<Vec<u8>> {
    let mut whole = String::new();
    for line in text.lines() {
        match line.trim().strip_prefix(";; include ") {
            Some(part) => whole.push_str(&read_part(part, id)?),
            None => whole.push_str(line),
        }
        whole.push('\n');
    }
    Ok(wat::parse_str(whole)?)
}

/// The component around a core module, with the exports and imports that the text names.
pub fn encode(text: &str, core: &[u8]) -> Result<Vec<u8>> {
    let names = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap_or_default();
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut world = String::from("package weir:hostile; world attack {\n");
    for import in names(";; imports:") {
        world.push_str(&format!("import weir:host/{import}@0.1.0;\n"));
    }
    for export in names(";; exports:") {
        world.push_str(&format!("export weir:plugin/{export}@0.1.0;\n"));
    }
    world.push('}');

    let mut resolve = Resolve::default();
    resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../wit/v0.1"))?;
    let package = resolve.push_str("attack.wit", &world)?;
    let world = resolve.select_world(&[package], Some("attack"))?;
    let mut module = core.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .encode()
}

fn read_part(part: &str, id: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../wat/parts")
        .join(part)
        .with_extension("wat");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest_len =
        format!(r#"{{"id":"{id}","version":"1.0.0","description":"attacks the host"}}"#).len();
    Ok(text
        .replace("{{id}}", id)
        .replace("{{manifest_len}}", &manifest_len.to_string()))
}
