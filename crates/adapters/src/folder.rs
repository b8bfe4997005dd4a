//! The plugins folder: component files and the settings beside them. It does not watch; what a component holds is the engine's business.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use model::BoxFuture;
use model::component::{ComponentFile, FileName};
use model::ports::{ComponentStore, StoreError};

use crate::files;

/// Largest settings file, in bytes.
const MAX_SETTINGS: u64 = 1024 * 1024;
/// Component files are for everybody to read: they hold no secrets.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// The plugins folder. Only files directly in it count; links are not followed.
#[derive(Debug, Clone)]
pub struct FolderStore {
    folder: PathBuf,
    /// Files with unfit names that were there at the last look: each is warned about once, as long as it stays.
    warned: Arc<Mutex<BTreeSet<String>>>,
}

impl FolderStore {
    /// Opens the folder, making it if it is not there. Two servers must not share one: each clears temporary files at its start.
    ///
    /// # Errors
    /// [`StoreError`] with the path, when it cannot be made or read.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        files::prepare(folder, FOLDER_MODE).map_err(|e| {
            files::failed(
                format!("cannot use the plugins folder {}", folder.display()),
                e,
            )
        })?;
        Ok(Self {
            folder: folder.to_path_buf(),
            warned: Arc::default(),
        })
    }

    /// Runs file work on `name`; an error says what was tried.
    fn run<T: Send + 'static>(
        &self,
        verb: &'static str,
        name: String,
        work: impl FnOnce(&Path, &str) -> std::io::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let folder = self.folder.clone();
        files::blocking(move || {
            work(&folder, &name).map_err(|e| {
                files::failed(format!("cannot {verb} {}", folder.join(&name).display()), e)
            })
        })
    }
}

impl ComponentStore for FolderStore {
    fn list(&self) -> BoxFuture<'static, Result<Vec<FileName>, StoreError>> {
        let listing = self.run("list", String::new(), |folder, _| list(folder));
        let warned = Arc::clone(&self.warned);
        Box::pin(async move {
            let (names, unfit) = listing.await?;
            warn(&warned, unfit);
            Ok(names)
        })
    }

    fn read(
        &self,
        name: FileName,
        max_bytes: u64,
    ) -> BoxFuture<'static, Result<Option<ComponentFile>, StoreError>> {
        self.run("read", name.to_string(), move |folder, text| {
            let bytes = files::read(folder, text, max_bytes)?;
            Ok(bytes.map(|b| ComponentFile {
                name,
                bytes: Bytes::from(b),
            }))
        })
    }

    fn read_settings(
        &self,
        name: FileName,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        self.run("read", name.settings_file(), |folder, text| {
            files::read(folder, text, MAX_SETTINGS)?
                .map(|b| String::from_utf8(b).map_err(std::io::Error::other))
                .transpose()
        })
    }

    fn write(&self, file: ComponentFile) -> BoxFuture<'static, Result<(), StoreError>> {
        self.run("write", file.name.to_string(), move |folder, text| {
            files::write(folder, text, &file.bytes, FILE_MODE)
        })
    }

    fn remove(&self, name: FileName) -> BoxFuture<'static, Result<bool, StoreError>> {
        self.run("remove", name.to_string(), files::remove)
    }
}

/// The component files, and those that look like one but have a name that none may have.
fn list(folder: &Path) -> std::io::Result<(Vec<FileName>, BTreeSet<String>)> {
    let (mut names, mut unfit) = (Vec::new(), BTreeSet::new());
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        // What is no UTF-8 has characters in its place that no component's name may have.
        let fit = FileName::new(&text);
        let looks_fit = fit.is_ok() || looks_like_a_component(&text);
        if !looks_fit || entry.file_type()?.is_dir() {
            continue;
        }
        match fit {
            Ok(name) => names.push(name),
            Err(_) => {
                unfit.insert(text.into_owned());
            }
        }
    }
    names.sort();
    Ok((names, unfit))
}

/// Was it meant to be one? Hidden files were not.
fn looks_like_a_component(name: &str) -> bool {
    let name = name.to_lowercase();
    !name.starts_with('.') && (name.ends_with(".wasm") || name.ends_with(".wasm.py"))
}

fn warn(warned: &Mutex<BTreeSet<String>>, unfit: BTreeSet<String>) {
    // A set is whole at any time, so a poisoned one is still good.
    let mut warned = warned.lock().unwrap_or_else(PoisonError::into_inner);
    for name in unfit.difference(&warned) {
        if let Err(error) = FileName::new(name) {
            tracing::warn!(%error, "a file in the plugins folder is not loaded, because of its name");
        }
    }
    *warned = unfit;
}

#[cfg(test)]
#[path = "folder/tests.rs"]
mod tests;
