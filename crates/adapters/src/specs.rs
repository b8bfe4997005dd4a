//! The folders of pipeline specs, and the versions kept in the data folder. It does not watch; what a spec says is the engine's business.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::BoxFuture;
use model::id::PipelineId;
use model::ports::{MAX_SPEC_BYTES, PipelineStore, StoreError, is_spec_file};

use crate::files;

/// Specs hold no secrets, only their names.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
/// Old texts may hold what was meant to be forgotten: only the server's own user may read them.
const KEPT_MODE: u32 = 0o600;
const KEPT_FOLDER_MODE: u32 = 0o700;
/// Versions kept of a pipeline; the oldest go first.
const MAX_KEPT: usize = 100;

/// The folders of specs, and `<data>/pipelines/<id>/<n>.yaml`. Only files directly in the folders count; links are not followed. A new spec goes to the
/// first folder.
#[derive(Debug, Clone)]
pub struct SpecFolders {
    folders: Arc<[PathBuf]>,
    kept: PathBuf,
}

impl SpecFolders {
    /// Opens the folders. The first is made if it is not there, the others have to be.
    ///
    /// # Errors
    /// [`StoreError`] with the path, when one cannot be made or read, is not there, or is named twice.
    pub fn open(first: &Path, others: &[PathBuf], data: &Path) -> Result<Self, StoreError> {
        let unusable = |folder: &Path| {
            let what = format!("cannot use the pipelines folder {}", folder.display());
            |e: io::Error| files::failed(what, e)
        };
        files::prepare(first, FOLDER_MODE).map_err(unusable(first))?;
        let mut known = BTreeSet::from([first.canonicalize().map_err(unusable(first))?]);
        for folder in others {
            let place = folder.canonicalize().map_err(unusable(folder))?;
            if !known.insert(place) {
                return Err(unusable(folder)(io::Error::other("it is named twice")));
            }
        }
        let kept = data.join("pipelines");
        files::prepare(&kept, KEPT_FOLDER_MODE).map_err(unusable(&kept))?;
        let first = std::iter::once(first.to_owned());
        Ok(Self {
            folders: first.chain(others.iter().cloned()).collect(),
            kept,
        })
    }

    /// Runs file work; an error says what was tried.
    fn run<T: Send + 'static>(
        verb: &'static str,
        path: PathBuf,
        work: impl FnOnce(&Path, &str) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        files::blocking(move || {
            let (folder, name) = (path.parent(), path.file_name().and_then(|n| n.to_str()));
            let done = match (folder, name) {
                (Some(folder), Some(name)) => work(folder, name),
                _ => Err(io::Error::other("it is no path of a file, in UTF-8")),
            };
            done.map_err(|e| files::failed(format!("cannot {verb} {}", path.display()), e))
        })
    }
}

impl PipelineStore for SpecFolders {
    fn list(&self) -> BoxFuture<'static, Result<Vec<PathBuf>, StoreError>> {
        let folders = Arc::clone(&self.folders);
        files::blocking(move || {
            let mut all = Vec::new();
            for folder in folders.iter() {
                let found = list(folder)
                    .map_err(|e| files::failed(format!("cannot list {}", folder.display()), e))?;
                all.extend(found);
            }
            Ok(all)
        })
    }

    fn read(&self, file: PathBuf) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        Self::run("read", file, read)
    }

    fn place(&self, id: &PipelineId) -> PathBuf {
        let first = self.folders.first().map_or(Path::new(""), PathBuf::as_path);
        first.join(format!("{id}.pipeline.yaml"))
    }

    fn write(&self, file: PathBuf, text: String) -> BoxFuture<'static, Result<(), StoreError>> {
        Self::run("write", file, move |folder, name| {
            files::write(folder, name, text.as_bytes(), FILE_MODE)
        })
    }

    fn remove(&self, file: PathBuf) -> BoxFuture<'static, Result<bool, StoreError>> {
        Self::run("remove", file, files::remove)
    }

    fn versions(&self, id: PipelineId) -> BoxFuture<'static, Result<Vec<u64>, StoreError>> {
        let folder = self.kept.join(id.as_str());
        files::blocking(move || {
            numbers(&folder)
                .map(|known| known.into_keys().collect())
                .map_err(|e| files::failed(format!("cannot read {}", folder.display()), e))
        })
    }

    fn version(
        &self,
        id: PipelineId,
        number: u64,
    ) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        Self::run(
            "read",
            self.kept.join(id.as_str()).join(name_of(number)),
            read,
        )
    }

    fn keep(
        &self,
        id: PipelineId,
        number: u64,
        text: String,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let file = self.kept.join(id.as_str()).join(name_of(number));
        Self::run("keep", file, move |folder, name| keep(folder, name, &text))
    }
}

