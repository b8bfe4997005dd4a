//! What the engine relies on from a component store.

use std::os::unix::fs::symlink;

use super::*;

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

fn file(text: &str, bytes: &[u8]) -> ComponentFile {
    ComponentFile {
        name: name(text),
        bytes: Bytes::copy_from_slice(bytes),
    }
}

fn store() -> (tempfile::TempDir, FolderStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = FolderStore::open(&dir.path().join("plugins")).unwrap();
    (dir, store)
}

#[tokio::test]
async fn files_are_written_listed_read_and_removed() {
    let (_dir, store) = store();
    assert!(store.list().await.unwrap().is_empty());
    store.write(file("b.wasm", b"bb")).await.unwrap();
    store.write(file("a.wasm.py", b"aa")).await.unwrap();
    store.write(file("b.wasm", b"b2")).await.unwrap();
    let names: Vec<_> = store.list().await.unwrap();
    assert_eq!(names, [name("a.wasm.py"), name("b.wasm")]);
    let read = store.read(name("b.wasm"), 10).await.unwrap().unwrap();
    assert_eq!(&read.bytes[..], b"b2");
    assert!(store.remove(name("b.wasm")).await.unwrap());
    assert!(!store.remove(name("b.wasm")).await.unwrap());
    assert!(store.read(name("b.wasm"), 10).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_no_component_by_name_is_left_out() {
    let (_dir, store) = store();
    for other in ["x.py", ".hidden.wasm", "x.toml", "x.wasm.bak", "ü.wasm"] {
        std::fs::write(store.folder.join(other), "").unwrap();
    }
    std::fs::create_dir(store.folder.join("d.wasm")).unwrap();
    assert!(store.list().await.unwrap().is_empty());
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines since the last look.
    fn take(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(String::from).collect()
    }
}

#[tokio::test]
async fn unfit_names_are_warned_about_once() {
    use std::os::unix::ffi::OsStrExt;

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let (_dir, store) = store();
    let unfit = ["GW.WASM", "a b%c.wasm", "x.wasm.PY", "ü.wasm"];
    for other in unfit.iter().chain(&["x.py", ".hidden.wasm", "good.wasm"]) {
        std::fs::write(store.folder.join(other), "").unwrap();
    }
    let bytes = std::ffi::OsStr::from_bytes(b"\xff.wasm");
    std::fs::write(store.folder.join(bytes), "").unwrap();
    std::fs::create_dir(store.folder.join("D.WASM")).unwrap();
    assert_eq!(store.list().await.unwrap(), [name("good.wasm")]);
    let said = lines.take();
    assert_eq!(said.len(), unfit.len() + 1, "{said:?}");
    for (line, name) in said.iter().zip(unfit) {
        assert!(line.contains("WARN") && line.contains(name), "{line}");
        assert!(line.contains("ending in .wasm or .wasm.py"), "{line}");
    }
    store.clone().list().await.unwrap();
    assert!(lines.take().is_empty(), "once is enough");
    // Gone and back again is new.
    std::fs::remove_file(store.folder.join("GW.WASM")).unwrap();
    store.list().await.unwrap();
    std::fs::write(store.folder.join("GW.WASM"), "").unwrap();
    store.list().await.unwrap();
    let said = lines.take();
    assert!(said.len() == 1 && said[0].contains("GW.WASM"), "{said:?}");
}

#[tokio::test]
async fn a_file_over_the_cap_is_an_error_that_names_it() {
    let (_dir, store) = store();
    store.write(file("a.wasm", &[0; 11])).await.unwrap();
    let e = store
        .read(name("a.wasm"), 10)
        .await
        .unwrap_err()
        .to_string();
    assert!(e.contains("a.wasm") && e.contains("at most 10"), "{e}");
    assert!(store.read(name("a.wasm"), 11).await.unwrap().is_some());
}

#[tokio::test]
async fn links_are_not_followed() {
    let (dir, store) = store();
    let outside = dir.path().join("secret");
    std::fs::write(&outside, "secret").unwrap();
    symlink(&outside, store.folder.join("a.wasm")).unwrap();
    symlink(&outside, store.folder.join("a.toml")).unwrap();
    let e = store.read(name("a.wasm"), 10).await.unwrap_err();
    assert!(e.to_string().contains("symbolic link"), "{e}");
    assert!(store.read_settings(name("a.wasm")).await.is_err());
    // A write replaces the link, not what it points to.
    store.write(file("a.wasm", b"new")).await.unwrap();
    assert_eq!(std::fs::read(&outside).unwrap(), b"secret");
    let read = store.read(name("a.wasm"), 10).await.unwrap().unwrap();
    assert_eq!(&read.bytes[..], b"new");
}

#[tokio::test]
async fn a_pipe_does_not_hang_the_reader() {
    let (_dir, store) = store();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        store.folder.join("p.wasm"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let e = store.read(name("p.wasm"), 10).await.unwrap_err();
    assert!(e.to_string().contains("not a regular file"), "{e}");
}

#[tokio::test]
async fn settings_are_text_beside_the_component() {
    let (_dir, store) = store();
    assert!(store.read_settings(name("a.wasm")).await.unwrap().is_none());
    std::fs::write(store.folder.join("a.toml"), "x = 1").unwrap();
    let text = store.read_settings(name("a.wasm.py")).await.unwrap();
    assert_eq!(text.as_deref(), Some("x = 1"));
    std::fs::write(store.folder.join("a.toml"), b"\xff").unwrap();
    let e = store.read_settings(name("a.wasm")).await.unwrap_err();
    assert!(e.to_string().contains("a.toml"), "{e}");
}

#[tokio::test]
async fn a_crash_leaves_nothing_that_counts() {
    let (dir, store) = store();
    let left = store.folder.join(".weir-abc.tmp");
    std::fs::write(&left, "half").unwrap();
    assert!(store.list().await.unwrap().is_empty());
    FolderStore::open(&dir.path().join("plugins")).unwrap();
    assert!(!left.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_the_old_file_or_the_new_one() {
    let (_dir, store) = store();
    store.write(file("a.wasm", &[0; 4096])).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 1..=50u8 {
                store.write(file("a.wasm", &[round; 4096])).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let read = store.read(name("a.wasm"), 4096).await.unwrap().unwrap();
        assert_eq!(read.bytes.len(), 4096);
        assert!(read.bytes.iter().all(|b| *b == read.bytes[0]));
    }
    writer.await.unwrap();
    assert_eq!(std::fs::read_dir(&store.folder).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "").unwrap();
    let e = FolderStore::open(&path).unwrap_err().to_string();
    assert!(e.contains(path.to_str().unwrap()), "{e}");
}
