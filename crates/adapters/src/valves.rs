//! Valve values people have set, one JSON file for each plugin. What values mean is the engine's business.

use std::path::{Path, PathBuf};

use model::BoxFuture;
use model::id::PluginId;
use model::ports::{StoreError, ValveStore};

use crate::files;

/// Largest valve file, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Valves hold API keys: only the server's own user may read them.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// `<data>/valves/<id>.json`, pretty-printed, each replaced in one step.
#[derive(Debug, Clone)]
pub struct ValveFiles {
    folder: PathBuf,
}

impl ValveFiles {
    /// Opens the folder `valves` in the data folder, making it if it is not there.
    ///
    /// # Errors
    /// [`StoreError`] with the path, when it cannot be made or read.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let folder = data.join("valves");
        files::prepare(&folder, FOLDER_MODE).map_err(|e| {
            files::failed(
                format!("cannot use the valves folder {}", folder.display()),
                e,
            )
        })?;
        Ok(Self { folder })
    }

    /// Where a plugin's values lie.
    #[must_use]
    pub fn path(&self, plugin: &PluginId) -> PathBuf {
        self.folder.join(file_name(plugin))
    }
}

impl ValveStore for ValveFiles {
    fn place(&self, plugin: &PluginId) -> String {
        self.path(plugin).display().to_string()
    }

    fn read(&self, plugin: PluginId) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        let (folder, name, path) = (self.folder.clone(), file_name(&plugin), self.path(&plugin));
        files::blocking(move || {
            files::read(&folder, &name, MAX_BYTES)
                .and_then(|found| {
                    found
                        .map(|b| String::from_utf8(b).map_err(std::io::Error::other))
                        .transpose()
                })
                .map_err(|e| files::failed(format!("cannot read {}", path.display()), e))
        })
    }

    fn write(&self, plugin: PluginId, json: String) -> BoxFuture<'static, Result<(), StoreError>> {
        let (folder, name, path) = (self.folder.clone(), file_name(&plugin), self.path(&plugin));
        files::blocking(move || {
            pretty(&json)
                .and_then(|text| files::write(&folder, &name, text.as_bytes(), FILE_MODE))
                .map_err(|e| files::failed(format!("cannot write {}", path.display()), e))
        })
    }
}

/// One path segment for an id. Ids have no `..` and begin with a letter or digit; of their characters only `/` cannot stand in
/// a file name. `+` is none of theirs, so two ids never share a file, and the longest id still fits a file name.
fn file_name(plugin: &PluginId) -> String {
    format!("{}.json", plugin.as_str().replace('/', "+"))
}

fn pretty(json: &str) -> std::io::Result<String> {
    let value: serde_json::Value = serde_json::from_str(json)?;
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn id(text: &str) -> PluginId {
        PluginId::new(text).unwrap()
    }

    fn store() -> (tempfile::TempDir, ValveFiles) {
        let dir = tempfile::tempdir().unwrap();
        let store = ValveFiles::open(dir.path()).unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn values_are_kept_as_given_for_this_user_only() {
        let (_dir, store) = store();
        assert!(store.read(id("a")).await.unwrap().is_none());
        let json = r#"{"z":1,"a":12345678901234567890.5}"#;
        store.write(id("a"), json.into()).await.unwrap();
        let text = store.read(id("a")).await.unwrap().unwrap();
        assert_eq!(text, "{\n  \"z\": 1,\n  \"a\": 12345678901234567890.5\n}\n");
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.path(&id("a"))), 0o600);
        assert_eq!(mode(&store.folder), 0o700);
    }

    #[tokio::test]
    async fn each_id_has_a_file_of_its_own_in_the_folder() {
        let (_dir, store) = store();
        let longest = "a/".repeat(63) + "aa";
        for (n, text) in ["org/p.2:x", "org", "org:p.2:x", longest.as_str()]
            .iter()
            .enumerate()
        {
            store.write(id(text), n.to_string()).await.unwrap();
        }
        let text = store.read(id("org/p.2:x")).await.unwrap().unwrap();
        assert_eq!(text, "0\n");
        assert_eq!(std::fs::read_dir(&store.folder).unwrap().count(), 4);
    }

    #[tokio::test]
    async fn a_corrupt_file_is_handed_on_and_a_corrupt_write_refused() {
        let (_dir, store) = store();
        std::fs::write(store.path(&id("a")), "{").unwrap();
        assert_eq!(store.read(id("a")).await.unwrap().as_deref(), Some("{"));
        let e = store.write(id("a"), "{".into()).await.unwrap_err();
        assert!(e.to_string().contains("a.json"), "{e}");
        std::fs::write(store.path(&id("b")), b"\xff").unwrap();
        assert!(store.read(id("b")).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn writers_at_once_leave_one_whole_file() {
        let (_dir, store) = store();
        let writers: Vec<_> = (0..8)
            .map(|n| tokio::spawn(store.write(id("a"), format!("[{n}, {n}]"))))
            .collect();
        for writer in writers {
            writer.await.unwrap().unwrap();
        }
        let text = store.read(id("a")).await.unwrap().unwrap();
        let value: Vec<u8> = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0], value[1]);
        assert_eq!(std::fs::read_dir(&store.folder).unwrap().count(), 1);
    }
}
