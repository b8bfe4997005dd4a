//! `weir test`: builds a project and runs the cases in `tests/*.toml` against its component, each in a kit of its own.

mod run;
mod written;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::author::build;
use crate::{Failure, say};
use written::CaseFile;

/// The options of `test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// A project's folder, which is built first, or a component
    #[arg(value_name = "DIR|FILE.wasm", default_value = ".")]
    target: PathBuf,
    /// Files of cases [default: tests/*.toml of the project]
    #[arg(long, value_name = "FILE")]
    cases: Vec<PathBuf>,
}

/// Runs all cases; fails at the end if one did.
pub(crate) fn run(arguments: &TestArgs) -> Result<(), Failure> {
    let is_component = arguments.target.extension().is_some_and(|e| e == "wasm");
    let component = if is_component {
        arguments.target.clone()
    } else {
        build::build(&arguments.target)?.component
    };
    let files = if arguments.cases.is_empty() {
        find(&arguments.target, is_component)?
    } else {
        arguments.cases.clone()
    };
    let (files, wrong): (Vec<_>, Vec<_>) = files
        .into_iter()
        .map(|path| CaseFile::read(&path))
        .partition(Result::is_ok);
    let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
    if !wrong.is_empty() {
        return Err(Failure::Data(wrong.join("\n")));
    }
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for file in files.into_iter().flatten() {
        say(&file.path.display().to_string());
        for case in &file.cases {
            match run::run(&component, &file, case) {
                Ok(line) => {
                    passed += 1;
                    say(&format!("  ok      {line}"));
                }
                Err(text) => {
                    failed += 1;
                    say(&format!("  FAILED  {text}"));
                }
            }
        }
    }
    if failed > 0 {
        return Err(Failure::Other(anyhow!(
            "{failed} of {} cases failed",
            passed + failed
        )));
    }
    say(&format!("all {passed} cases passed"));
    Ok(())
}

/// The files of cases of a project: in `tests` in its folder; for a component beside it, or beside its folder `dist`.
fn find(target: &Path, is_component: bool) -> Result<Vec<PathBuf>, Failure> {
    let mut folders = vec![target.to_owned()];
    if is_component {
        let above = target.ancestors().skip(1).take(2);
        folders = above.map(Path::to_owned).collect();
    }
    for folder in folders.iter().map(|f| f.join("tests")) {
        if !folder.is_dir() {
            continue;
        }
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| folder.display().to_string())?.path();
            if path.extension().is_some_and(|e| e == "toml") {
                files.push(path);
            }
        }
        files.sort();
        if !files.is_empty() {
            return Ok(files);
        }
    }
    Err(Failure::Data(format!(
        "{}: no cases; write some into tests/*.toml of the project, or name files with --cases",
        target.display()
    )))
}
