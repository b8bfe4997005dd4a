//! Makes the hostile components that no compiler would make: from the texts in `hostile/wat`, and from scratch. Each is written to the build
//! script's output folder as `<name>.wasm`. Runs on the machine that builds, not in the sandbox.

mod generated;
mod plugin;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let folder = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    for watched in ["build", "../wat", "../../../wit/v0.1"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wat");
    assemble(&texts, &folder)?;
    assemble(&texts.join("templates"), &folder.join("templates"))?;
    for (name, bytes) in generated::all()? {
        write(&folder, name, &bytes)?;
    }
    Ok(())
}

/// Makes a component of each text in a folder.
fn assemble(texts: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(texts).with_context(|| format!("cannot read {}", texts.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wat") {
            let (name, component) =
                plugin::from_text(&path).with_context(|| format!("in {}", path.display()))?;
            write(folder, &name, &component)?;
        }
    }
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name).with_extension("wasm");
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
