//! The plugins folders: component files and the settings beside them. It does not watch; what a component holds is the engine's business.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
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

/// The plugins folders. Only files directly in them count; links are not followed.
///
/// A name belongs to the first folder that has it: its component, and its settings, come from there, and it is replaced and removed there. A file of
/// that name in a later folder is left alone. A new file goes to the first folder.
#[derive(Debug, Clone)]
pub struct FolderStore {
    folders: Arc<Folders>,
    /// Files that are not loaded, as they were at the last look: each is warned about once, as long as it stays.
    warned: Arc<Mutex<LeftOut>>,
}

/// Files that look like components and are not loaded, each with the file that has its name and is loaded instead; none: its name is unfit.
type LeftOut = BTreeMap<PathBuf, Option<PathBuf>>;

#[derive(Debug)]
struct Folders {
    first: PathBuf,
    others: Vec<PathBuf>,
}

impl FolderStore {
    /// Opens the folders. The first is made if it is not there, the others have to be. Two servers must not share one: each clears temporary files at
    /// its start.
    ///
    /// # Errors
    /// [`StoreError`] with the path, when one cannot be made or read, is not there, or is named twice.
    pub fn open(first: &Path, others: &[PathBuf]) -> Result<Self, StoreError> {
        let unusable = |folder: &Path| {
            let what = format!("cannot use the plugins folder {}", folder.display());
            |e: io::Error| files::failed(what, e)
        };
        files::prepare(first, FOLDER_MODE).map_err(unusable(first))?;
        let mut known = BTreeSet::from([first.canonicalize().map_err(unusable(first))?]);
        for folder in others {
            prepare_other(folder, &mut known).map_err(unusable(folder))?;
        }
        Ok(Self {
            folders: Arc::new(Folders {
                first: first.to_path_buf(),
                others: others.to_vec(),
            }),
            warned: Arc::default(),
        })
    }

    /// Runs file work on the file `name` in the folder that `component` belongs to; an error says what was tried.
    fn run<T: Send + 'static>(
        &self,
        verb: &'static str,
        component: FileName,
        name: String,
        work: impl FnOnce(&Path, &str) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let folders = Arc::clone(&self.folders);
        files::blocking(move || {
            let folder = folders.home(&component);
            work(folder, &name).map_err(|e| {
                files::failed(format!("cannot {verb} {}", folder.join(&name).display()), e)
            })
        })
    }
}

/// Prepares a folder that must be there, and be none of those known.
fn prepare_other(folder: &Path, known: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let place = folder.canonicalize().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            e.kind(),
            "it is not there; only the first folder is made by itself",
        ),
        _ => e,
    })?;
    files::prepare(&place, FOLDER_MODE)?;
    if known.insert(place) {
        Ok(())
    } else {
        Err(io::Error::other("it is named twice"))
    }
}

impl Folders {
    fn all(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.first)
            .chain(&self.others)
            .map(PathBuf::as_path)
    }

    /// The folder that a component belongs to: the first that has it, or where it cannot be known; else the first of all.
    fn home(&self, name: &FileName) -> &Path {
        let has = |folder: &&Path| match folder.join(name.as_str()).symlink_metadata() {
            Ok(found) => !found.is_dir(),
            Err(e) => e.kind() != io::ErrorKind::NotFound,
        };
        self.all().find(has).unwrap_or(&self.first)
    }

    /// The component files, and those that are left out.
    fn list(&self) -> Result<(Vec<FileName>, LeftOut), StoreError> {
        let (mut names, mut left_out) = (BTreeMap::new(), LeftOut::new());
        for folder in self.all() {
            let found = list(folder)
                .map_err(|e| files::failed(format!("cannot list {}", folder.display()), e))?;
            for (text, name) in found {
                let Ok(name) = name else {
                    left_out.insert(folder.join(text), None);
                    continue;
                };
                let first = *names.entry(name).or_insert(folder);
                if first != folder {
                    left_out.insert(folder.join(&text), Some(first.join(text)));
                }
            }
        }
        Ok((names.into_keys().collect(), left_out))
    }
}

impl ComponentStore for FolderStore {
    fn list(&self) -> BoxFuture<'static, Result<Vec<FileName>, StoreError>> {
        let folders = Arc::clone(&self.folders);
        let warned = Arc::clone(&self.warned);
        Box::pin(async move {
            let (names, left_out) = files::blocking(move || folders.list()).await?;
            warn(&warned, left_out);
            Ok(names)
        })
    }

    fn read(
        &self,
        name: FileName,
        max_bytes: u64,
    ) -> BoxFuture<'static, Result<Option<ComponentFile>, StoreError>> {
        self.run(
            "read",
            name.clone(),
            name.to_string(),
            move |folder, text| {
                let bytes = files::read(folder, text, max_bytes)?;
                Ok(bytes.map(|b| ComponentFile {
                    name,
                    bytes: Bytes::from(b),
                }))
            },
        )
    }

    fn read_settings(
        &self,
        name: FileName,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        let file = name.settings_file();
        self.run("read", name, file, |folder, text| {
            files::read(folder, text, MAX_SETTINGS)?
                .map(|b| String::from_utf8(b).map_err(io::Error::other))
                .transpose()
        })
    }

    fn write(&self, file: ComponentFile) -> BoxFuture<'static, Result<(), StoreError>> {
        let name = file.name.clone();
        let text = name.to_string();
        self.run("write", name, text, move |folder, text| {
            files::write(folder, text, &file.bytes, FILE_MODE)
        })
    }

    fn remove(&self, name: FileName) -> BoxFuture<'static, Result<bool, StoreError>> {
        let text = name.to_string();
        self.run("remove", name, text, files::remove)
    }
}

/// What is in a folder and is, or looks like, a component, with its name where it is fit for one.
fn list(folder: &Path) -> io::Result<Vec<(String, Result<FileName, ()>)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        // What is no UTF-8 has characters in its place that no component's name may have.
        let text = name.to_string_lossy();
        let fit = FileName::new(&text).map_err(drop);
        let looks_fit = fit.is_ok() || looks_like_a_component(&text);
        if looks_fit && !entry.file_type()?.is_dir() {
            found.push((text.into_owned(), fit));
        }
    }
    Ok(found)
}

/// Was it meant to be one? Hidden files were not.
fn looks_like_a_component(name: &str) -> bool {
    let name = name.to_lowercase();
    !name.starts_with('.') && (name.ends_with(".wasm") || name.ends_with(".wasm.py"))
}

fn warn(warned: &Mutex<LeftOut>, left_out: LeftOut) {
    // A map is whole at any time, so a poisoned one is still good.
    let mut warned = warned.lock().unwrap_or_else(PoisonError::into_inner);
    for (path, instead) in &left_out {
        if warned.get(path) == Some(instead) {
            continue;
        }
        let file = path.display();
        if let Some(instead) = instead {
            tracing::warn!(%file, instead = %instead.display(), "a file is not loaded: an earlier plugins folder has one of its name");
        } else if let Err(error) =
            FileName::new(&path.file_name().unwrap_or_default().to_string_lossy())
        {
            tracing::warn!(%file, %error, "a file in a plugins folder is not loaded, because of its name");
        }
    }
    *warned = left_out;
}

#[cfg(test)]
#[path = "folder/tests.rs"]
mod tests;