fn name_of(version: u64) -> String {
    format!("{version}.yaml")
}

/// The spec files of a folder, in the order of their names.
fn list(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if is_spec_file(&entry.path()) && !entry.file_type()?.is_dir() {
            found.insert(entry.path());
        }
    }
    Ok(found)
}

fn read(folder: &Path, name: &str) -> io::Result<Option<String>> {
    let found = files::read(folder, name, MAX_SPEC_BYTES as u64)?;
    let text = found.map(|b| String::from_utf8(b).map_err(|_| io::Error::other("it is no UTF-8")));
    text.transpose()
}

/// The numbers of the versions in a folder, with their files; none where there is no folder.
fn numbers(folder: &Path) -> io::Result<BTreeMap<u64, String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(e),
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if let Some(number) = name.strip_suffix(".yaml").and_then(|n| n.parse().ok()) {
            found.insert(number, name.into_owned());
        }
    }
    Ok(found)
}

fn keep(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    files::prepare(folder, KEPT_FOLDER_MODE)?;
    files::write(folder, name, text.as_bytes(), KEPT_MODE)?;
    let known = numbers(folder)?;
    let too_many = known.len().saturating_sub(MAX_KEPT);
    for name in known.values().take(too_many) {
        files::remove(folder, name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> PipelineId {
        PipelineId::new(text).unwrap()
    }

    #[tokio::test]
    async fn specs_are_found_by_their_names_in_the_order_of_the_folders() {
        let dir = tempfile::tempdir().unwrap();
        let (first, other) = (dir.path().join("z"), dir.path().join("a"));
        let open = |others: &[PathBuf]| SpecFolders::open(&first, others, dir.path());
        let missing = open(std::slice::from_ref(&other)).unwrap_err();
        assert!(missing.to_string().contains("/a"), "{missing}");
        std::fs::create_dir(&other).unwrap();
        assert!(open(&[other.clone(), other.clone()]).is_err(), "twice");
        let store = open(std::slice::from_ref(&other)).unwrap();
        for name in [
            "b.pipeline.yaml",
            "a.pipeline.json",
            "c.pipeline.yml",
            ".hidden.pipeline.yaml",
            "d.yaml",
        ] {
            std::fs::write(first.join(name), name).unwrap();
        }
        std::fs::create_dir(first.join("e.pipeline.yaml")).unwrap();
        std::fs::write(other.join("a.pipeline.yaml"), "x").unwrap();
        let wanted = [
            first.join("a.pipeline.json"),
            first.join("b.pipeline.yaml"),
            first.join("c.pipeline.yml"),
            other.join("a.pipeline.yaml"),
        ];
        assert_eq!(store.list().await.unwrap(), wanted);
        let text = store.read(other.join("a.pipeline.yaml")).await.unwrap();
        assert_eq!(text.as_deref(), Some("x"));
        let new = store.place(&id("new"));
        assert_eq!(new, first.join("new.pipeline.yaml"));
        assert_eq!(store.read(new.clone()).await.unwrap(), None);
        store.write(new.clone(), "y".into()).await.unwrap();
        assert!(store.remove(new.clone()).await.unwrap());
        assert!(!store.remove(new).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_no_small_text_file_is_no_spec() {
        let dir = tempfile::tempdir().unwrap();
        let store = SpecFolders::open(dir.path(), &[], dir.path()).unwrap();
        let path = dir.path().join("a.pipeline.yaml");
        let check = async |words: &str| {
            let e = store.read(path.clone()).await.unwrap_err();
            let said = format!("{e}");
            assert!(
                said.contains(words) && said.contains("a.pipeline.yaml"),
                "{said}"
            );
        };
        std::fs::write(&path, b"\xff").unwrap();
        check("UTF-8").await;
        std::fs::write(&path, vec![b'x'; MAX_SPEC_BYTES + 1]).unwrap();
        check("1048576").await;
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        check("symbolic link").await;
    }

    #[tokio::test]
    async fn the_last_versions_are_kept_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = SpecFolders::open(dir.path(), &[], dir.path()).unwrap();
        assert!(store.versions(id("a")).await.unwrap().is_empty());
        assert_eq!(store.version(id("a"), 1).await.unwrap(), None);
        let last = MAX_KEPT as u64 + 3;
        for number in 1..=last {
            let text = format!("v{number}");
            store.keep(id("a"), number, text).await.unwrap();
        }
        let kept = store.versions(id("a")).await.unwrap();
        assert_eq!(kept, (4..=last).collect::<Vec<_>>());
        assert_eq!(store.version(id("a"), 3).await.unwrap(), None);
        let text = store.version(id("a"), 10).await.unwrap();
        assert_eq!(text.as_deref(), Some("v10"));
        assert!(store.versions(id("b")).await.unwrap().is_empty());
    }
}
